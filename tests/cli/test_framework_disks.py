"""A disk that is full, or mounted read-only: each command that writes names the file, and why.

Nothing is lost, nothing is half written, and the status is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.core.terminals.terminals import Terminal
from proxy.state.contacts import ContactStore
from proxy.state.terminals import TerminalStore
from proxy.state.terminals.edits import with_terminal
from tests.cli.conftest import FILES, GUESTBOOK, Home
from tests.contact_lists import BOB, adding
from tests.small_disk import mount, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHONE = Terminal("abc123", "Phone", b"\1" * 32, 1_700_000_000, 1_700_000_000)
ID_A = "8271dd" + "a" * 97
COMMANDS = {
    "peers add": (["peers", "add", ID_A, "--name", "Al"], "contacts.yaml"),
    "peers rename": (["peers", "rename", BOB.id, "Robert"], "contacts.yaml"),
    "peers remove": (["peers", "remove", BOB.id], "contacts.yaml"),
    "peers edit": (["peers", "edit"], "contacts.yaml"),
    "apps allow": (["apps", "allow", "guestbook", "all"], "contacts.yaml"),
    "apps token": (["apps", "token", "files"], "tokens/files"),
    "apps token --rotate": (["apps", "token", "guestbook", "--rotate"], "tokens/guestbook"),
    "terminals pair": (["terminals", "pair"], "pairing.yaml"),
    "terminals rename": (["terminals", "rename", PHONE.id, "Fon"], "terminals.yaml"),
    "terminals remove": (["terminals", "remove", PHONE.id], "terminals.yaml"),
}
FAULTS = {"full": "No space left on device: make room", "ro": "Read-only file system: "}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "size=512k") as folder:
        yield folder


@pytest.fixture
def adas(disk: Path) -> Home:
    """Ada's Portal, all of it on that disk."""
    home = Home(disk)
    assert home.call("init", "--name", "Ada", "--domain", "p.getportal.org").status == 0
    home.add_app("guestbook", GUESTBOOK)
    home.add_app("files", FILES)
    assert home.call("apps", "token", "guestbook").status == 0
    ContactStore(home.state / "contacts.yaml", "p.getportal.org").change(adding(BOB))
    terminals = TerminalStore(home.state / "terminals.yaml")
    terminals.change(lambda before: with_terminal(before, PHONE))
    return home


def spoil(disk: Path, fault: str) -> None:
    """Leave no room, or let nothing be written."""
    if fault == "ro":
        assert mount("-o", "remount,ro", str(disk))
        return
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return


def listing(folder: Path) -> dict[str, bytes]:
    """Return what is there, but for locks, which hold nothing."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_cant_write_names_the_file_and_changes_nothing(
    adas: Home, disk: Path, command: str, fault: str
) -> None:
    words, file = COMMANDS[command]
    spoil(disk, fault)
    before = listing(disk)
    outcome = adas.call(*words, EDITOR="sed -i s/Bob/Rob/")
    assert outcome.status == 1, outcome
    assert outcome.stdout == ""
    assert f"{adas.state / file}" in outcome.reason
    assert FAULTS[fault] in outcome.reason
    assert listing(disk) == before


@pytest.mark.parametrize("fault", FAULTS)
def test_check_says_so_before_anybody_is_refused(adas: Home, disk: Path, fault: str) -> None:
    assert adas.call("check").status == 0
    spoil(disk, fault)
    outcome = adas.call("check")
    assert outcome.status == 1
    said = {"full": "has no room left on its disk", "ro": "is read-only"}[fault]
    assert f"problem: {adas.state}: {said}" in outcome.stdout


@pytest.mark.parametrize("fault", FAULTS)
def test_init_on_such_a_disk_leaves_nothing_half_made(disk: Path, fault: str) -> None:
    home = Home(disk)
    spoil(disk, fault)
    before = listing(disk)
    outcome = home.call("init", "--name", "Ada", "--domain", "p.getportal.org")
    assert outcome.status == 1
    assert f"{disk}" in outcome.reason
    assert FAULTS[fault] in outcome.reason
    assert listing(disk) == before
    if fault == "full":
        (disk / "filler").unlink()
        assert home.call("init", "--name", "Ada", "--domain", "p.getportal.org").status == 0
