"""The replay store: nothing passes twice, whatever happens to clocks, processes and files."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from proxy.core.errors import Code, Refusal
from proxy.core.signature.request import LIFETIME, SKEW
from proxy.state.replay import Later, ReplayStore
from tests.claims import ADA, NONCE, Machine, Process
from tests.patience import PATIENCE

SPAWN = multiprocessing.get_context("spawn")
BOB = "b" * 103


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    with closing(Process(path)) as process:
        yield process


# Once and only once


def test_a_nonce_passes_once(process: Process) -> None:
    assert process.claim() is None
    assert process.claim() is Code.REPLAYED


def test_the_event_loop_claims_as_every_thread_does(process: Process) -> None:
    epoch = process.epoch()
    assert process.at_once(epoch=epoch) is None
    assert process.at_once(epoch=epoch) is Code.REPLAYED
    assert process.claim() is Code.REPLAYED
    assert process.claim(b"another") is None
    assert process.at_once(b"another", epoch) is Code.REPLAYED


def test_nonces_of_two_senders_have_nothing_to_do_with_each_other(process: Process) -> None:
    epoch, now = process.epoch(), process.machine.now
    process.store.claim(ADA, NONCE, epoch, now=now)
    process.store.claim(BOB, NONCE, epoch, now=now)


@pytest.mark.parametrize("epoch", [None, bytes(16)])
def test_what_was_signed_under_another_epoch_or_none_is_out_of_time(
    process: Process, epoch: bytes | None
) -> None:
    assert process.try_(NONCE, epoch) is Code.OUT_OF_TIME
    assert process.at_once(NONCE, epoch) is Code.OUT_OF_TIME
    assert process.rows() == 0


def test_out_of_time_comes_with_our_clock(process: Process) -> None:
    process.machine.wait(0.7)
    with pytest.raises(Refusal) as caught:
        process.store.claim(ADA, NONCE, None, now=process.machine.now)
    assert caught.value.now == int(process.machine.now)


def test_each_store_has_an_epoch_of_its_own(tmp_path: Path) -> None:
    epochs = []
    for name in ("one", "two"):
        with closing(Process(tmp_path / name)) as process:
            epochs.append(process.epoch())
    assert len(set(epochs)) == 2
    assert {len(epoch) for epoch in epochs} == {16}


def _tell_many(
    path: Path, count: int, barrier: Barrier, results: "multiprocessing.Queue[list[str]]"
) -> None:
    process = Process(path)
    epoch = process.epoch()
    barrier.wait()
    responses = [process.claim(epoch=epoch) for _ in range(count)]
    process.close()
    results.put(["passed" if code is None else code.public for code in responses])


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


def test_of_many_at_once_in_the_loop_and_in_threads_one_passes(process: Process) -> None:
    epoch, found = process.epoch(), []
    gate = threading.Barrier(8)

    def claim(number: int) -> None:
        gate.wait()
        for _ in range(20):
            try:
                found.append(process.at_once(epoch=epoch) if number else process.claim())
            except Later:
                found.append(process.claim(epoch=epoch))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(code.public if code else "passed" for code in found) == (
        ["passed"] + ["replayed"] * 159
    )


def test_a_claim_outlasts_a_restart(process: Process) -> None:
    epoch = process.epoch()
    assert process.claim() is None
    process.restart()
    process.machine.wait(1)
    assert process.epoch() == epoch
    assert process.claim() is Code.REPLAYED


_CLAIM_FOR_EVER = """
import itertools, pathlib, sys
from tests.claims import Process
process = Process(pathlib.Path(sys.argv[1]))
epoch = process.epoch()
for number in itertools.count():
    assert process.at_once(number.to_bytes(32, "big"), epoch) is None
    print(number, flush=True)
"""


def test_what_passed_before_a_kill_is_refused_after_it(path: Path) -> None:
    command = [sys.executable, "-c", _CLAIM_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        passed = [int(killed.stdout.readline()) for _ in range(200)]
        killed.send_signal(signal.SIGKILL)
        passed += [int(line) for line in killed.stdout if line.endswith("\n")]
    with closing(Process(path)) as process:
        responses = {process.claim(number.to_bytes(32, "big")) for number in passed}
    assert responses == {Code.REPLAYED}


# Waiting


def test_the_event_loop_doesnt_wait_for_another_process(process: Process) -> None:
    epoch = process.epoch()
    other = sqlite3.connect(process.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Later):
        process.at_once(epoch=epoch)
    threading.Timer(0.1, other.execute, ("ROLLBACK",))
    other.execute("ROLLBACK")
    other.close()
    assert process.claim(epoch=epoch) is None


def test_a_thread_waits_for_another_process(process: Process) -> None:
    epoch = process.epoch()
    other = sqlite3.connect(process.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done: list[Code | None] = []
    waiting = threading.Thread(target=lambda: done.append(process.claim(epoch=epoch)))
    waiting.start()
    other.execute("ROLLBACK")
    waiting.join(PATIENCE)
    other.close()
    assert done == [None]


def test_a_store_that_is_locked_too_long_lets_nothing_through_and_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.state.replay._LOCK_WAIT", 0.02)
    with closing(Process(path)) as process:
        epoch = process.epoch()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert process.claim(epoch=epoch) is Code.REPLAY_STORE_DOWN
        other.execute("ROLLBACK")
        other.close()
        assert process.claim(epoch=epoch) is None


def test_what_keeps_alive_and_what_claims_may_be_in_any_thread(process: Process) -> None:
    threads = [threading.Thread(target=process.keep_alive) for _ in range(4)]
    threads += [threading.Thread(target=process.claim, args=(bytes([n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.rows() == 4
    assert process.store.problems == ()


class AnyClock(RuleBasedStateMachine):
    """Claims, signs of life, restarts, backups that are put back, and a clock that is set.

    Requests are signed by the clock on the wall and judged by it, as the gate does before a claim:
    nothing passes twice.
    """

    @initialize()
    def start(self) -> None:
        self.folder = Path(os.environ["REPLAY_FUZZ"])
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.machine = Machine()
        self.path = self.folder / "replay.db"
        self.passed: list[tuple[bytes, bytes, int]] = []
        self.done: set[tuple[bytes, bytes, int]] = set()
        self.processes = [Process(self.path, self.machine) for _ in range(2)]
        self.backup: bytes | None = None

    @rule(seconds=st.sampled_from([0.4, 1, 4.9, 30, 601]))
    def wait(self, seconds: float) -> None:
        self.machine.wait(seconds)

    @rule(which=st.integers(0, 1), times=st.sampled_from([10, 120, 133, 134]))
    def live(self, which: int, times: int) -> None:
        """Show life for up to a turn of the claims, and a little more."""
        for _ in range(times):
            self.machine.wait(4.5)
            self.processes[which].keep_alive()

    @rule(seconds=st.sampled_from([4, 30, 601, 31_536_000, -4, -30, -601, -31_536_000]))
    def set_clock(self, seconds: float) -> None:
        self.machine.set_clock(seconds)

    @rule(which=st.integers(0, 1))
    def keep_alive(self, which: int) -> None:
        self.processes[which].keep_alive()

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.processes[which].restart()

    @rule()
    def back_up(self) -> None:
        for process in self.processes:
            process.close()
        self.backup = self.path.read_bytes()
        for process in self.processes:
            process.__post_init__()

    @rule(seconds=st.sampled_from([6, 30]), back=st.booleans())
    def put_back(self, seconds: float, *, back: bool) -> None:
        """Restore the backup, and set the clock back to when it was made or later."""
        if self.backup is None:
            return
        for process in self.processes:
            process.close()
        self.machine.wait(seconds)
        if back:
            self.machine.set_clock(-seconds)
        self.path.write_bytes(self.backup)
        for process in self.processes:
            process.__post_init__()

    @rule()
    def start_the_machine_anew(self) -> None:
        for process in self.processes:
            process.close()
        self.machine.start_anew(self.machine.seconds)
        for process in self.processes:
            process.__post_init__()

    @rule(which=st.integers(0, 1), number=st.integers(0, 3), ago=st.integers(-60, 120))
    def claim(self, which: int, number: int, ago: int) -> None:
        process = self.processes[which]
        signed = bytes([number]), process.epoch(), int(self.machine.now) - ago
        self.try_to_pass(process, signed)

    @rule(which=st.integers(0, 1))
    def replay_everything(self, which: int) -> None:
        for signed in self.passed:
            self.try_to_pass(self.processes[which], signed)

    def try_to_pass(self, process: Process, signed: tuple[bytes, bytes, int]) -> None:
        nonce, epoch, created = signed
        if created > self.machine.now + SKEW or created + LIFETIME < self.machine.now - SKEW:
            return
        code = process.claim(nonce, epoch)
        if code is None:
            assert signed not in self.done
            self.done.add(signed)
            self.passed.append(signed)
        else:
            assert code in {Code.REPLAYED, Code.OUT_OF_TIME}

    def teardown(self) -> None:
        for process in getattr(self, "processes", []):
            process.close()


@pytest.mark.more
def test_nothing_passes_twice_whatever_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAY_FUZZ", str(tmp_path / "fuzz"))
    (tmp_path / "fuzz").mkdir()
    machine = AnyClock.TestCase
    machine.settings = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    machine().runTest()


def test_a_closed_store_lets_nothing_through(process: Process) -> None:
    epoch = process.epoch()
    process.close()
    assert process.claim(epoch=epoch) is Code.REPLAY_STORE_DOWN
    with pytest.raises(Later):
        process.at_once(epoch=epoch)
    assert process.store.told(process.machine.now) is None
    assert isinstance(process.store, ReplayStore)
