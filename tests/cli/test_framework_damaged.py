"""Something else in the place of a file of the state: every command says a sentence about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxy.cli.portal_files import open_portal
from proxy.cli.serve import start_problems
from proxy.core.errors import Invalid
from proxy.server.compose import prepare
from tests.cli.conftest import FILES, GUESTBOOK

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home

pytestmark = pytest.mark.more

PLACES = (
    "identity.key", "contacts.yaml", "terminals.yaml", "pairing.yaml", "tokens", "tokens/files",
    "sealing", "sealing/7.key", "surplus-responses.json", "replay.sqlite3",
    "contacts.yaml.lock", "terminals.yaml.lock", "tokens/files.lock", "",
)  # fmt: skip
"""The last one is the state folder itself."""
KINDS = ("a folder", "a pipe", "an empty file", "a link to nowhere", "a link to a device")
COMMANDS = (
    ["check"], ["id"], ["peers", "list"], ["apps", "list"], ["terminals", "list"],
    ["apps", "token", "files"], ["apps", "allow", "files", "all"], ["terminals", "pair"],
    ["peers", "add", "8271dd" + "a" * 97, "--name", "Al"], ["health"], ["init"],
)  # fmt: skip


def put(path: Path, kind: str) -> None:
    """Put something of this kind in the file's place."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        path.rename(path.with_name(f"{path.name}-before"))
    match kind:
        case "a folder":
            path.mkdir(0o700)
        case "a pipe":
            os.mkfifo(path, 0o600)
        case "an empty file":
            path.write_bytes(b"")
            path.chmod(0o600)
        case "a link to nowhere":
            path.symlink_to(path.parent / "nowhere")
        case _:
            path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_no_command_ends_in_a_traceback_or_waits(ada: Home, place: str, kind: str) -> None:
    ada.add_app("guestbook", GUESTBOOK)
    ada.add_app("files", FILES)
    put(ada.state / place if place else ada.state, kind)
    for words in COMMANDS:
        outcome = ada.call(*words)  # raises what would be a traceback
        assert outcome.status in (0, 1), (words, outcome)
        assert outcome.status == 0 or outcome.stderr.startswith("portal-proxy: ") or (
            words == ["health"]
        ), (words, outcome)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_start_says_what_is_wrong_or_goes_on(ada: Home, place: str, kind: str) -> None:
    put(ada.state / place if place else ada.state, kind)
    portal = open_portal(ada.config)
    try:
        told = [str(problem) for problem in start_problems(portal)]
        if not told:
            prepare(portal.config)
    except (Invalid, OSError) as error:
        told = [str(error)]
    assert all(str(ada.state) in problem for problem in told), told
