"""The replay store's file: private, made anew where damaged, and what fails lets nothing pass."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.core.errors import Code, Invalid
from proxy.state.replay import Later
from tests.claims import ADA, NONCE, Machine, Process

NOTHING_FITS = b"\xff" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    with closing(Process(path)) as process:
        yield process


def execute(process: Process, *statements: str) -> None:
    """Run statements on all connections of a process."""
    for seat in process.store._seats:
        with seat.use(1) as db:
            for statement in statements:
                db.execute(statement)


# A store that fails


def _fill_the_disk(process: Process) -> None:
    execute(process, "PRAGMA max_page_count = 1")
    for number in range(1000):
        if process.claim(number.to_bytes(1000, "big")) is not None:
            return


def _forbid_writing(process: Process) -> None:
    execute(process, "PRAGMA query_only = ON")


@pytest.mark.parametrize("fault", [_fill_the_disk, _forbid_writing])
def test_a_store_that_fails_lets_nothing_through_and_says_so(
    process: Process, fault: Callable[[Process], None]
) -> None:
    assert process.claim() is None
    epoch = process.epoch()
    fault(process)
    assert process.claim(NOTHING_FITS, epoch) is Code.REPLAY_STORE_DOWN
    with pytest.raises(Later):
        process.at_once(NOTHING_FITS, epoch)
    (problem,) = process.store.problems
    assert problem.file == str(process.path)
    assert "every call of a peer is refused" in problem.what


def test_going_down_and_coming_back_is_said_once_each(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    execute(process, "PRAGMA query_only = ON")
    for _ in range(3):
        process.keep_alive()
    assert "let the proxy write to its folder" in process.store.problems[0].what
    execute(process, "PRAGMA query_only = OFF")
    for _ in range(3):
        process.keep_alive()
    assert process.store.problems == ()
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_a_claim_that_failed_is_a_problem_for_a_while(process: Process) -> None:
    """A sign of life may find room where a claim finds none."""
    execute(process, "PRAGMA query_only = ON")
    assert process.claim(epoch=bytes(16)) is Code.REPLAY_STORE_DOWN
    execute(process, "PRAGMA query_only = OFF")
    process.live(9)
    assert process.store.problems
    process.live(1)
    assert process.store.problems == ()


# What is found damaged while it is open


def _delete(process: Process) -> None:
    process.path.unlink()


def _delete_all(process: Process) -> None:
    for path in process.path.parent.glob(process.path.name + "*"):
        path.unlink()


def _replace(process: Process) -> None:
    new = process.path.with_name("new.db")
    Process(new, process.machine).close()
    new.replace(process.path)


def _drop_the_table(process: Process) -> None:
    with closing(sqlite3.connect(process.path)) as db:
        db.execute("DROP TABLE claim")


def _lose_the_row(process: Process) -> None:
    with closing(sqlite3.connect(process.path, isolation_level=None)) as db:
        db.execute("DELETE FROM store")


def _change_a_type(column: str, value: str) -> Callable[[Process], None]:
    def change(process: Process) -> None:
        with closing(sqlite3.connect(process.path, isolation_level=None)) as db:
            db.execute(f"UPDATE store SET {column} = {value}")

    return change


def _add_a_row(process: Process) -> None:
    with closing(sqlite3.connect(process.path, isolation_level=None)) as db:
        db.execute("INSERT INTO store SELECT x'00', boot, ahead, since, alive, file FROM store")


def _overwrite(process: Process) -> None:
    for path in process.path.parent.glob(process.path.name + "*"):
        if not path.name.endswith(".lock"):
            path.write_bytes(b"garbage " * 4096)


DAMAGE = [
    _delete,
    _delete_all,
    _replace,
    _drop_the_table,
    _lose_the_row,
    _change_a_type("epoch", "'text'"),
    _change_a_type("epoch", "x'00'"),
    _change_a_type("boot", "7"),
    _change_a_type("ahead", "'soon'"),
    _change_a_type("alive", "x'00'"),
    _overwrite,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_store_that_is_damaged_while_it_is_open_is_made_anew(
    process: Process, damage: Callable[[Process], None]
) -> None:
    old = process.epoch()
    assert process.claim() is None
    damage(process)
    assert process.claim(NONCE, old) is Code.OUT_OF_TIME
    assert process.claim(b"unused", old) is Code.OUT_OF_TIME
    new = process.epoch()
    assert new != old
    assert process.claim(b"anew", new) is None
    assert process.at_once(b"and at once", new) is None
    process.keep_alive()
    assert process.store.problems == ()


@pytest.mark.parametrize("damage", [*DAMAGE, _add_a_row])
def test_the_sign_of_life_mends_a_damaged_store(
    process: Process, damage: Callable[[Process], None]
) -> None:
    old = process.epoch()
    damage(process)
    process.keep_alive()
    told = process.store.told(process.machine.now)
    assert told is not None
    assert told.value != old
    assert process.store.problems == ()


# What is found damaged when it is opened


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _another_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE claim (a)")
    db.close()


def _damaged_pages(path: Path) -> None:
    with closing(Process(path)) as process:
        for number in range(500):
            assert process.claim(number.to_bytes(32, "big")) is None
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes([0xA5]) * 4096
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    _damaged_pages(path)
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])


def _another_version(path: Path) -> None:
    Process(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def _a_log_without_its_database(path: Path) -> None:
    """Beside a new database it would be replayed into it."""
    with closing(Process(path)) as process:
        assert process.claim() is None
        log = path.with_name(path.name + "-wal").read_bytes()
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(log)


@pytest.mark.parametrize(
    ("damage", "level"),
    [
        (_garbage, logging.ERROR),
        (_empty, logging.ERROR),
        (_another_database, logging.ERROR),
        (_damaged_pages, logging.ERROR),
        (_cut_short, logging.ERROR),
        (_another_version, logging.INFO),
        (_a_log_without_its_database, logging.INFO),
    ],
)
def test_a_store_that_isnt_one_is_made_anew_and_the_log_says_so(
    path: Path, damage: Callable[[Path], None], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    damage(path)
    if path.exists():
        path.chmod(0o600)
    caplog.clear()
    with caplog.at_level(logging.INFO), closing(Process(path)) as process:
        assert process.rows() == 0
        assert process.claim() is None
        assert process.memory() == 0
    (record,) = caplog.records
    assert record.levelno == level
    assert "made a new replay store" in record.getMessage()
    assert str(path) in record.getMessage()


def test_with_a_bit_that_flips_nothing_passes_twice(path: Path) -> None:
    machine = Machine()
    with closing(Process(path, machine)) as process:
        epoch = process.epoch()
        assert process.claim() is None
    kept = path.with_name("kept")
    kept.hardlink_to(path)  # a copy would be refused, whatever is in it
    whole = kept.read_bytes()
    used = [at for at in range(len(whole)) if whole[at]]
    flips = [(at, 0x10) for at in used[:: max(1, len(used) // 150)]]
    mark = whole.index(sha256(ADA.encode() + b" " + NONCE).digest())
    types = range(mark - 10, mark)  # of its columns, and the turn
    flips += [(at, 1 << bit) for at in types for bit in range(8)]
    flips += [(at, 1 << at % 8) for at in range(mark, mark + 36)]
    found = set()
    for at, bit in flips:
        flipped = bytearray(whole)
        flipped[at] ^= bit
        kept.write_bytes(flipped)
        path.unlink()
        path.hardlink_to(kept)
        with closing(Process(path, machine)) as process:
            found.add(process.claim(NONCE, epoch))
    assert found == {Code.REPLAYED, Code.OUT_OF_TIME}


# The file


def test_the_files_are_private(process: Process, path: Path) -> None:
    assert process.claim() is None
    modes = {file.name: file.stat().st_mode & 0o7777 for file in path.parent.iterdir()}
    assert modes.keys() >= {"replay.db", "replay.db-wal", "replay.db-shm"}
    assert set(modes.values()) == {0o600}


def test_a_store_that_others_can_reach_is_refused(path: Path) -> None:
    Process(path).close()
    path.chmod(0o644)
    with pytest.raises(Invalid, match="chmod 0600"):
        Process(path)


def test_a_link_to_a_store_is_refused(path: Path) -> None:
    Process(path.with_name("real.db")).close()
    path.symlink_to("real.db")
    with pytest.raises(Invalid, match="regular file"):
        Process(path)


def test_a_store_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        Process(tmp_path / "nowhere" / "replay.db")


def test_nothing_waits_for_a_disk(process: Process) -> None:
    """0 is ``OFF``; a checkpoint of its own would come in the middle of a claim."""
    for seat in process.store._seats:
        with seat.use(1) as db:
            assert db.execute("PRAGMA synchronous").fetchone() == (0,)
            assert db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
