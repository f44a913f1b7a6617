"""The state folder: full, read-only or gone is told before anybody is refused for it."""

import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.state.state_folder import StateFolder, problem_of, problems_of
from tests.small_disk import mount, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with small_disk(tmp_path / "disk", "size=256k,nr_inodes=64") as folder:
        yield folder


def test_a_folder_that_can_be_written_to_is_well(tmp_path: Path) -> None:
    before = list(tmp_path.iterdir())
    assert problem_of(tmp_path) is None
    assert list(tmp_path.iterdir()) == before


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "is missing" in str(problem_of(tmp_path / "nowhere"))
    assert "isn't a folder" in str(problem_of(tmp_path / "file"))
    assert "Not a directory" in str(problem_of(tmp_path / "file" / "state"))


def test_a_full_disk_is_told_with_its_remedy_and_when_it_is_over(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = StateFolder(disk)
    folder.follow()
    assert folder.problems == ()
    (disk / "filler").write_bytes(bytes(240 * 1024))
    folder.follow()
    folder.follow()
    told = "\n".join(map(str, folder.problems))
    assert told.startswith(f"{disk}: has no room left on its disk")
    assert told.endswith("make some")
    (disk / "filler").unlink()
    folder.follow()
    assert folder.problems == ()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_disk_that_takes_no_more_files_is_full(disk: Path) -> None:
    with suppress(OSError):
        for number in range(65):
            (disk / str(number)).write_bytes(b"")
    assert "no room for another file" in str(problem_of(disk))


def test_a_disk_that_is_mounted_read_only_is_told(disk: Path) -> None:
    assert mount("-o", "remount,ro", str(disk))
    assert "is read-only" in str(problem_of(disk))


def test_a_folder_that_others_alone_may_write_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert f"can't be written to by user {os.geteuid()}" in str(problem_of(tmp_path))


@pytest.mark.parametrize("part", ["sealing", "tokens"])
def test_a_part_on_a_disk_of_its_own_is_told(disk: Path, part: str) -> None:
    state = disk.parent / "state"
    state.mkdir()
    (state / part).mkdir()
    assert problems_of(state) == ()
    assert mount("--bind", str(disk), str(state / part))
    try:
        assert problems_of(state) == ()
        (disk / "filler").write_bytes(bytes(240 * 1024))
        (problem,) = problems_of(state)
        assert str(problem).startswith(f"{state / part}: has no room left on its disk, so no ")
    finally:
        subprocess.run(["umount", str(state / part)], check=True)


@pytest.mark.parametrize(
    "name", ["contacts.yaml", "terminals.yaml", "pairing.yaml", "replay.sqlite3", "sealing",
             "tokens/guestbook"],
)  # fmt: skip
def test_a_lock_that_cant_be_taken_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").mkdir()
    lock = tmp_path / f"{name}.lock"
    lock.write_bytes(b"")
    assert problems_of(tmp_path) == ()
    may = os.access
    with monkeypatch.context() as another_users:
        another_users.setattr(os, "access", lambda path, mode: path != lock and may(path, mode))
        (problem,) = problems_of(tmp_path)
    assert "let it belong to them" in problem.what
    lock.unlink()
    places: list[Callable[[], None]] = [
        lock.mkdir, lambda: lock.symlink_to("nowhere"), lambda: os.mkfifo(lock),
    ]  # fmt: skip
    for make in places:
        make()
        (problem,) = problems_of(tmp_path)
        assert problem.file == str(lock)
        assert problem.what.endswith("can't be changed: move it away")
        lock.rmdir() if lock.is_dir() else lock.unlink()


def test_a_temporary_folder_that_is_full_is_told(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    state = tmp_path / "state"
    state.mkdir()
    folder = StateFolder(state)
    folder.follow()
    assert folder.problems == ()
    (disk / "filler").write_bytes(bytes(240 * 1024))
    folder.follow()
    told = "\n".join(map(str, folder.problems))
    assert told.startswith(f"{disk}: has no room left on its disk, so bodies above 512 KiB")
    (disk / "filler").unlink()
    folder.follow()
    assert folder.problems == ()


def test_no_temporary_folder_at_all_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_there() -> str:
        raise FileNotFoundError("no usable one")

    monkeypatch.setattr(tempfile, "gettempdir", none_there)
    folder = StateFolder(tmp_path)
    folder.follow()
    assert "(503 storage_full): no usable one" in str(folder.problems[0])
