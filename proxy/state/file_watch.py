"""Follows files while a proxy runs: reads what changed, and keeps the last good value.

What can't be read must not become an empty list, nor an old one without a word: what is wrong is
kept beside the value, and logged once for each change of the files. What was read and is wrong
waits for the files' next change. What couldn't be read is tried at each look, since that passes
without one; if it lasts, nobody knows whom the value lets in by mistake (``is_stale``).

A look may wait for a disk: ``look`` is for a thread, ``apply`` for the event loop.
"""

import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from proxy.core.errors import Invalid, LaterVersion, Problem
from proxy.state.files import FileVersion, Unreadable

STALE_AFTER = 5.0
"""Seconds for which files may be known to have changed, or not be known at all, and not be read."""

Versions = Mapping[Path, FileVersion | None]
"""The version of each file that a value is read from."""

_NOT_READ = (Unreadable, LaterVersion)
"""What tells nothing of the value that holds now, and may pass without a change of the file."""

_log = logging.getLogger("proxy.files")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Look(Generic[_Value]):
    """What a look found: the files as before, or a value, or what is wrong."""

    number: int
    """Of two looks, the one that began later has the higher one."""
    versions: Versions | None
    """None where the files couldn't be looked at."""
    value: _Value | None = None
    failure: Invalid | None = None
    is_waiting: bool = False
    """Whether the files changed, and are read at the next look."""


class FileWatch(ABC, Generic[_Value]):
    """A value that is read from files. A subclass says from which, how, and what the log tells.

    ``value`` stands until another one is read; ``versions`` are those of the files that it was read
    from, None where it wasn't read. ``steady`` is a clock that nobody can set.
    """

    told_at_look = 1
    """How many looks must find the same versions wrong before it is told. Until then the files are
    read at each look: two files can't be replaced at once."""

    def __init__(
        self,
        value: _Value,
        versions: Versions | None = None,
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._current = value
        self._problems: tuple[Problem, ...] = ()
        self._is_first = versions is None
        self._versions = versions
        self._failed: Versions | None = None
        self._failures = 0
        self._logged: tuple[Versions | None, tuple[Problem, ...]] | None = None
        self._steady = steady
        self._numbers = itertools.count(1)
        self._applied = 0
        self._unread_since: float | None = None
        self._is_told_stale = False
        self.reloads = 0
        """How many changes were taken over."""

    @property
    def current(self) -> _Value:
        """The last good value."""
        return self._current

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they are; while there are any, ``current`` is older."""
        return (*self._problems, self._stale_problem()) if self.is_stale else self._problems

    @property
    def is_stale(self) -> bool:
        """Whether the files couldn't be read for so long that ``current`` can't be relied on."""
        since = self._unread_since
        return since is not None and self._steady() - since >= STALE_AFTER

    def refresh(self) -> bool:
        """Look, and apply that: where nothing else waits meanwhile."""
        return self.apply(self.look())

    def look(self) -> Look[_Value]:
        """Read the files if one changed. Changes nothing but what the next look needs."""
        number = next(self._numbers)
        try:
            # Taken before the files are read: a change in between is seen at the next look.
            versions = self._look()
        except Invalid as invalid:
            return Look(number, None, failure=invalid)
        if versions == self._versions:
            return Look(number, versions)
        if not self._is_first and not self._is_settled(versions):
            return Look(number, versions, is_waiting=True)
        try:
            return Look(number, versions, self._read())
        except Invalid as invalid:
            return Look(number, versions, failure=invalid)

    def apply(self, look: Look[_Value]) -> bool:
        """Take over what a look found; tells whether ``current`` or ``problems`` changed."""
        if look.number <= self._applied or look.is_waiting:
            return False  # one that began later was faster: it has seen what is newer
        self._applied = look.number
        is_first, self._is_first = self._is_first, False
        if look.failure is not None:
            if isinstance(look.failure, _NOT_READ):
                self.miss()
            else:
                self._was_read()
            return self._keep_last(look.versions, look.failure)
        self._was_read()
        if look.value is None:
            return False
        was_well, before, value = not self._problems, self._current, look.value
        self._current, self._problems = value, ()
        self._versions = look.versions if self._is_complete(value) else None
        self._failed, self._logged = None, None
        if was_well and not self._is_news(before, value):
            return False
        if not is_first:
            self.reloads += 1
            self._log_change()
        return True

    def miss(self) -> None:
        """Note that the files couldn't be read just now; raises nothing."""
        if self._unread_since is None:
            self._unread_since = self._steady()
        elif self.is_stale and not self._is_told_stale:
            self._is_told_stale = True
            _log.error("%s", self._stale_problem())

    def _was_read(self) -> None:
        self._unread_since = None
        if self._is_told_stale:
            self._is_told_stale = False
            _log.warning("%s can be read again", self._name)

    def _keep_last(self, versions: Versions | None, invalid: Invalid) -> bool:
        """Note what is wrong; tells whether that is new."""
        self._failures = self._failures + 1 if versions == self._failed else 1
        self._failed = versions
        if self._failures < self.told_at_look:
            return False
        # What couldn't be read is read at the next look. What was read, and is wrong, stays so
        # until it changes.
        self._versions = None if isinstance(invalid, _NOT_READ) else versions
        before, self._problems = self._problems, tuple(invalid.problems)
        if self._logged != (versions, self._problems):
            self._logged = versions, self._problems
            self._log_problems(invalid)
        return self._problems != before

    def _stale_problem(self) -> Problem:
        what = f"couldn't be read for {STALE_AFTER:g} seconds or more: {self._while_stale}"
        return Problem(self._name, "", what)

    @property
    @abstractmethod
    def _name(self) -> str:
        """What the files are called, in a problem."""

    _while_stale = "the last good version stays in use until it can be read"
    """What holds meanwhile, for the owner."""

    @abstractmethod
    def _look(self) -> Versions:
        """Return the versions of the files as they are now; raises ``Unreadable``."""

    @abstractmethod
    def _read(self) -> _Value:
        """Read the value; raises ``Invalid``, and ``Unreadable`` for what may pass by itself."""

    @abstractmethod
    def _log_change(self) -> None:
        """Tell that ``current`` is another one, or that the files are well again."""

    @abstractmethod
    def _log_problems(self, invalid: Invalid) -> None:
        """Tell that the last good value stays in use."""

    def _is_settled(self, versions: Versions) -> bool:
        """Tell whether the files can be read now; if not, that is asked again at the next look."""
        del versions
        return True

    def _is_complete(self, value: _Value) -> bool:
        """Tell whether all of it could be read; if not, it is read again at the next look."""
        del value
        return True

    def _is_news(self, before: _Value, after: _Value) -> bool:
        """Tell whether anybody needs to hear of a change."""
        return before != after
