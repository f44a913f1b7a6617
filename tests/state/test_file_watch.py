"""One follower of files: it reads what changed, keeps the last good value, and tells each once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Invalid, Problem
from proxy.state.file_watch import STALE_AFTER, FileWatch, Versions
from proxy.state.files import Unreadable, Unsafe, file_version, read_external, read_file

if TYPE_CHECKING:
    from collections.abc import Callable


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

    @property
    def _name(self) -> str:
        return "the number"

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


PASSING = [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EACCES, errno.ENOTDIR]


class Clock:
    """A steady clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TextWatch(NumberWatch):
    """The same, read as lists are read."""

    def __init__(self, path: Path, steady: Clock) -> None:
        super().__init__(path)
        self._steady = steady

    def _read(self) -> int:
        data = read_file(self.path)
        if data is None:
            raise Invalid([Problem(str(self.path), "", "is missing")])
        return int(data)


@pytest.fixture
def text_watch(path: Path) -> TextWatch:
    path.chmod(0o600)
    return TextWatch(path, Clock())


def private(path: Path, text: str) -> None:
    write(path, text)
    path.chmod(0o600)


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "fstat"])
def test_a_fault_that_passes_is_borne_until_it_has_passed(
    text_watch: TextWatch, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    private(text_watch.path, "2")
    fails = _failing(number)
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        assert text_watch.refresh()
        assert not text_watch.refresh()
        assert text_watch.current == 1
        (problem,) = text_watch.problems
        assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
    assert text_watch.refresh()
    assert (text_watch.current, text_watch.problems) == (2, ())


@pytest.mark.parametrize(
    "number", [n for n in PASSING if n not in {errno.EMFILE, errno.ENFILE}], ids=errno.errorcode.get
)
def test_a_file_that_cannot_be_looked_at_is_not_a_missing_one(
    text_watch: TextWatch, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", _failing(number))
        assert text_watch.refresh()
        assert not text_watch.refresh()
        assert text_watch.current == 1
        (problem,) = text_watch.problems
        assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
    assert text_watch.refresh()  # the file is as before, and is read again to be sure
    assert (text_watch.current, text_watch.problems) == (1, ())


def test_what_cannot_be_read_for_long_is_stale_and_told_once(
    text_watch: TextWatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    text_watch._steady = clock
    private(text_watch.path, "2")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", _failing(errno.EIO))
        found = []
        for seconds in (0, STALE_AFTER - 0.1, 0.1, 1, 1):
            clock.now += seconds
            text_watch.refresh()
            found.append(text_watch.is_stale)
        assert found == [False, False, True, True, True]
        assert "couldn't be read for 5 seconds" in text_watch.problems[-1].what
    assert text_watch.refresh()
    assert (text_watch.is_stale, text_watch.current, text_watch.problems) == (False, 2, ())
    assert caplog.text.count("couldn't be read for 5 seconds") == 1
    assert caplog.text.count("can be read again") == 1


def test_what_is_read_before_that_was_never_stale(
    text_watch: TextWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    text_watch._steady = clock
    for _ in range(3):
        private(text_watch.path, "1")
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", _failing(errno.EMFILE))
            text_watch.refresh()
            clock.now += STALE_AFTER - 0.1
        private(text_watch.path, "2")
        text_watch.refresh()
        assert not text_watch.is_stale


def test_a_look_that_does_not_end_makes_it_stale_too(text_watch: TextWatch) -> None:
    clock = Clock()
    text_watch._steady = clock
    text_watch.miss()
    clock.now += STALE_AFTER
    text_watch.miss()
    assert text_watch.is_stale
    text_watch.refresh()
    assert not text_watch.is_stale


def test_a_look_that_began_earlier_and_ended_later_changes_nothing(path: Path) -> None:
    watch = NumberWatch(path)
    write(path, "2")
    slow = watch.look()
    write(path, "3")
    assert watch.refresh()
    assert not watch.apply(slow)
    assert (watch.current, watch.told) == (3, ["3"])


def _failing(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail
