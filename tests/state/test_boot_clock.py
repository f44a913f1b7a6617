"""The clock that nobody sets."""

import time
from pathlib import Path

import pytest

from proxy.state import boot_clock
from proxy.state.boot_clock import BootClock


def test_it_runs_on_and_knows_which_start_of_the_machine_it_was() -> None:
    one, two = BootClock(), BootClock()
    assert one.boot == two.boot
    assert one.seconds() <= two.seconds()


def test_it_doesnt_follow_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = BootClock()
    before, now = clock.seconds(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31_536_000)
    assert clock.seconds() - before < 31_536_000


def test_without_a_name_for_the_start_there_is_one_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(boot_clock, "_BOOT_ID", tmp_path / "missing")
    assert BootClock().boot == ""
