"""The replay store: nothing passes twice, whatever happens to clocks, processes and files."""

import logging
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from proxy.core.errors import Code, Invalid, Refusal
from proxy.replay import KEPT, SILENCE, ReplayStore

SPAWN = multiprocessing.get_context("spawn")
NOW = 1_800_000_000
ADA = "a" * 103
BOB = "b" * 103
NONCE = bytes(32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def store(path: Path) -> Iterator[ReplayStore]:
    store = opened(path)
    yield store
    store.close()


def opened(path: Path, now: float = NOW) -> ReplayStore:
    store = ReplayStore(path)
    store.open(now)
    return store


def answer(
    store: ReplayStore, *, nonce: bytes = NONCE, created: int = NOW, now: float = NOW
) -> Code | None:
    """Return why the claim was refused, or ``None`` where it passed."""
    try:
        store.claim(ADA, nonce, created, now)
    except Refusal as refusal:
        return refusal.code
    return None


def alive(store: ReplayStore, start: int, end: int) -> None:
    for now in range(start, end + 1):
        store.keep_alive(now)


# Once and only once


def test_a_nonce_passes_once(store: ReplayStore) -> None:
    assert answer(store) is None
    assert answer(store) is Code.REPLAYED
    assert answer(store, created=NOW + 1) is Code.REPLAYED


def test_nonces_of_two_senders_have_nothing_to_do_with_each_other(store: ReplayStore) -> None:
    store.claim(ADA, NONCE, NOW, NOW)
    store.claim(BOB, NONCE, NOW, NOW)


def _claim_many(path: Path, now: int, count: int, barrier: Barrier) -> list[str]:
    store = opened(path, now)
    barrier.wait()
    answers = [answer(store, created=now, now=now) for _ in range(count)]
    store.close()
    return ["passed" if code is None else code.public for code in answers]


def _tell_many(
    path: Path, count: int, barrier: Barrier, results: "multiprocessing.Queue[list[str]]"
) -> None:
    results.put(_claim_many(path, NOW, count, barrier))


def test_of_200_claims_at_once_in_four_processes_one_passes(path: Path) -> None:
    barrier, results = SPAWN.Barrier(4), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=_tell_many, args=(path, 50, barrier, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    answers = [one for _ in workers for one in results.get(timeout=60)]
    for worker in workers:
        worker.join(60)
    assert sorted(answers) == ["passed"] + ["replayed"] * 199


def test_a_claim_outlasts_a_restart(path: Path) -> None:
    first = opened(path)
    assert answer(first) is None
    first.close()
    second = opened(path, NOW + 1)
    assert answer(second, now=NOW + 1) is Code.REPLAYED
    second.close()


def test_a_quick_restart_refuses_nothing_else(path: Path) -> None:
    opened(path).close()
    second = opened(path, NOW + SILENCE)
    assert answer(second, created=NOW, now=NOW + SILENCE) is None
    second.close()


_CLAIM_FOR_EVER = f"""
import itertools, pathlib, sys
from proxy.replay import ReplayStore
store = ReplayStore(pathlib.Path(sys.argv[1]))
store.open({NOW})
for number in itertools.count():
    store.claim({ADA!r}, number.to_bytes(32, "big"), {NOW}, {NOW})
    print(number, flush=True)
"""


def test_what_passed_before_a_kill_is_refused_after_it(path: Path) -> None:
    command = [sys.executable, "-c", _CLAIM_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        passed = [int(process.stdout.readline()) for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        passed += [int(line) for line in process.stdout if line.endswith("\n")]
    store = opened(path, NOW + 1)
    answers = {answer(store, nonce=number.to_bytes(32, "big")) for number in passed}
    store.close()
    assert answers == {Code.REPLAYED}


# What the store can't vouch for


def test_a_new_store_refuses_what_was_signed_before_it(store: ReplayStore) -> None:
    assert answer(store, created=NOW - 1) is Code.OUT_OF_TIME
    assert answer(store, created=NOW) is None


def restore_after(path: Path, change: Callable[[ReplayStore], None]) -> None:
    """Back the store up, change it, and put the backup back."""
    store = opened(path, NOW - 100)
    alive(store, NOW - 100, NOW)
    store.close()
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    store = opened(path)
    change(store)
    store.close()
    shutil.copy(backup, path)


@pytest.mark.parametrize("created", [NOW - 30, NOW, NOW + 10])
def test_a_restored_store_refuses_what_was_signed_before_it(path: Path, created: int) -> None:
    """Also what was signed before the backup and carried out after it."""

    def carry_out(store: ReplayStore) -> None:
        store.claim(ADA, NONCE, NOW + 10, NOW + 10)

    restore_after(path, carry_out)
    store = opened(path, NOW + 20)
    assert answer(store, created=created, now=NOW + 20) is Code.OUT_OF_TIME
    assert answer(store, created=NOW + 20, now=NOW + 20) is None
    store.close()


def test_a_store_opened_with_an_earlier_clock_vouches_for_nothing_before(path: Path) -> None:
    first = opened(path)
    alive(first, NOW, NOW + 100)
    first.close()
    second = opened(path, NOW + 50)
    assert answer(second, created=NOW + 49, now=NOW + 50) is Code.OUT_OF_TIME
    assert answer(second, created=NOW + 50, now=NOW + 50) is None
    second.close()


def test_every_process_refuses_what_one_of_them_cannot_vouch_for(path: Path) -> None:
    first = opened(path)
    second = opened(path, NOW + 100)
    assert answer(first, created=NOW + 99, now=NOW + 100) is Code.OUT_OF_TIME
    assert answer(first, created=NOW + 100, now=NOW + 100) is None
    first.close()
    second.close()


def test_a_machine_set_back_to_a_snapshot_refuses_what_it_forgot(store: ReplayStore) -> None:
    """It goes on running, its memory set back as well: only the clock jumps."""
    alive(store, NOW, NOW + 3)
    assert answer(store, created=NOW + 50, now=NOW + 60) is Code.OUT_OF_TIME
    assert answer(store, created=NOW + 60, now=NOW + 60) is None


def test_a_store_kept_alive_by_another_process_vouches(path: Path) -> None:
    first, second = opened(path), opened(path)
    alive(second, NOW, NOW + 60)
    assert answer(first, created=NOW + 10, now=NOW + 60) is None
    first.close()
    second.close()


def test_out_of_time_comes_with_our_clock(store: ReplayStore) -> None:
    with pytest.raises(Refusal) as caught:
        store.claim(ADA, NONCE, NOW - 1, NOW + 0.7)
    assert (caught.value.code, caught.value.now) == (Code.OUT_OF_TIME, NOW)


# Purging


def test_a_claim_is_kept_its_time_and_then_refused_by_the_floor(store: ReplayStore) -> None:
    assert answer(store) is None
    alive(store, NOW, NOW + KEPT)
    assert answer(store, now=NOW + KEPT) is Code.REPLAYED
    assert rows(store) == 1
    store.keep_alive(NOW + KEPT + 1)
    assert rows(store) == 0
    assert answer(store, now=NOW + KEPT + 1) is Code.OUT_OF_TIME
    assert answer(store, created=NOW + 1, now=NOW + KEPT + 1) is None


def test_a_claim_signed_ahead_is_no_more_forgotten_than_others(store: ReplayStore) -> None:
    assert answer(store, created=NOW + 60) is None
    alive(store, NOW, NOW + KEPT + 1)
    assert rows(store) == 0
    assert answer(store, created=NOW + 60, now=NOW + KEPT + 1) is Code.OUT_OF_TIME


def test_purging_a_later_claim_never_lowers_the_floor(store: ReplayStore) -> None:
    assert answer(store, nonce=b"ahead", created=NOW + 60) is None
    alive(store, NOW, NOW + 1)
    assert answer(store, nonce=b"later", created=NOW, now=NOW + 1) is None
    alive(store, NOW + 1, NOW + KEPT + 2)
    assert rows(store) == 0
    late = NOW + KEPT + 2
    assert answer(store, nonce=b"ahead", created=NOW + 60, now=late) is Code.OUT_OF_TIME


def test_a_clock_set_back_brings_nothing_purged_back_to_life(store: ReplayStore) -> None:
    assert answer(store) is None
    alive(store, NOW, NOW + KEPT + 1)
    assert rows(store) == 0
    store.keep_alive(NOW)
    assert answer(store) is Code.OUT_OF_TIME


def test_a_clock_set_back_says_what_to_do(
    store: ReplayStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.keep_alive(NOW + 1000)
    for _ in range(3):
        store.keep_alive(NOW)
    assert answer(store, created=NOW + 998) is Code.OUT_OF_TIME
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "remove the file" in caplog.text


def test_many_old_rows_go_a_batch_at_a_time_and_none_is_reborn(
    store: ReplayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "proxy.replay._OLDEST", "FROM claim WHERE claimed < ? ORDER BY claimed LIMIT 2"
    )
    for number in range(5):
        assert answer(store, nonce=bytes([number])) is None
    alive(store, NOW, NOW + KEPT)
    late = NOW + KEPT + 1
    for left in (3, 1, 0):
        store.keep_alive(late)
        assert rows(store) == left
    answers = [answer(store, nonce=bytes([number]), now=late) for number in range(5)]
    assert answers == [Code.OUT_OF_TIME] * 5


def rows(store: ReplayStore) -> int:
    assert store._db is not None
    count: int = store._db.execute("SELECT count(*) FROM claim").fetchone()[0]
    return count


class AnyClock(RuleBasedStateMachine):
    """Claims, sign of life, restarts and a clock that jumps anywhere: nothing passes twice."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(os.environ["REPLAY_FUZZ"])
        for file in self.folder.iterdir():
            file.unlink()
        self.now = float(NOW)
        self.passed: set[tuple[bytes, int]] = set()
        self.stores = [opened(self.folder / "replay.db", self.now) for _ in range(2)]

    @rule(seconds=st.sampled_from([0.4, 1, 4.9, 30, 601, 5000, -0.4, -4, -30, -601, -5000]))
    def move_clock(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 1))
    def keep_alive(self, which: int) -> None:
        self.stores[which].keep_alive(self.now)

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = opened(self.folder / "replay.db", self.now)

    @rule(which=st.integers(0, 1), number=st.integers(0, 3), ago=st.integers(-60, 120))
    def claim(self, which: int, number: int, ago: int) -> None:
        self.try_to_pass(which, bytes([number]), int(self.now) - ago)

    @rule(which=st.integers(0, 1))
    def replay_everything(self, which: int) -> None:
        for nonce, created in sorted(self.passed):
            self.try_to_pass(which, nonce, created)

    def try_to_pass(self, which: int, nonce: bytes, created: int) -> None:
        code = answer(self.stores[which], nonce=nonce, created=created, now=self.now)
        if code is None:
            assert (nonce, created) not in self.passed
            self.passed.add((nonce, created))
        else:
            assert code in {Code.REPLAYED, Code.OUT_OF_TIME}

    def teardown(self) -> None:
        for store in getattr(self, "stores", []):
            store.close()


def test_nothing_passes_twice_whatever_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_FUZZ", str(tmp_path))
    machine = AnyClock.TestCase
    machine.settings = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    machine().runTest()


# A store that fails


def _delete(_store: ReplayStore, path: Path) -> None:
    path.unlink()


def _replace(_store: ReplayStore, path: Path) -> None:
    new = path.with_name("new.db")
    opened(new).close()
    new.replace(path)


def _fill_the_disk(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1000):
        if answer(store, nonce=number.to_bytes(1000, "big")) is not None:
            return


def _forbid_writing(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    store._db.execute("PRAGMA query_only = ON")


def _drop_the_table(store: ReplayStore, _path: Path) -> None:
    assert store._db is not None
    store._db.execute("DROP TABLE claim")


def _close(store: ReplayStore, _path: Path) -> None:
    store.close()


@pytest.mark.parametrize(
    "fault", [_delete, _replace, _fill_the_disk, _forbid_writing, _drop_the_table, _close]
)
def test_a_store_that_fails_lets_nothing_through(
    store: ReplayStore, path: Path, fault: Callable[[ReplayStore, Path], None]
) -> None:
    assert answer(store) is None
    fault(store, path)
    assert answer(store, nonce=b"\xff" * 1000) is Code.REPLAY_STORE_DOWN


def test_a_store_that_is_locked_too_long_lets_nothing_through_and_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.replay._LOCK_WAIT", 0.02)
    store = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert answer(store) is Code.REPLAY_STORE_DOWN
    other.execute("ROLLBACK")
    other.close()
    assert answer(store) is None
    store.close()


def test_a_number_that_no_database_holds_is_out_of_time(store: ReplayStore) -> None:
    assert answer(store, created=2**63) is Code.OUT_OF_TIME
    assert answer(store, created=-(2**70)) is Code.OUT_OF_TIME


def test_going_down_and_coming_back_is_said_once_each(
    store: ReplayStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    for _ in range(3):
        store.keep_alive(NOW)
    aside.rename(path)
    for _ in range(3):
        store.keep_alive(NOW)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


# The file


def test_the_files_are_private(store: ReplayStore, path: Path) -> None:
    assert answer(store) is None
    modes = {file.name: file.stat().st_mode & 0o7777 for file in path.parent.iterdir()}
    assert modes.keys() >= {"replay.db", "replay.db-wal", "replay.db-shm"}
    assert set(modes.values()) == {0o600}


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def _another_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE claim (a)")
    db.close()


def _damaged_pages(path: Path) -> None:
    store = opened(path)
    for number in range(500):
        assert answer(store, nonce=number.to_bytes(32, "big")) is None
    store.close()
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes([0xA5]) * 4096
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    _damaged_pages(path)
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])


@pytest.mark.parametrize("damage", [_garbage, _another_database, _damaged_pages, _cut_short])
def test_a_damaged_store_is_refused_and_not_replaced(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(Invalid, match="remove the file"):
        opened(path, NOW + 1)
    assert path.read_bytes() == before


def test_a_store_that_others_can_reach_is_refused(path: Path) -> None:
    opened(path).close()
    path.chmod(0o644)
    with pytest.raises(Invalid, match="chmod 0600"):
        opened(path)


def test_a_link_to_a_store_is_refused(path: Path) -> None:
    opened(path.with_name("real.db")).close()
    path.symlink_to("real.db")
    with pytest.raises(Invalid, match="regular file"):
        opened(path)


def test_a_store_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        opened(tmp_path / "nowhere" / "replay.db")


def test_a_removed_store_starts_anew_and_refuses_what_was_before(path: Path) -> None:
    first = opened(path)
    assert answer(first) is None
    first.close()
    path.unlink()
    second = opened(path, NOW + 2)
    assert answer(second, now=NOW + 2) is Code.OUT_OF_TIME
    second.close()
