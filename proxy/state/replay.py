"""The replay store: every signed request is carried out at most once (docs/protocol.md, section 6).

SQLite, shared by all processes that serve this Portal, kept over restarts. Each signature is made
under the store's *epoch*, and counts under no other. It stands on one fact: *every nonce that was
claimed in this epoch, and whose signature could still be good, is in here*. Where that can't be
vouched for a new epoch begins, with which all older signatures are dead: the store is new, was
restored from a backup or a snapshot, is damaged, wasn't kept alive for more than ``SILENCE``
seconds, the clock was set, or the machine was started anew. That costs each peer one try that is
repeated, and its owner nothing.

Two things follow. No clock that is set, back or ahead, makes an old signature good or a new one
bad for longer than it takes to notice. And nothing need be safe from a power cut, so nothing here
waits for a disk to have written it.

What a process does in its event loop waits for nobody: ``claim_at_once`` and ``told`` give up
where another process holds the database or anything is wrong, and a thread goes on from there.
Anything that the database can't do refuses the request (503). Signatures are claimed after they
verified, so strangers leave no row; nothing evicts a row that is still needed.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from proxy.core.epoch import Epoch
from proxy.core.errors import Code, Invalid, Problem, Refusal
from proxy.state.boot_clock import BootClock
from proxy.state.files import LOCK_WAIT, Busy, Unsafe, check_private, locked
from proxy.state.replay_file import (
    Damaged,
    Moment,
    Outdated,
    Stand,
    checkpoint,
    claim,
    connect,
    examine,
    is_claimed,
    is_damage,
    make_database,
    purge,
    read_stand,
    refuse_later,
    show_life,
)
from proxy.state.schema import check_version
from proxy.state.system_errors import explained

_LOCK_WAIT = 1.0
"""Seconds that a thread waits for another process; each claim takes well under a millisecond."""
_MOMENT = 0.005
"""Seconds that the event loop waits for one."""
_MOST_PURGES = 20
"""Purges at one sign of life: more are due only where thousands of calls come each second."""
_PAUSE = 0.005
"""Seconds between two of them, in which others claim."""
_TRIES = 3
"""Tries at a claim: another process may do something between it and the look why it failed."""
_TROUBLED = 10.0
"""Seconds for which a claim that failed is a problem of the store's."""

_log = logging.getLogger("proxy.replay")
_Result = TypeVar("_Result")


class Later(Exception):
    """It can't be done without waiting: a thread has to do it. Nothing was done yet."""


class _Replaced(Exception):
    """The path leads to another file than the one that is open, or to none."""


class _Seat:
    """A connection, for one thread at a time."""

    def __init__(self, path: Path, wait: float) -> None:
        self._path = str(path)
        self._wait = wait
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._inode = (0, 0)

    @property
    def inode(self) -> tuple[int, int]:
        """Which file it leads to."""
        return self._inode

    def take(self, seconds: float) -> sqlite3.Connection:
        """Take the connection, within ``seconds``; who did frees it (``free``).

        Raises ``_Replaced`` where the path doesn't lead to its file any more: a deleted one still
        takes rows, which nobody would ever find again. And ``Later`` where it isn't free.
        """
        if not self._lock.acquire(seconds > 0, seconds or -1):
            raise Later
        try:
            return self._sound()
        except BaseException:
            self._lock.release()
            raise

    def _sound(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("the replay store isn't open")
        if self._inode != _inode(self._path):
            raise _Replaced
        return self._db

    def free(self) -> None:
        self._lock.release()

    @contextmanager
    def use(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """Take the connection for the block; raises as ``take`` does."""
        db = self.take(seconds)
        try:
            yield db
        finally:
            self.free()

    def renew(self) -> None:
        """Connect to the file that is there."""
        with self._lock:
            if self._db is not None and self._inode == _inode(self._path):
                return
            inode = _inode(self._path)
            db = connect(Path(self._path), self._wait)
            if self._db is not None:
                self._db.close()
            self._db, self._inode = db, inode

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None


_FAILURES = (sqlite3.Error, OSError, Unsafe, Damaged, Invalid, Busy, Later, _Replaced)


class ReplayStore:
    """The store in the file at ``path``; one object for each process that uses it.

    ``now`` is Unix seconds, given by the caller. ``claim_at_once`` and ``told`` are for the event
    loop, the rest for any thread.
    """

    def __init__(self, path: Path, clock: BootClock | None = None) -> None:
        self._path = path
        self._clock = clock or BootClock()
        self._at_once = _Seat(path, _MOMENT)
        self._waiting = _Seat(path, _LOCK_WAIT)
        self._keeper = _Seat(path, _LOCK_WAIT)
        self._mending = threading.Lock()
        self._fault = ""
        self._failing_until = 0.0
        self._is_open = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why calls are refused just now, for the owner; nothing where they aren't."""
        fault = self._fault
        if not fault:
            return ()
        what = f"the replay store is down, and every call of a peer is refused: {fault}"
        return (Problem(str(self._path), "", what),)

    def open(self, now: float) -> None:
        """Open the store; made anew where it is missing, or can't vouch for the past.

        Raises ``Invalid`` for a file that isn't ours alone or can't be used, and ``LaterVersion``.
        """
        try:
            self._settle(now, LOCK_WAIT)
        except _FAILURES as error:
            self.close()
            if isinstance(error, Invalid):
                raise
            raise Invalid([Problem(str(self._path), "", f"can't be used: {_why(error)}")]) from None
        self._is_open = True

    def claim_at_once(
        self, portal_id: str, nonce: bytes, epoch: bytes | None, *, now: float
    ) -> None:
        """Do what ``claim`` does, and raise ``Later`` rather than wait."""
        at = self._at(now)
        try:
            db = self._at_once.take(0)
            try:
                if claim(db, portal_id, nonce, epoch, at):
                    return
                if not read_stand(db).is_current(at):
                    raise Later  # a late sign of life isn't the sender's fault
                refusal = _refusal(db, portal_id, nonce, epoch, at)
            finally:
                self._at_once.free()
        except (sqlite3.Error, OSError, Damaged, _Replaced):
            raise Later from None
        raise refusal or Later

    def claim(self, portal_id: str, nonce: bytes, epoch: bytes | None, *, now: float) -> None:
        """Claim the nonce for one request, which is carried out only if this returns.

        ``epoch`` is the one that it was signed under. Raises ``Refusal``: ``REPLAYED``,
        ``OUT_OF_TIME`` for another epoch than the store's, ``REPLAY_STORE_DOWN`` for whatever goes
        wrong.
        """

        def claimed(db: sqlite3.Connection) -> Refusal | None:
            at = self._at(now)
            for _ in range(_TRIES):
                if claim(db, portal_id, nonce, epoch, at):
                    return None
                if not read_stand(db).is_current(at):
                    self._show_life(db, at)
                elif refusal := _refusal(db, portal_id, nonce, epoch, at):
                    return refusal
            raise Busy

        try:
            refusal = self._patiently(self._waiting, claimed, now)
        except _FAILURES as error:
            self._failed(error, _TROUBLED)
            raise Refusal(Code.REPLAY_STORE_DOWN, _why(error)) from error
        if refusal is not None:
            raise refusal

    def told(self, now: float) -> Epoch | None:
        """Return the epoch, to be told to a sender; None where ``look_again`` has to tell."""
        at = self._at(now)
        try:
            with self._at_once.use(0) as db:
                stand = read_stand(db)
        except (sqlite3.Error, OSError, Damaged, _Replaced, Later):
            return None
        return stand.told(at) if stand.is_current(at) else None

    def look_again(self, now: float) -> Epoch | None:
        """Return the epoch, a new one where it is due; None where the store is down."""

        def look(db: sqlite3.Connection) -> Epoch:
            at = self._at(now)
            stand = read_stand(db)
            return (stand if stand.is_current(at) else self._show_life(db, at)).told(at)

        try:
            return self._patiently(self._waiting, look, now)
        except _FAILURES as error:
            self._failed(error, _TROUBLED)
            return None

    def keep_alive(self, now: float) -> None:
        """Show that the store lives, purge, and empty its log; called every half second.

        In a thread, since it may wait for a lock. Raises nothing: it logs once when the store goes
        down, and once when it works again.
        """

        def keep(db: sqlite3.Connection) -> None:
            refuse_later(db, self._path)
            at = self._at(now)
            self._show_life(db, at)
            for _ in range(_MOST_PURGES):
                if not purge(db, at):
                    break
                time.sleep(_PAUSE)
            checkpoint(db)

        try:
            self._patiently(self._keeper, keep, now)
        except _FAILURES as error:
            self._failed(error, 0)
        else:
            self._works()

    def close(self) -> None:
        """Close the store; every claim after this is refused."""
        self._is_open = False
        for seat in self._seats:
            seat.close()

    @property
    def _seats(self) -> tuple[_Seat, ...]:
        return self._at_once, self._waiting, self._keeper

    def _at(self, now: float) -> Moment:
        return Moment.of(now, self._clock)

    def _show_life(self, db: sqlite3.Connection, at: Moment) -> Stand:
        stand, why = show_life(db, at)
        if why:
            _log.warning("a new epoch began, so peers sign their next call anew: %s", why)
        return stand

    def _patiently(
        self, seat: _Seat, action: Callable[[sqlite3.Connection], _Result], now: float
    ) -> _Result:
        """Return what ``action`` does with the database; where that is damaged, with a new one."""
        distrusted = None
        try:
            with seat.use(_LOCK_WAIT) as db:
                return action(db)
        except (_Replaced, FileNotFoundError):
            pass
        except (sqlite3.Error, Damaged) as error:
            if not is_damage(error):
                raise
            distrusted = seat.inode
            _log.error("the replay store is damaged: %s", error)
        with self._mending:
            if not self._is_open:
                raise sqlite3.ProgrammingError("the replay store isn't open")
            self._settle(now, _LOCK_WAIT, distrusted)
        with seat.use(_LOCK_WAIT) as db:
            return action(db)

    def _settle(self, now: float, wait: float, distrusted: tuple[int, int] | None = None) -> None:
        """See to it that a sound store is at the path, and that each connection leads to it.

        The file ``distrusted`` proved to be damaged, whatever it looks like.
        """
        with locked(self._path, wait=wait):
            if not self._is_sound(now) or _inode(self._path) == distrusted:
                check_version(self._path.parent)
                make_database(self._path, self._at(now))
            for seat in self._seats:
                seat.renew()

    def _is_sound(self, now: float) -> bool:
        """Tell whether the store that is there can be gone on with; says so where it can't."""
        try:
            check_private(self._path)
        except FileNotFoundError:
            _log.info("made a new replay store, %s", self._path)
            return False
        try:
            with closing(connect(self._path, _LOCK_WAIT)) as db:
                examine(db, self._path, self._at(now))
                self._show_life(db, self._at(now))
        except (sqlite3.Error, Damaged) as error:
            if not is_damage(error) and not self._only_says_that_it_is_read_only(error):
                raise
            level = logging.INFO if isinstance(error, Outdated) else logging.ERROR
            _log.log(level, "made a new replay store in the place of %s: %s", self._path, error)
            return False
        return True

    def _only_says_that_it_is_read_only(self, error: Exception) -> bool:
        """Tell whether nothing but a damaged header keeps it from being written to."""
        code = getattr(error, "sqlite_errorcode", None)
        return code == sqlite3.SQLITE_READONLY and os.access(self._path, os.W_OK)

    def _failed(self, error: Exception, lasting: float) -> None:
        """Note that calls are refused; what a claim met may pass by every sign of life."""
        if not self._fault:
            _log.error("the replay store is down, every call of a peer is refused: %s", _why(error))
        self._fault = _why(error)
        self._failing_until = max(self._failing_until, self._clock.seconds() + lasting)

    def _works(self) -> None:
        if self._fault and self._clock.seconds() >= self._failing_until:
            _log.warning("the replay store works again")
            self._fault = ""


def _inode(path: Path | str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - at each claim, and in half of the time
    return status.st_dev, status.st_ino


def _refusal(
    db: sqlite3.Connection, portal_id: str, nonce: bytes, epoch: bytes | None, at: Moment
) -> Refusal | None:
    """Return why a claim wasn't made in a store that is current; None where nothing says why."""
    if epoch != read_stand(db).epoch:
        under = "no epoch" if epoch is None else f"the epoch {epoch.hex()}"
        return Refusal(Code.OUT_OF_TIME, f"signed under {under}", now=int(at.now))
    if is_claimed(db, portal_id, nonce, at):
        return Refusal(Code.REPLAYED, f"nonce {nonce.hex()}")
    return None


_HELPS = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_CANTOPEN: "see what is in the place of it, or of its files -wal and -shm",
    sqlite3.SQLITE_IOERR: "look at its disk, of which the system's own log tells",
    sqlite3.SQLITE_READONLY: "let the proxy write to its folder",
}


def _why(error: Exception) -> str:
    """Say what is wrong, and what helps against it."""
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{where}{explained(error)}"
    what = str(error) or type(error).__name__.lower()
    helps = _HELPS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return what if helps is None else f"{what}; {helps}"
