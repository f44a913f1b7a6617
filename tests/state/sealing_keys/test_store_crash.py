"""A rotation that ends anywhere in its middle: killed at each line, and with each call failing.

Whatever a document may have named opens after the next start; and what is over is gone.
"""

import base64
import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Invalid
from proxy.state.sealing_keys import SealingKeyStore
from tests.envelopes import opens, sealed_to

NOW = 1_700_000_000
ROTATION = 3720
END = ROTATION + 3600 + 120
"""Twice the rotation: one key's time is over in the moment in which the third one is due."""

_KILLED = """
# For each N: copies a folder, opens it in a process of its own, and kills that at its line N.
import json, os, shutil, signal, sys
from pathlib import Path
from proxy.state import files as storage
from proxy.core.errors import Invalid
from proxy.state.sealing_keys import folder
from proxy.state.sealing_keys import format as key_format
from proxy.state.sealing_keys import store
from proxy.state.sealing_keys import SealingKeyStore
from tests.envelopes import sealed_to

start, copies, now = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
watched = {module.__file__ for module in (storage, folder, key_format, store)}

def live(path, last):
    count = 0
    def step(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in watched:
            return None
        count += event == "line"
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return step
    keys = SealingKeyStore(path, 3720)
    sys.settrace(step)
    keys.open(now)
    told = keys.published(now)
    sys.settrace(None)
    (path.parent / "envelope").write_bytes(sealed_to(told[0].config))
    os._exit(0)

last, status = 0, 1
while status != 0:
    last += 1
    copy = copies / str(last)
    shutil.copytree(start, copy, symlinks=True)
    child = os.fork()
    if child == 0:
        live(copy / "sealing", last)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
"""


@dataclass
class State:
    """A state folder with two keys: one is over, and one is to be followed by a new one."""

    folder: Path
    over: bytes
    """What is sealed to the first, whose time is over."""
    current: bytes
    secret: bytes
    """The private bytes of the first."""

    @property
    def sealing(self) -> Path:
        return self.folder / "sealing"


@pytest.fixture
def state(tmp_path: Path) -> State:
    folder = tmp_path / "state"
    store = SealingKeyStore(folder / "sealing", ROTATION)
    store.open(NOW - END)
    (first,) = store.published(NOW - END)
    store.follow(NOW - ROTATION)
    (current,) = store.published(NOW - ROTATION)
    line = (folder / "sealing" / f"{first.config.key_id}.key").read_bytes()
    secret = base64.b64decode(line.split()[3])
    return State(folder, sealed_to(first.config), sealed_to(current.config), secret)


def is_in_order(state: Path) -> None:
    """Check that nothing is there but a tag and keys, and that all of these end in time."""
    names = {path.name for path in (state / "sealing").iterdir()}
    keys = {path.read_bytes() for path in (state / "sealing").glob("*.key")}
    assert len(names) == len(keys) + 1
    assert "CACHEDIR.TAG" in names
    later = SealingKeyStore(state / "sealing", ROTATION)
    later.open(NOW + 1 + END)
    assert keys.isdisjoint(path.read_bytes() for path in (state / "sealing").iterdir())


def holds(folder: Path, secret: bytes) -> bool:
    text = base64.b64encode(secret)
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def killed_at_each_line(start: Path, copies: Path) -> list[Path]:
    """Return the state folders of processes that were killed one line after the other."""
    copies.mkdir()
    command = [sys.executable, "-c", _KILLED, str(start), str(copies), str(NOW)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return sorted(copies.iterdir(), key=lambda path: int(path.name))


@pytest.mark.more
def test_killed_at_any_line_of_a_rotation_no_call_is_lost(state: State, tmp_path: Path) -> None:
    folders = killed_at_each_line(state.folder, tmp_path / "copies")
    assert len(folders) > 100  # lines, up to a process that came to its end
    told = 0
    for folder in folders:
        store = SealingKeyStore(folder / "sealing", ROTATION)
        store.open(NOW)
        assert store.problems == ()
        assert opens(store, state.current), folder
        assert not opens(store, state.over), folder
        assert not holds(folder, state.secret), folder
        (offer,) = store.published(NOW)
        assert offer.until == NOW + ROTATION + 3600
        if (folder / "envelope").exists():
            told += 1
            assert opens(store, (folder / "envelope").read_bytes()), folder
        is_in_order(folder)
    assert told >= 1


@pytest.mark.more
def test_killed_at_any_line_of_a_first_start_the_next_one_works(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    folders = killed_at_each_line(tmp_path / "state", tmp_path / "copies")
    for folder in folders:
        store = SealingKeyStore(folder / "sealing", ROTATION)
        store.open(NOW)
        assert store.problems == ()
        assert opens(store, sealed_to(store.published(NOW)[0].config))
        is_in_order(folder)


class Disk:
    """Stands for ``os`` in ``proxy.state.files``; from call number ``first`` on, calls fail."""

    _CALLS = frozenset({"open", "fdopen", "fchmod", "fsync", "link"})

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.failing = range(0)
        self.number = errno.ENOSPC
        real_unlink = Path.unlink
        monkeypatch.setattr("proxy.state.files.os", self)

        def unlink(path: Path, *, missing_ok: bool = False) -> None:
            self._count()
            real_unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self._CALLS:
            return real

        def call(*args: Any, **more: Any) -> Any:
            self._count()
            return real(*args, **more)

        return call

    def _count(self) -> None:
        self.calls += 1
        if self.calls in self.failing:
            raise OSError(self.number, os.strerror(self.number))


def failing(first: int) -> range:
    return range(first, first + 1)


def failing_from(first: int) -> range:
    return range(first, 1_000_000)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("which", [failing, failing_from])
def test_with_any_call_failing_no_call_is_lost(
    state: State,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: Callable[[int], range],
    number: int,
) -> None:
    disk = Disk(monkeypatch)
    disk.number = number
    first, reached = 0, True
    while reached:
        first += 1
        folder = tmp_path / f"copy-{first}"
        shutil.copytree(state.folder, folder)
        store = SealingKeyStore(folder / "sealing", ROTATION)
        store.open(NOW - 1)
        disk.calls, disk.failing = 0, which(first)
        store.follow(NOW)
        reached = disk.calls >= first
        assert opens(store, state.current)
        assert not opens(store, state.over)
        told = sealed_to(store.published(NOW)[0].config)
        disk.failing = range(0)
        for again in (store, SealingKeyStore(folder / "sealing", ROTATION)):
            again.follow(NOW + 1)
            assert again.problems == ()
            assert opens(again, state.current)
            assert opens(again, told)
            assert again.published(NOW + 1)[0].until >= NOW + ROTATION + 3600
            assert not holds(folder, state.secret)
        is_in_order(folder)
    assert first > 10


@pytest.mark.parametrize("which", [failing, failing_from])
def test_a_start_with_any_call_failing_is_refused_or_serves_what_there_is(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: Callable[[int], range]
) -> None:
    disk = Disk(monkeypatch)
    first, reached = 0, True
    while reached:
        first += 1
        folder = tmp_path / f"copy-{first}"
        shutil.copytree(state.folder, folder)
        store = SealingKeyStore(folder / "sealing", ROTATION)
        disk.calls, disk.failing = 0, which(first)
        try:
            store.open(NOW)
        except Invalid:
            pass
        else:
            assert not opens(store, state.over)
            for offer in store.published(NOW):
                assert opens(store, sealed_to(offer.config))
        reached = disk.calls >= first
        disk.failing = range(0)
        again = SealingKeyStore(folder / "sealing", ROTATION)
        again.open(NOW)
        assert opens(again, state.current)
        assert not opens(again, state.over)
        assert not holds(folder, state.secret)
        is_in_order(folder)


def test_on_a_full_disk_the_old_key_is_offered_as_long_as_it_may_be_and_that_is_logged_once(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = SealingKeyStore(state.sealing, ROTATION)
    store.open(NOW - 1)
    before = store.published(NOW - 1)
    path = state.sealing / f"{before[0].config.key_id}.key"
    caplog.clear()

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("proxy.state.sealing_keys.store.create_atomically", full)
    for second in (0, 1, 60, 3599):
        store.follow(NOW + second)
        assert store.published(NOW + second) == before
        assert opens(store, state.current)
    for second in (3600, 3719):
        store.follow(NOW + second)
        assert store.published(NOW + second) == ()
        assert opens(store, state.current)
    store.follow(NOW + 3720)
    assert not opens(store, state.current)
    assert not path.exists()
    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    why = "No space left on device: make room on its disk, then try again"
    expected = f"{state.sealing}: no new sealing key can be made: {why}"
    assert errors == [expected]
    assert [str(problem) for problem in store.problems] == [expected]
    monkeypatch.undo()
    store.follow(NOW + 3721)
    assert store.published(NOW + 3721)
    assert store.problems == ()
    assert caplog.records[-1].message == "the sealing keys are in order again"
