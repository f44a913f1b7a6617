"""How far long work is, at a terminal; elsewhere nothing of it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proxy.cli import progress
from proxy.cli.progress import Transfer, is_shown, waiting
from tests.patience import PATIENCE
from tests.wire.harness.portals import ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable

_WORK = """
from proxy.cli.progress import Transfer, waiting
from itertools import count
ticks = count()
with Transfer(1000, now=lambda: float(next(ticks))) as shown:
    for _ in range(10):
        shown.sent(100)
    shown.received(5)
with waiting("thinking [bold]\\x1b[31m"):
    pass
print("done")
"""


def _at_terminal(term: str) -> tuple[str, str]:
    """Run the work with a terminal as its stderr; return stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WORK], cwd=ROOT, env={**environment(), "TERM": term},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, check=True,
            timeout=PATIENCE,
        )  # fmt: skip
        os.close(theirs)
        theirs = -1
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # Linux: the other side is closed
            pass
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    return done.stdout.decode(), shown.decode()


def test_a_terminal_is_shown_both_ways_and_what_goes_on() -> None:
    printed, shown = _at_terminal("xterm")
    assert printed == "done\n"
    for word in ("sent", "received", "/1,000 bytes", "thinking [bold]\\x1b[31m"):
        assert word in shown
    assert "\x1b[2K" in shown  # it is erased behind


def test_a_terminal_that_cannot_move_its_cursor_is_shown_nothing() -> None:
    assert _at_terminal("dumb") == ("done\n", "")


def test_what_is_no_terminal_is_shown_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_shown()
    clock = iter(range(100))
    with Transfer(10, now=lambda: float(next(clock))) as shown, waiting("long"):
        shown.sent(10)
        shown.received(10)
    assert capsys.readouterr() == ("", "")


def test_what_is_soon_over_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("shown")

    as_bars: Callable[[], None] = refuse
    monkeypatch.setattr(progress, "_bars", as_bars)
    with Transfer(10, shown=True, now=lambda: 0.0) as shown:
        shown.sent(10)
