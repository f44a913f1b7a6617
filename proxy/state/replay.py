"""The replay store: every signed request is carried out at most once (docs/protocol.md, section 6).

SQLite, shared by all processes that serve this Portal, kept over restarts. It stands on one fact,
kept in the file itself: *every nonce that was ever claimed with a* ``created`` *above* ``floor``
*is still in here*. So a signature at or below the floor is refused, and what can't vouch for that
fact raises the floor, which nothing ever lowers:

- purging raises it to the newest ``created`` of the rows it deletes. It follows the rows and not
  the clock, so a clock that is set back can't bring an old signature back to life;
- a store that wasn't kept alive for more than ``SILENCE`` seconds (it is new, was restored from a
  backup or a snapshot, lost its last writes with the power, or the clock jumped either way)
  raises it to the present: claims may have been made that it doesn't know of.

Anything that the database can't do refuses the request (503). Signatures are claimed after they
verified, so strangers leave no row; nothing evicts a row that is still needed.
"""

import logging
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxy.core.errors import Code, Invalid, Problem, Refusal
from proxy.state.files import Unsafe, check_private, create_atomically, locked

KEPT = 600
"""Seconds that a claim is kept: far longer than any signature is valid (60 s, and 60 s of skew)."""

SILENCE = 5
"""Seconds without a sign of life after which a store no longer vouches for the past.

Short enough that nobody restores a backup, or boots after a power cut, within it; long enough for
a busy machine, where too short a limit refuses honest requests that were signed just before.
"""

_LOCK_WAIT = 1.0
"""Seconds that a claim waits for another process's; each takes well under a millisecond."""

_PURGE_ROWS = 5000
"""Rows deleted in one go, so that claims needn't wait long for it."""

_APPLICATION_ID = 0x50724C79
_VERSION = 1
_SCHEMA = (
    """CREATE TABLE claim (
        portal_id TEXT NOT NULL, nonce BLOB NOT NULL, created INTEGER NOT NULL,
        claimed REAL NOT NULL, PRIMARY KEY (portal_id, nonce)) WITHOUT ROWID""",
    "CREATE INDEX claim_by_age ON claim (claimed, created)",
    "CREATE TABLE store (floor INTEGER NOT NULL, alive_until REAL NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_CLAIM = """
INSERT INTO claim SELECT :portal_id, :nonce, :created, :now FROM store
WHERE :created > floor AND abs(:now - alive_until) <= :silence
"""
"""One statement, so that no other process can purge or claim between the check and the row."""

_OLDEST = f"FROM claim WHERE claimed < ? ORDER BY claimed LIMIT {_PURGE_ROWS}"
_REMEDY = "stop the proxy, remove the file and start again; what was signed before is then refused"
_log = logging.getLogger("proxy.replay")


class ReplayStore:
    """The store in the file at ``path``; one object for each process and thread that uses it.

    Times are Unix seconds, given by the caller.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._is_down = False
        self._is_future = False

    def open(self, now: float) -> None:
        """Open the store, made if the file is missing: then whatever was signed before is refused.

        Raises ``Invalid`` for a file that is corrupt, not ours alone or can't be used (it is never
        replaced by a new one silently), and ``Busy``.
        """
        try:
            with locked(self._path):
                with suppress(FileExistsError):
                    create_atomically(self._path, b"")
                    _log.info("made a new replay store: what was signed before now is refused")
                check_private(self._path)
                self._connect(now)
                self._show_life(now)
        except (sqlite3.Error, OSError, Unsafe) as error:
            self.close()
            what = f"can't be used: {error}; if it is damaged, {_REMEDY}"
            raise Invalid([Problem(str(self._path), "", what)]) from None

    def claim(self, portal_id: str, nonce: bytes, created: int, now: float) -> None:
        """Claim the nonce for one request, which is carried out only if this returns.

        ``created`` is the signature's. Raises ``Refusal``: ``REPLAYED``, ``OUT_OF_TIME`` where a
        claim could have been forgotten, ``REPLAY_STORE_DOWN`` for whatever goes wrong.
        """
        row: dict[str, object] = {"portal_id": portal_id, "nonce": nonce, "created": created}
        row |= {"now": now, "silence": SILENCE}
        try:
            if self._insert(row):
                return
            self._show_life(now)  # a late sign of life isn't the sender's fault; a second look
            if self._insert(row):
                return
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise Refusal(Code.REPLAYED, f"nonce {nonce.hex()}") from None
            raise Refusal(Code.REPLAY_STORE_DOWN, str(error)) from error
        except (sqlite3.Error, OSError) as error:
            raise Refusal(Code.REPLAY_STORE_DOWN, str(error)) from error
        except OverflowError:
            raise Refusal(Code.OUT_OF_TIME, "created beyond 64 bits", now=int(now)) from None
        detail = f"created {created} isn't after the replay store's floor"
        raise Refusal(Code.OUT_OF_TIME, detail, now=int(now))

    def keep_alive(self, now: float) -> None:
        """Show that the store lives, and purge; called every second by each process that uses it.

        Raises nothing: it logs once when the store goes down, and once when it works again.
        """
        try:
            self._show_life(now)
        except (sqlite3.Error, OSError) as error:
            if not self._is_down:
                _log.error("the replay store is down, signed calls are refused: %s", error)
            self._is_down = True
        else:
            if self._is_down:
                _log.warning("the replay store works again")
            self._is_down = False

    def close(self) -> None:
        """Close the store; every claim after this is refused."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def _connect(self, now: float) -> None:
        """Connect, and check that this is a sound store of ours before it is written to."""
        # mode=rw: SQLite itself must never make a file, which would have other rights than ours.
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        db = sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT, isolation_level=None)
        self._db = db
        status = self._path.stat()
        self._inode = (status.st_dev, status.st_ino)
        is_empty = _value(db, "SELECT count(*) FROM sqlite_master") == 0
        kind = (_value(db, "PRAGMA application_id"), _value(db, "PRAGMA user_version"))
        if not is_empty and kind != (_APPLICATION_ID, _VERSION):
            raise sqlite3.DatabaseError("it isn't a replay store of this version")
        if _value(db, "PRAGMA journal_mode = WAL") != "wal":
            raise sqlite3.OperationalError("its file system has no write-ahead log")
        # In WAL mode NORMAL can lose the last writes with the power, but not break the file; the
        # rule about SILENCE covers the loss. FULL would wait for the disk at every claim.
        db.execute("PRAGMA synchronous = NORMAL")
        if is_empty:
            self._make_tables(db, now)
        fault = _value(db, "PRAGMA quick_check(1)")
        if fault != "ok":
            raise sqlite3.DatabaseError(f"its pages are damaged ({fault})")

    @staticmethod
    def _make_tables(db: sqlite3.Connection, now: float) -> None:
        """Make the tables, in one transaction: killed in its middle, it leaves an empty file."""
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            db.execute(statement)
        db.execute("INSERT INTO store VALUES (?, ?)", (_just_before(now), now))
        db.execute("COMMIT")

    def _usable(self) -> sqlite3.Connection:
        """Return the connection; raises OSError where the path doesn't lead to its file any more.

        A deleted file still takes rows, which nobody would ever find again.
        """
        status = self._path.stat()
        if self._db is None or (status.st_dev, status.st_ino) != self._inode:
            raise FileNotFoundError(f"{self._path} isn't open, or was replaced: restart the proxy")
        return self._db

    def _insert(self, row: dict[str, object]) -> bool:
        return self._usable().execute(_CLAIM, row).rowcount == 1

    def _show_life(self, now: float) -> None:
        """Write that the store lived at ``now``, raise the floor where it must be, and purge."""
        db = self._usable()
        db.execute("BEGIN IMMEDIATE")
        try:
            floor, alive_until = db.execute("SELECT floor, alive_until FROM store").fetchone()
            if abs(now - alive_until) > SILENCE:
                floor = max(floor, _just_before(now))
            purged = _value(db, f"SELECT max(created) FROM (SELECT created {_OLDEST})", now - KEPT)  # noqa: S608 - a constant
            if purged is not None:
                floor = max(floor, purged)
                rows = f"SELECT portal_id, nonce {_OLDEST}"
                db.execute(f"DELETE FROM claim WHERE (portal_id, nonce) IN ({rows})", (now - KEPT,))  # noqa: S608 - a constant
            db.execute("UPDATE store SET floor = ?, alive_until = ?", (floor, now))
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have ended the transaction already
                db.execute("ROLLBACK")
            raise
        self._warn_of_future(floor, now)

    def _warn_of_future(self, floor: int, now: float) -> None:
        """Say once why everything is refused: the clock was ahead, and is right again."""
        is_future = floor > now
        if is_future and not self._is_future:
            _log.error(
                "the clock went back: what is signed before %s is refused (or: %s)",
                time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(floor)),
                _REMEDY,
            )
        self._is_future = is_future


def _just_before(now: float) -> int:
    """Return the floor that refuses what was created before this second.

    The second itself is let through: a request signed just after the start must pass, and nobody
    takes a backup, carries out a call and restores the backup within one second.
    """
    return int(now) - 1


def _value(db: sqlite3.Connection, statement: str, *values: object) -> Any:  # noqa: ANN401 - SQLite's
    """Return the first column of the statement's first row."""
    return db.execute(statement, values).fetchone()[0]
