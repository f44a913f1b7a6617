"""terminals.yaml on disk, shared by commands and running proxies: no change is lost, none is half.

Where the file is missing there are no terminals: it is made with the first one, and who deletes it
removes them all. One that is broken, or not ours alone, is a problem, and never overwritten.
When a terminal was last used is kept in memory, and written now and then.
"""

import logging
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

from proxy.core.errors import Invalid
from proxy.core.terminals.terminals import ID_BYTES, Terminal, TerminalList, terminal_id
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import (
    LOCK_WAIT,
    Busy,
    Unsafe,
    file_version,
    locked,
    read_file,
    write_atomically,
)
from proxy.state.schema import check_version, mark_version
from proxy.state.terminals.edits import with_seen, with_terminal
from proxy.state.terminals.format import parse_terminals, serialise_terminals, version_of

FLUSH = 60.0
"""Seconds at least between two times that are written."""
_LAST_WAIT = 1.0
"""Seconds that the end waits for somebody else's change."""
_NONE = TerminalList()
_log = logging.getLogger("proxy.terminals")


class TerminalStore:
    """The list of terminals at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> TerminalList:
        """Read the list; raises ``Invalid``, for an unreadable file too."""
        data = read_file(self.path)
        return TerminalList() if data is None else parse_terminals(str(self.path), data)

    def change(
        self, edit: Callable[[TerminalList], TerminalList], *, wait: float = LOCK_WAIT
    ) -> TerminalList:
        """Replace the list by what ``edit`` makes of it, and return that.

        What ``edit`` raises passes through, and then nothing is changed. Raises ``Invalid`` where
        the file is broken or the new list couldn't be read back, ``Busy`` after ``wait`` seconds,
        and OSError.
        """
        with locked(self.path, wait=wait):
            check_version(self.path.parent)
            terminals = self.load()
            edited = edit(terminals)
            if edited != terminals:
                if version_of(edited) > version_of(TerminalList()):
                    mark_version(self.path.parent)  # first: an earlier program writes nothing more
                new = serialise_terminals(edited)
                parse_terminals(str(self.path), new)
                write_atomically(self.path, new)
            return edited

    def add(
        self, name: str, digest: bytes, now: float, *, app: str = "", wait: float = LOCK_WAIT
    ) -> Terminal:
        """Add a terminal whose token has this digest, and return it; raises as ``change``."""

        def with_new(before: TerminalList) -> TerminalList:
            free_id = terminal_id(secrets.token_bytes(ID_BYTES))
            while before.find(free_id) is not None:
                free_id = terminal_id(secrets.token_bytes(ID_BYTES))
            return with_terminal(before, Terminal(free_id, name, digest, int(now), int(now), app))

        return self.change(with_new, wait=wait).terminals[-1]


class TerminalWatch(FileWatch[TerminalList]):
    """A running proxy's view of ``store``. A list that was never good is empty."""

    def __init__(self, store: TerminalStore) -> None:
        super().__init__(TerminalList())
        self._store = store
        self._seen: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self._exposed: set[str] = set()
        self._flushed = 0.0
        self._complaint = ""
        self.refresh()

    @property
    def available(self) -> TerminalList:
        """The terminals that come in now: none where the list isn't known."""
        return _NONE if self.is_stale else self.current

    def saw(self, terminal_id: str, now: float) -> None:
        """Note that a terminal was used; cheap."""
        if self.current.find(terminal_id) is not None:
            self._seen[terminal_id] = now

    def renewed(self, terminal_id: str, now: float) -> None:
        """Note that a terminal's cookie was set again; in memory, each process for itself."""
        known = {each.id for each in self.current.terminals}
        self._renewed = {key: at for key, at in self._renewed.items() if key in known}
        self._renewed[terminal_id] = now

    def last_renewal(self, terminal_id: str) -> float:
        """Return when this process last set a terminal's cookie again; 0 where it didn't."""
        return self._renewed.get(terminal_id, 0)

    def exposed(self, terminal_id: str) -> None:
        """Tell the owner, once for each, of a token that others can have read."""
        if self.current.find(terminal_id) is None or terminal_id in self._exposed:
            return
        self._exposed.add(terminal_id)
        _log.warning(
            "the token of terminal %s came over plain http, where others can read it: remove it, "
            "and make another (portal-proxy terminals remove %s). If it came through a web server "
            "that speaks TLS, name that one under trusted_proxies", terminal_id, terminal_id,
        )  # fmt: skip

    def to_flush(self, now: float) -> Callable[[], None] | None:
        """Return what writes who was seen, to be called in a thread; None where nothing is due.

        It is due each ``FLUSH`` seconds at most. What is returned raises nothing.
        """
        if not self._seen or abs(now - self._flushed) < FLUSH:
            return None
        self._flushed = now
        return partial(self._write_seen, dict(self._seen), now, wait=0)

    def flush(self, now: float) -> None:
        """Write who was seen, at most each ``FLUSH`` seconds; raises nothing."""
        write = self.to_flush(now)
        if write is not None:
            write()

    def close(self) -> None:
        """Write what wasn't written yet; raises nothing."""
        seen = dict(self._seen)
        if seen:
            self._write_seen(seen, max(seen.values()), wait=_LAST_WAIT)

    @property
    def _name(self) -> str:
        return str(self._store.path)

    _while_stale = "every device is a stranger until it can be read"

    def _look(self) -> Versions:
        return {self._store.path: file_version(self._store.path)}

    def _read(self) -> TerminalList:
        return self._store.load()

    def _is_news(self, before: TerminalList, after: TerminalList) -> bool:
        # When a terminal was last seen changes all the time.
        return _who(before) != _who(after)

    def _log_change(self) -> None:
        _log.info("the terminals changed: there are %d", len(self.current.terminals))

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the list of terminals is broken, the last good one is used: %s", invalid)

    def _write_seen(self, seen: dict[str, float], now: float, *, wait: float) -> None:
        try:
            self._store.change(lambda before: with_seen(before, seen, now), wait=wait)
        except (OSError, Invalid, Unsafe, Busy) as error:
            if str(error) != self._complaint:
                _log.warning("when terminals were seen can't be written: %s", error)
            self._complaint = str(error)
        else:
            # Who was seen meanwhile, perhaps by another thread, is written the next time.
            for terminal_id, at in seen.items():
                if self._seen.get(terminal_id) == at:
                    self._seen.pop(terminal_id, None)
            self._complaint = ""


def _who(terminals: TerminalList) -> list[tuple[str, str, bytes, str]]:
    """Return what of a list decides who comes in, where, and as whom."""
    return [(each.id, each.name, each.token_sha256, each.app) for each in terminals.terminals]
