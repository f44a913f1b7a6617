"""Follows files while a proxy runs: reads what changed, and keeps the last good value.

What can't be read must not become an empty list, nor an old one without a word: what is wrong is
kept beside the value, and logged once for each change of the files.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from proxy.core.errors import Invalid, Problem
from proxy.state.files import FileVersion, Unreadable

Versions = Mapping[Path, FileVersion | None]
"""The version of each file that a value is read from."""

_Value = TypeVar("_Value")


class FileWatch(ABC, Generic[_Value]):
    """A value that is read from files. A subclass says from which, how, and what the log tells.

    ``value`` stands until another one is read; ``versions`` are those of the files that it was read
    from, None where it wasn't read.
    """

    told_at_look = 1
    """How many looks must find the same versions wrong before it is told. Until then the files are
    read at each look: two files can't be replaced at once."""

    def __init__(self, value: _Value, versions: Versions | None = None) -> None:
        self._current = value
        self._problems: tuple[Problem, ...] = ()
        self._is_first = versions is None
        self._versions = versions
        self._failed: Versions | None = None
        self._failures = 0
        self._logged: tuple[Versions, tuple[Problem, ...]] | None = None

    @property
    def current(self) -> _Value:
        """The last good value."""
        return self._current

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they are; while there are any, ``current`` is older."""
        return self._problems

    def refresh(self) -> bool:
        """Read the files if one changed; tells whether ``current`` or ``problems`` did."""
        # Taken before the files are read: a change in between is seen at the next look.
        versions = self._look()
        if versions == self._versions:
            return False
        is_first, self._is_first = self._is_first, False
        if not is_first and not self._is_settled(versions):
            return False
        try:
            value = self._read()
        except Invalid as invalid:
            return self._keep_last(versions, invalid)
        was_well, before = not self._problems, self._current
        self._current, self._problems = value, ()
        self._versions, self._failed, self._logged = versions, None, None
        if was_well and not self._is_news(before, value):
            return False
        if not is_first:
            self._log_change()
        return True

    def _keep_last(self, versions: Versions, invalid: Invalid) -> bool:
        """Note what is wrong; tells whether that is new."""
        self._failures = self._failures + 1 if versions == self._failed else 1
        self._failed = versions
        if self._failures < self.told_at_look:
            return False
        # What couldn't be read is read at the next look. What was read, and is wrong, stays so
        # until it changes.
        self._versions = None if isinstance(invalid, Unreadable) else versions
        before, self._problems = self._problems, tuple(invalid.problems)
        if self._logged != (versions, self._problems):
            self._logged = versions, self._problems
            self._log_problems(invalid)
        return self._problems != before

    @abstractmethod
    def _look(self) -> Versions:
        """Return the versions of the files as they are now; raises nothing."""

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

    def _is_news(self, before: _Value, after: _Value) -> bool:
        """Tell whether anybody needs to hear of a change."""
        return before != after
