"""The replay store's database: its tables, what is done in them, and when one isn't to be trusted.

Everything here is one statement or one transaction, on a connection that the caller gives. Nothing
waits for a disk: with ``synchronous = OFF`` SQLite writes into the system's memory alone. What is
there outlives the death of every process, and a database that was open when the machine itself
went down is never trusted again (docs/decisions/0030-replay-epoch.md).

Time goes by *turns* of ``KEPT`` seconds, counted from the machine's start. A claim stands under the
turn in which it was made; a new one is looked for in the turn before and the one after as well, and
what is older goes. The turn is the first part of the key: so no index on time is needed, and since
each process knows the turn by itself, nothing has to be agreed on when one begins
(docs/decisions/0032-turns-of-claims.md).
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from proxy.core.epoch import EPOCH_BYTES, Epoch
from proxy.core.errors import LaterVersion, Problem
from proxy.core.text_files.text import later_than
from proxy.state.boot_clock import BootClock
from proxy.state.files import create_atomically

KEPT = 600
"""Seconds that a claim is kept at least, and twice that at most, by the clock that nobody sets.

Far longer than any signature is valid by the other clock (60 s, and 60 s of skew at either end),
which differs by ``SILENCE`` at most while an epoch lasts.
"""

SILENCE = 5
"""Seconds without a sign of life, or by which the clock may be set, before a new epoch begins.

Short enough that nobody restores a backup within it; long enough for a busy machine.
"""

_PURGE_ROWS = 500
"""Rows deleted in one go: a claim of another process waits for it half a millisecond."""
_LARGE_LOG = 16 * 1024 * 1024
"""Bytes of the write-ahead log above which a checkpoint makes writers wait until it is done."""
_PAGE = 4096

APPLICATION_ID = 0x50724C79
VERSION = 3
LAST_VERSION = 255
"""What is said to be of a later one than this is damaged: no such will be written."""
_SCHEMA = (
    # ``mark`` says which nonce of whom it was; ``checksum`` is that of both others.
    """CREATE TABLE claim (
        turn INTEGER NOT NULL, mark BLOB NOT NULL, checksum INTEGER NOT NULL,
        PRIMARY KEY (turn, mark)) WITHOUT ROWID""",
    # Seconds are the boot clock's; ``ahead`` is by how much the wall's was ahead of it.
    """CREATE TABLE store (
        epoch BLOB NOT NULL, boot TEXT NOT NULL, ahead REAL NOT NULL,
        since REAL NOT NULL, alive REAL NOT NULL, file TEXT NOT NULL)""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
_MADE = [statement for statement in _SCHEMA if statement.startswith("CREATE")]
_CLAIM = f"""
INSERT OR IGNORE INTO claim VALUES (?1, ?2, (
    SELECT ?3 FROM store WHERE epoch = ?4 AND boot = ?5 AND abs(?6 - alive) <= {SILENCE}
    AND abs(?7 - ?6 - ahead) <= {SILENCE}
    AND NOT EXISTS (SELECT 1 FROM claim WHERE turn = ?1 - 1 AND mark = ?2)
    AND NOT EXISTS (SELECT 1 FROM claim WHERE turn = ?1 + 1 AND mark = ?2)))
"""  # noqa: S608 - a constant
"""One statement, so that no other process can begin an epoch between the check and the row.

Where anything speaks against the claim there is no checksum, and a row without one is ignored, as
is one that is there already. (``INSERT ... SELECT`` would do the same by way of a table in memory,
at a third more.) The turn after is another process's, which took the time a moment later.
"""
_IS_CLAIMED = "SELECT 1 FROM claim WHERE turn IN (?1 - 1, ?1, ?1 + 1) AND mark = ?2"
_OF_ANOTHER_TYPE = """
SELECT 1 FROM claim
WHERE typeof(turn) <> 'integer' OR typeof(mark) <> 'blob' OR typeof(checksum) <> 'integer'
"""
_LAST_OF_A_PURGE = f"""
SELECT turn, mark FROM claim WHERE turn < ? ORDER BY turn, mark LIMIT 1 OFFSET {_PURGE_ROWS - 1}
"""  # noqa: S608 - a constant
_BESIDE = ("-wal", "-shm", "-journal")

_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,  # a table or a column is missing
        sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA,
    }
)  # fmt: skip
_PRIMARY = 0xFF


class Damaged(Exception):
    """The database isn't one that can be gone on with; the message says why."""


class Outdated(Damaged):
    """It is sound, and of another time: nothing went wrong."""


class Moment(NamedTuple):
    """A time by both clocks: Unix seconds, and those of this start of the machine."""

    now: float
    boot: str
    seconds: float

    @property
    def turn(self) -> int:
        """The number of the turn that it lies in."""
        return int(self.seconds // KEPT)

    @classmethod
    def of(cls, now: float, clock: BootClock) -> "Moment":
        """Return the moment that is ``now`` by the wall's clock."""
        return cls(now, clock.boot, clock.seconds())


@dataclass(frozen=True)
class Stand:
    """What the database says of itself."""

    epoch: bytes
    boot: str
    ahead: float
    """By how much the wall's clock was ahead of the boot clock when the epoch began."""
    since: float
    """Since when every claim is in it that was made and isn't too old."""
    alive: float

    def is_unbroken(self, at: Moment) -> bool:
        """Tell whether the store was kept alive until now: no claim can have been forgotten."""
        return self.boot == at.boot and abs(at.seconds - self.alive) <= SILENCE

    def is_current(self, at: Moment) -> bool:
        """Tell whether the epoch holds: unbroken, and the clock wasn't set."""
        return self.is_unbroken(at) and abs(at.now - at.seconds - self.ahead) <= SILENCE

    def told(self, at: Moment) -> Epoch:
        """Return what a sender is told of it."""
        return Epoch(self.epoch, int(1000 * min(max(at.seconds - self.since, 0), KEPT)))


def make_database(path: Path, at: Moment) -> None:
    """Make an empty database with an epoch of its own, whatever is there; raises as SQLite does.

    The database itself goes first: without it nothing that a crash leaves is taken for a store.
    A log that is left beside a new database, however, would be replayed into it.
    """
    for name in (path.name, *(path.name + suffix for suffix in _BESIDE)):
        path.with_name(name).unlink(missing_ok=True)
    create_atomically(path, b"")
    db = connect(path, wait=1)
    try:
        with transaction(db):
            for statement in _SCHEMA:
                db.execute(statement)
            stand = _begun(at, at.seconds)
            row = (*_row(stand), _file_at(path))
            db.execute("INSERT INTO store VALUES (?, ?, ?, ?, ?, ?)", row)
    finally:
        db.close()


def connect(path: Path, wait: float) -> sqlite3.Connection:
    """Connect; a statement waits ``wait`` seconds for another connection's, and for no disk.

    Raises as SQLite does, and ``LaterVersion``.
    """
    # mode=rw: SQLite itself must never make a file, which would have other rights than ours.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        refuse_later(db, path)  # before its journal is another one
        db.execute("PRAGMA synchronous = OFF")
        mode = value(db, "PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA journal_size_limit = {_LARGE_LOG}")
        db.execute(f"PRAGMA busy_timeout = {int(1000 * wait)}")
    except BaseException:
        db.close()
        raise
    if mode != "wal":
        db.close()
        raise sqlite3.OperationalError("its file system has no write-ahead log")
    return db


def examine(db: sqlite3.Connection, path: Path, at: Moment) -> None:
    """Raise ``Damaged`` unless this is a whole store of ours, made since the machine started.

    ``path`` is where it was opened. A copy isn't gone on with, be it a second old: a backup that
    somebody put back knows nothing of what was claimed since.
    """
    if value(db, "PRAGMA application_id") != APPLICATION_ID:
        raise Damaged("it isn't a replay store")
    if value(db, "PRAGMA user_version") != VERSION:
        raise Outdated("it is a replay store of another version")
    if [row[0] for row in db.execute("SELECT sql FROM sqlite_master ORDER BY rowid")] != _MADE:
        raise Damaged("its tables aren't those of a replay store")
    fault = value(db, "PRAGMA integrity_check(1)")
    if fault != "ok":
        raise Damaged(f"its pages are damaged ({fault})")
    if read_stand(db).boot != at.boot:
        raise Outdated("it is from before the machine was started")
    if value(db, "SELECT file FROM store") != _file_at(path):
        raise Outdated("it is a copy, as one that was restored")
    # SQLite notices no bit that flips in a value, or in what says of which type one is.
    if db.execute(_OF_ANOTHER_TYPE).fetchone() is not None:
        raise Damaged("a claim in it is damaged")
    for turn, mark, checksum in db.execute("SELECT turn, mark, checksum FROM claim"):
        if checksum != _checksum(turn, mark):
            raise Damaged("a claim in it is damaged")


def refuse_later(db: sqlite3.Connection, path: Path) -> None:
    """Raise ``LaterVersion`` for a store in the form of a later program: another one may use it."""
    stated = value(db, "PRAGMA user_version")
    is_ours = value(db, "PRAGMA application_id") == APPLICATION_ID
    if is_ours and VERSION < stated <= LAST_VERSION:
        raise LaterVersion([Problem(str(path), "", later_than(stated, VERSION))])


def read_stand(db: sqlite3.Connection) -> Stand:
    """Return what the database says of itself; raises ``Damaged``."""
    rows = db.execute("SELECT epoch, boot, ahead, since, alive FROM store").fetchall()
    types = (bytes, str, float, float, float)
    if len(rows) != 1 or tuple(map(type, rows[0])) != types or len(rows[0][0]) != EPOCH_BYTES:
        raise Damaged("its one row about itself is missing or damaged")
    return Stand(*rows[0])


def claim(
    db: sqlite3.Connection, portal_id: str, nonce: bytes, epoch: bytes | None, at: Moment
) -> bool:
    """Claim the nonce; tells whether that was done.

    It wasn't where the nonce is known (``is_claimed``), or where the store (``read_stand``) isn't
    current or has another epoch.
    """
    turn, mark = at.turn, _mark(portal_id, nonce)
    values = (turn, mark, _checksum(turn, mark), epoch, at.boot, at.seconds, at.now)
    return db.execute(_CLAIM, values).rowcount == 1


def is_claimed(db: sqlite3.Connection, portal_id: str, nonce: bytes, at: Moment) -> bool:
    """Tell whether the nonce is known."""
    found = db.execute(_IS_CLAIMED, (at.turn, _mark(portal_id, nonce)))
    return found.fetchone() is not None


def show_life(db: sqlite3.Connection, at: Moment) -> tuple[Stand, str]:
    """Write that the store lives; begin a new epoch where it can't vouch for what was before.

    Returns how it stands then, and why a new epoch began, or "". What was claimed stays: who was
    refused because of a new epoch sends the same nonce again.
    """
    with transaction(db):
        before = read_stand(db)
        why = ""
        stand = before
        if not before.is_unbroken(at):
            stand = _begun(at, at.seconds)
            why = f"it wasn't kept alive for {at.seconds - before.alive:.0f} s"
            db.execute("DELETE FROM claim WHERE turn > ?", (at.turn,))
        elif not before.is_current(at):
            stand = _begun(at, before.since)
            why = f"the clock was set by {at.now - at.seconds - before.ahead:+.0f} s"
        row = (*_row(stand)[:-1], at.seconds)
        db.execute("UPDATE store SET epoch=?, boot=?, ahead=?, since=?, alive=?", row)
    return stand, why


def purge(db: sqlite3.Connection, at: Moment) -> bool:
    """Delete some of the claims that are too old to matter; tells whether there may be more.

    They stand one beside the other, so a whole range goes: by its ends, not by a list of rows, at
    a twelfth of the time.
    """
    kept = at.turn - 1
    last = db.execute(_LAST_OF_A_PURGE, (kept,)).fetchone()
    if last is None:
        db.execute("DELETE FROM claim WHERE turn < ?", (kept,))
        return False
    db.execute("DELETE FROM claim WHERE (turn, mark) <= (?, ?)", last)
    return True


def checkpoint(db: sqlite3.Connection) -> None:
    """Move what is in the write-ahead log into the database, so that the log begins anew."""
    _, pages, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages * _PAGE > _LARGE_LOG:
        db.execute("PRAGMA wal_checkpoint(RESTART)")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do what is in the block as one, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have ended it already
            db.execute("ROLLBACK")
        raise


def is_damage(error: Exception) -> bool:
    """Tell whether the database is at fault, and not its disk, its rights or who holds it."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, Damaged)
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & _PRIMARY in _DAMAGE


def value(db: sqlite3.Connection, statement: str) -> Any:  # noqa: ANN401 - SQLite's
    """Return the first column of the statement's first row."""
    return db.execute(statement).fetchone()[0]


def _begun(at: Moment, since: float) -> Stand:
    """Return how a store stands whose epoch begins now."""
    epoch = secrets.token_bytes(EPOCH_BYTES)
    return Stand(epoch, at.boot, at.now - at.seconds, since, at.seconds)


def _mark(portal_id: str, nonce: bytes) -> bytes:
    """Return what stands for this nonce of this Portal, and for no other."""
    return sha256(portal_id.encode() + b" " + nonce).digest()


def _checksum(turn: int, mark: bytes) -> int:
    return crc32(mark, turn)


def _file_at(path: Path) -> str:
    """Return what no copy of the file shares with it, but for one that was written over it."""
    status = path.stat()
    return f"{status.st_dev}:{status.st_ino}"


def _row(stand: Stand) -> tuple[object, ...]:
    return stand.epoch, stand.boot, stand.ahead, stand.since, stand.alive
