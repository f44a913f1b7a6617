"""``ping --thorough``: a body, a WebSocket and a silence, past what a web server does to them."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from proxy.cli import ping_thorough
from proxy.cli.ping_thorough import NAMES
from proxy.cli.root import with_what_is_needed
from tests.cli.remote_portals import in_mode
from tests.wire.harness.portals import ROOT, Portal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.core.access.policy import Mode


class Home:
    """Ada, who pings, and Bob, who runs and knows her."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.ada, self.bob = Portal(folder / "Ada", "Ada"), Portal(folder / "Bob", "Bob")
        for portal in (self.ada, self.bob):
            stack.callback(portal.release)
        self.bob.knows(self.ada.as_contact(), apps={})
        self.bob.start()

    def ping(self, mode: Mode = "sealed", connect: int | None = None) -> dict[str, Any]:
        self.ada.knows(in_mode(self.bob.as_contact(connect=connect), mode), apps={})
        words = ["ping", "Bob", "--json", "--thorough", "--timeout", "20"]
        result = CliRunner().invoke(
            with_what_is_needed(words[0]), words, env={"PORTAL_CONFIG": str(self.ada.config)}
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return {step["name"]: step for step in json.loads(result.stdout)["steps"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(ping_thorough, "SILENCE", 2)
    with ExitStack() as stack:
        yield Home(tmp_path, stack)


@pytest.mark.parametrize("mode", ["sealed", "signed"])
def test_all_is_well(home: Home, mode: Mode) -> None:
    began = time.monotonic()
    steps = home.ping(mode)
    assert time.monotonic() - began >= 2
    assert [steps[name]["ok"] for name in NAMES] == [True] * 3, steps
    assert list(steps)[-3:] == list(NAMES)


def test_who_cannot_be_called_is_not_tried(home: Home) -> None:
    home.bob.stop()
    steps = home.ping()
    assert [steps[name]["ok"] for name in NAMES] == [None] * 3


def test_the_guide_for_owners_names_them() -> None:
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    section = page.split("\n#### Thoroughly\n", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^\| (\w+) \| [^|]", section, re.MULTILINE) == list(NAMES)
