"""One follower of files: it reads what changed, keeps the last good value, and tells each once."""

import errno
import os
from pathlib import Path

import pytest

from proxy.core.errors import Invalid, Problem
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import Unreadable, Unsafe, file_version, read_external, read_file


class NumberWatch(FileWatch[int]):
    """A file with a number; -1 stands until one is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(-1)
        self.path = path
        self.fault: OSError | None = None
        self.is_settled = True
        self.reads = 0
        self.told: list[str] = []
        self.refresh()

    def _look(self) -> Versions:
        return {self.path: file_version(self.path)}

    def _read(self) -> int:
        self.reads += 1
        if self.fault is not None:
            raise Unreadable([Problem(str(self.path), "", str(self.fault.strerror))])
        try:
            return int(self.path.read_text())
        except (FileNotFoundError, ValueError) as error:
            raise Invalid([Problem(str(self.path), "", type(error).__name__)]) from None

    def _is_settled(self, versions: Versions) -> bool:
        assert versions.keys() == {self.path}
        return self.is_settled

    def _log_change(self) -> None:
        self.told.append(str(self.current))

    def _log_problems(self, invalid: Invalid) -> None:
        self.told.append(str(invalid.problems[0].what))


class SecondLookWatch(NumberWatch):
    """The same, which gives a file that is wrong another look."""

    told_at_look = 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    write(path, "1")
    return path


def write(path: Path, text: str) -> None:
    """Replace the file: its version is surely another one."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def test_the_first_value_is_no_news(path: Path) -> None:
    watch = NumberWatch(path)
    assert (watch.current, watch.told) == (1, [])


def test_what_changed_is_read_once(path: Path) -> None:
    watch = NumberWatch(path)
    write(path, "2")
    assert watch.refresh()
    assert not watch.refresh()
    assert (watch.current, watch.reads, watch.told) == (2, 2, ["2"])


def test_the_same_value_again_is_no_news(path: Path) -> None:
    watch = NumberWatch(path)
    write(path, "1")
    assert not watch.refresh()
    assert (watch.reads, watch.told) == (2, [])


@pytest.mark.parametrize("again", ["1", "2"])
def test_what_was_found_wrong_waits_for_the_next_change(path: Path, again: str) -> None:
    watch = NumberWatch(path)
    write(path, "one")
    assert watch.refresh()
    assert not watch.refresh()
    assert (watch.current, watch.reads, watch.told) == (1, 2, ["ValueError"])
    write(path, again)
    assert watch.refresh()
    assert (watch.problems, watch.told) == ((), ["ValueError", again])


def test_the_same_problem_of_another_version_is_told_again_and_is_no_news(path: Path) -> None:
    watch = NumberWatch(path)
    for text in ("one", "two"):
        write(path, text)
        watch.refresh()
    assert not watch.refresh()
    assert watch.told == ["ValueError", "ValueError"]


def test_what_could_not_be_read_is_tried_at_each_look_and_told_once(path: Path) -> None:
    watch = NumberWatch(path)
    watch.fault = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    write(path, "2")
    assert watch.refresh()
    assert not watch.refresh()
    assert (watch.current, watch.reads, watch.told) == (1, 3, ["Too many open files"])
    watch.fault = None
    assert watch.refresh()
    assert (watch.current, watch.problems, watch.told[1:]) == (2, (), ["2"])
    assert not watch.refresh()
    assert watch.reads == 4


def test_a_file_that_was_never_good_is_told_and_its_value_taken_later(tmp_path: Path) -> None:
    watch = NumberWatch(tmp_path / "number")
    assert (watch.current, watch.told) == (-1, ["FileNotFoundError"])
    write(watch.path, "1")
    assert watch.refresh()
    assert (watch.current, watch.told[1:]) == (1, ["1"])


def test_what_is_not_settled_is_left(path: Path) -> None:
    watch = NumberWatch(path)
    watch.is_settled = False
    write(path, "2")
    assert not watch.refresh()
    assert watch.current == 1
    watch.is_settled = True
    assert watch.refresh()
    assert watch.current == 2


def test_a_second_look_may_be_wanted_before_a_problem_is_told(path: Path) -> None:
    watch = SecondLookWatch(path)
    write(path, "one")
    assert not watch.refresh()
    assert not watch.problems
    write(path, "two")  # another version: that is its first look
    assert not watch.refresh()
    assert watch.told == []
    assert watch.refresh()
    assert watch.told == ["ValueError"]
    assert not watch.refresh()
    assert watch.reads == 4


def test_a_second_look_at_what_is_well_by_then_tells_nothing_of_the_first(path: Path) -> None:
    watch = SecondLookWatch(path)
    path.unlink()
    assert not watch.refresh()
    write(path, "2")
    assert watch.refresh()
    assert watch.told == ["2"]


def test_a_file_that_cannot_be_opened_is_unreadable_and_one_that_is_unsafe_is_wrong(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.chmod(0o644)
    with pytest.raises(Invalid) as caught:
        read_file(path)
    assert not isinstance(caught.value, Unreadable)
    with pytest.raises(Unsafe):
        read_external(path)

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unreadable, match="can't be read: Input/output error"):
        read_file(path)


def test_a_version_follows_links_only_where_it_is_told_to(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    assert file_version(link, follow_links=True) == file_version(path)
    assert file_version(link) != file_version(path)
    path.unlink()
    assert file_version(link, follow_links=True) is None
