"""A running proxy's view of the terminals: follows the file, and notes in it who was seen.

A broken file keeps the last good list in use, with its problems beside it, logged once for each
change of the file. When a terminal was last used is kept in memory and written now and then.
"""

import logging

from proxy.core.errors import Invalid, Problem
from proxy.core.terminals.terminals import TerminalList
from proxy.state.files import Busy, FileVersion, Unsafe, file_version
from proxy.state.terminals.edits import with_seen
from proxy.state.terminals.store import TerminalStore

FLUSH = 60.0
"""Seconds at least between two times that are written."""
_LAST_WAIT = 1.0
"""Seconds that the end waits for somebody else's change."""
_log = logging.getLogger("proxy.terminals")


class TerminalWatch:
    """The current list of ``store``. Reads it when made; a list that was never good is empty."""

    def __init__(self, store: TerminalStore) -> None:
        self._store = store
        self._current = TerminalList()
        self._problems: tuple[Problem, ...] = ()
        self._version: FileVersion = None
        self._has_read = False
        self._seen: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self._flushed = 0.0
        self._complaint = ""
        self.refresh()

    @property
    def current(self) -> TerminalList:
        """The last good list."""
        return self._current

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file as it is now; while there are any, ``current`` is older."""
        return self._problems

    def refresh(self) -> bool:
        """Read the file if it changed; tells whether the problems did, or who there is.

        When a terminal was last seen changes all the time, and isn't told.
        """
        # The version is taken before the file is read: a change in between is seen the next time.
        version = file_version(self._store.path)
        if self._has_read and version == self._version:
            return False
        first, self._has_read, self._version = not self._has_read, True, version
        before = (_who(self._current), self._problems)
        try:
            self._current, self._problems = self._store.load(), ()
        except Invalid as invalid:
            self._problems = tuple(invalid.problems)
            _log.error("the list of terminals is broken, the last good one is used: %s", invalid)
        is_other = before != (_who(self._current), self._problems)
        if is_other and not first and not self._problems:
            _log.info("the terminals changed: there are %d", len(self._current.terminals))
        return is_other

    def saw(self, terminal_id: str, now: float) -> None:
        """Note that a terminal was used; cheap."""
        if self._current.find(terminal_id) is not None:
            self._seen[terminal_id] = now

    def renewed(self, terminal_id: str, now: float) -> None:
        """Note that a terminal's cookie was set again; in memory, each process for itself."""
        known = {each.id for each in self._current.terminals}
        self._renewed = {key: at for key, at in self._renewed.items() if key in known}
        self._renewed[terminal_id] = now

    def last_renewal(self, terminal_id: str) -> float:
        """Return when this process last set a terminal's cookie again; 0 where it didn't."""
        return self._renewed.get(terminal_id, 0)

    def flush(self, now: float) -> None:
        """Write who was seen, at most each ``FLUSH`` seconds; raises nothing."""
        if abs(now - self._flushed) >= FLUSH:
            self._write_seen(now, wait=0)

    def close(self) -> None:
        """Write what wasn't written yet; raises nothing."""
        self._write_seen(max(self._seen.values(), default=0.0), wait=_LAST_WAIT)

    def _write_seen(self, now: float, *, wait: float) -> None:
        if not self._seen:
            return
        self._flushed = now
        try:
            self._store.change(lambda before: with_seen(before, self._seen, now), wait=wait)
        except (OSError, Invalid, Unsafe, Busy) as error:
            if str(error) != self._complaint:
                _log.warning("when terminals were seen can't be written: %s", error)
            self._complaint = str(error)
        else:
            self._seen.clear()
            self._complaint = ""


def _who(terminals: TerminalList) -> list[tuple[str, str, bytes]]:
    """Return what of a list decides who comes in, and as whom."""
    return [(each.id, each.name, each.token_sha256) for each in terminals.terminals]
