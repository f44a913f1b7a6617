"""The replay store: nothing passes twice, whatever happens to clocks, processes and files."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from proxy.core.errors import Code, Refusal
from proxy.state.replay import SILENCE, ReplayStore
from tests.claims import ADA, NONCE, NOW, alive, opened, response

SPAWN = multiprocessing.get_context("spawn")
BOB = "b" * 103


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def store(path: Path) -> Iterator[ReplayStore]:
    with closing(opened(path)) as store:
        yield store


# Once and only once


def test_a_nonce_passes_once(store: ReplayStore) -> None:
    assert response(store) is None
    assert response(store) is Code.REPLAYED
    assert response(store, created=NOW + 1) is Code.REPLAYED


def test_nonces_of_two_senders_have_nothing_to_do_with_each_other(store: ReplayStore) -> None:
    store.claim(ADA, NONCE, NOW, NOW)
    store.claim(BOB, NONCE, NOW, NOW)


def _claim_many(path: Path, now: int, count: int, barrier: Barrier) -> list[str]:
    store = opened(path, now)
    barrier.wait()
    responses = [response(store, created=now, now=now) for _ in range(count)]
    store.close()
    return ["passed" if code is None else code.public for code in responses]


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
    responses = [one for _ in workers for one in results.get(timeout=60)]
    for worker in workers:
        worker.join(60)
    assert sorted(responses) == ["passed"] + ["replayed"] * 199


def test_a_claim_outlasts_a_restart(path: Path) -> None:
    first = opened(path)
    assert response(first) is None
    first.close()
    second = opened(path, NOW + 1)
    assert response(second, now=NOW + 1) is Code.REPLAYED
    second.close()


def test_a_quick_restart_refuses_nothing_else(path: Path) -> None:
    opened(path).close()
    second = opened(path, NOW + SILENCE)
    assert response(second, created=NOW, now=NOW + SILENCE) is None
    second.close()


_CLAIM_FOR_EVER = f"""
import itertools, pathlib, sys
from proxy.state.replay import ReplayStore
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
    responses = {response(store, nonce=number.to_bytes(32, "big")) for number in passed}
    store.close()
    assert responses == {Code.REPLAYED}


# What the store can't vouch for


def test_a_new_store_refuses_what_was_signed_before_it(store: ReplayStore) -> None:
    assert response(store, created=NOW - 1) is Code.OUT_OF_TIME
    assert response(store, created=NOW) is None


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
    assert response(store, created=created, now=NOW + 20) is Code.OUT_OF_TIME
    assert response(store, created=NOW + 20, now=NOW + 20) is None
    store.close()


def test_a_store_opened_with_an_earlier_clock_vouches_for_nothing_before(path: Path) -> None:
    first = opened(path)
    alive(first, NOW, NOW + 100)
    first.close()
    second = opened(path, NOW + 50)
    assert response(second, created=NOW + 49, now=NOW + 50) is Code.OUT_OF_TIME
    assert response(second, created=NOW + 50, now=NOW + 50) is None
    second.close()


def test_every_process_refuses_what_one_of_them_cannot_vouch_for(path: Path) -> None:
    first = opened(path)
    second = opened(path, NOW + 100)
    assert response(first, created=NOW + 99, now=NOW + 100) is Code.OUT_OF_TIME
    assert response(first, created=NOW + 100, now=NOW + 100) is None
    first.close()
    second.close()


def test_a_machine_set_back_to_a_snapshot_refuses_what_it_forgot(store: ReplayStore) -> None:
    """It goes on running, its memory set back as well: only the clock jumps."""
    alive(store, NOW, NOW + 3)
    assert response(store, created=NOW + 50, now=NOW + 60) is Code.OUT_OF_TIME
    assert response(store, created=NOW + 60, now=NOW + 60) is None


def test_a_store_kept_alive_by_another_process_vouches(path: Path) -> None:
    first, second = opened(path), opened(path)
    alive(second, NOW, NOW + 60)
    assert response(first, created=NOW + 10, now=NOW + 60) is None
    first.close()
    second.close()


def test_out_of_time_comes_with_our_clock(store: ReplayStore) -> None:
    with pytest.raises(Refusal) as caught:
        store.claim(ADA, NONCE, NOW - 1, NOW + 0.7)
    assert (caught.value.code, caught.value.now) == (Code.OUT_OF_TIME, NOW)


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
        code = response(self.stores[which], nonce=nonce, created=created, now=self.now)
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
