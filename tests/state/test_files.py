"""Files are written whole: what a killed writer left is swept, and a fault names its file."""

import errno
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from proxy.state.files import create_atomically, is_leftover, locked, sweep, write_atomically
from tests.patience import PATIENCE

SPAWN = multiprocessing.get_context("spawn")


def _write_slowly(path: Path, is_writing: Event) -> None:
    def stand_still(fd: object) -> None:
        del fd
        is_writing.set()
        signal.pause()

    os.fsync = stand_still
    write_atomically(path, b"a secret")


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_isnt(tmp_path: Path) -> None:
    is_writing = SPAWN.Event()
    writer = SPAWN.Process(target=_write_slowly, args=(tmp_path / "contacts.yaml", is_writing))
    writer.start()
    try:
        assert is_writing.wait(PATIENCE)
        (new,) = tmp_path.iterdir()
        assert is_leftover(new.name)
        assert sweep(tmp_path) == []
    finally:
        writer.kill()
        writer.join(PATIENCE)
    assert new.exists()
    assert sweep(tmp_path) == [new]
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    number = "0" * 16
    for name in ("contacts.yaml", f".x.{number}.new~", f"x.{number}.new", ".x.1.new", ".lock"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / f".folder.{number}.new").mkdir()
    (tmp_path / f".link.{number}.new").symlink_to(tmp_path / "contacts.yaml")
    os.mkfifo(tmp_path / f".pipe.{number}.new")
    before = sorted(tmp_path.iterdir())
    assert sweep(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == before
    assert sweep(tmp_path / "nowhere") == []


def test_a_name_that_is_no_text_is_swept_too(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b".\xff.0123456789abcdef.new")
    odd.write_bytes(b"")
    assert sweep(tmp_path) == [odd]


def test_what_was_swept_before_it_was_locked_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    tries: list[Path] = []

    def too_late(fd: int, how: int) -> None:
        if not tries:
            tries.extend(tmp_path.iterdir())
            tries[0].unlink()
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    write_atomically(tmp_path / "file", b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
    assert is_leftover(tries[0].name)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("write", [write_atomically, create_atomically])
def test_a_fault_names_the_file_and_leaves_it_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path, bytes], None],
    number: int,
) -> None:
    def fails(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file"
    if write is write_atomically:
        path.write_bytes(b"old")
    before = [file.read_bytes() for file in tmp_path.iterdir()]
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write(path, b"new")
    assert caught.value.filename == str(path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == before


def test_a_lock_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.lock").mkdir()
    with pytest.raises(OSError, match=r"file\.lock"), locked(tmp_path / "file"):
        pass
