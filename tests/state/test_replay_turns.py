"""The turns by which claims are kept: none is forgotten at a border, whoever looks or dies."""

import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from proxy.core.errors import Code
from proxy.state.replay_file import KEPT
from tests.claims import NOW, Machine, Process

SPAWN = multiprocessing.get_context("spawn")
BORDER = 10.0 * KEPT
"""When a turn begins."""
MANY = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    with closing(Process(path)) as process:
        yield process


def at(seconds: float) -> Machine:
    """Return a machine, so many seconds from when a turn begins."""
    return Machine(NOW + seconds, BORDER + seconds)


@pytest.mark.parametrize("seconds", [-1, -0.001, 0, 0.001, 1, KEPT / 2])
@pytest.mark.parametrize("later", [0, 2, KEPT / 2, KEPT - 2, KEPT])
def test_a_claim_is_known_wherever_in_its_turn_it_was_made(
    path: Path, seconds: float, later: float
) -> None:
    with closing(Process(path, at(seconds))) as process:
        assert process.claim() is None
        process.live(int(later))
        assert process.at_once(epoch=process.epoch()) is Code.REPLAYED
        assert process.claim() is Code.REPLAYED
        process.restart()
        assert process.claim() is Code.REPLAYED
        assert process.rows() == 1


@pytest.mark.parametrize("seconds", [-1, 0, KEPT / 2])
def test_a_claim_is_gone_two_turns_later(path: Path, seconds: float) -> None:
    with closing(Process(path, at(seconds))) as process:
        assert process.claim() is None
        process.live(2 * KEPT)
        assert process.rows() == 0


@pytest.mark.parametrize("is_behind_first", [False, True])
def test_two_processes_that_took_the_time_on_either_side_of_a_border_see_each_other(
    path: Path, *, is_behind_first: bool
) -> None:
    with closing(Process(path, at(-1))) as behind, closing(Process(path, at(1))) as ahead:
        first, second = (behind, ahead) if is_behind_first else (ahead, behind)
        assert first.claim() is None
        assert second.claim() is Code.REPLAYED
        assert second.at_once(epoch=second.epoch()) is Code.REPLAYED
        assert first.claim() is Code.REPLAYED
        assert first.rows() == 1


def _claim_all(
    path: Path,
    seconds: float,
    barrier: Barrier,
    results: "multiprocessing.Queue[list[tuple[int, str]]]",
) -> None:
    with closing(Process(path, at(seconds))) as process:
        epoch = process.epoch()
        barrier.wait()
        found = [(n, process.claim(n.to_bytes(32, "big"), epoch)) for n in range(MANY)]
    results.put([(n, code.public if code else "passed") for n, code in found])


def test_at_a_border_each_of_many_passes_in_one_of_four_processes(path: Path) -> None:
    barrier, results = SPAWN.Barrier(4), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=_claim_all, args=(path, seconds, barrier, results))
        for seconds in (-0.2, -0.1, 0.1, 0.2)
    ]
    for worker in workers:
        worker.start()
    found = Counter(one for _ in workers for one in results.get(timeout=60))
    for worker in workers:
        worker.join(60)
    assert found == {
        **{(number, "passed"): 1 for number in range(MANY)},
        **{(number, "replayed"): 3 for number in range(MANY)},
    }


@pytest.mark.parametrize("by", [31_536_000, -31_536_000, KEPT, -KEPT])
def test_a_clock_that_is_set_moves_no_turn(path: Path, by: float) -> None:
    with closing(Process(path, at(-1))) as process:
        assert process.claim() is None
        process.machine.set_clock(by)
        process.live(KEPT)
        assert process.claim() is Code.REPLAYED
        process.machine.set_clock(-by)
        assert process.claim() is Code.REPLAYED


def test_after_a_silence_of_many_turns_what_was_claimed_is_dead_and_goes(process: Process) -> None:
    epoch = process.epoch()
    assert process.claim() is None
    process.machine.wait(5 * KEPT)
    assert process.claim(epoch=epoch) is Code.OUT_OF_TIME
    process.keep_alive()
    assert process.rows() == 0


_CLAIM_AND_PURGE = """
import pathlib, sys
from proxy.state import replay, replay_file
from tests.claims import Process
from tests.state.test_replay_turns import at

replay._PAUSE = 0
replay_file._LAST_OF_A_PURGE = replay_file._LAST_OF_A_PURGE.replace("499", "0")
process = Process(pathlib.Path(sys.argv[1]), at(-4))
for turn, waits in enumerate((150, 0, 0)):
    for number in range(100):
        assert process.at_once(bytes([turn, number]), process.epoch()) is None
    for _ in range(waits):
        process.machine.wait(4)
        process.keep_alive()
    if turn == 1:
        process.machine.wait(4)
print(process.machine.now, process.machine.seconds, process.epoch().hex(), flush=True)
while True:
    process.keep_alive()
"""
"""Three turns of claims, of which the first one is purged, a row at a time, from the line on."""


@pytest.mark.parametrize("after", [0.0, 0.0005, 0.002, 0.005])
def test_a_kill_in_the_middle_of_a_purge_forgets_nothing_that_counts(
    path: Path, after: float
) -> None:
    command = [sys.executable, "-c", _CLAIM_AND_PURGE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        now, seconds, epoch = killed.stdout.readline().split()
        if after:
            with pytest.raises(subprocess.TimeoutExpired):
                killed.wait(after)
        killed.send_signal(signal.SIGKILL)
    with closing(Process(path, Machine(float(now), float(seconds)))) as process:
        assert process.epoch() == bytes.fromhex(epoch)
        codes = {process.claim(bytes([2, number])) for number in range(100)}
        process.live(50)
        assert process.rows() == 200
    assert codes == {Code.REPLAYED}


def test_the_file_doesnt_grow_for_ever(process: Process) -> None:
    sizes = []
    for turn in range(6):
        for number in range(1500):
            nonce = (turn * 1500 + number).to_bytes(32, "big")
            assert process.at_once(nonce, process.epoch()) is None
        for _ in range(KEPT // 4):
            process.machine.wait(4)
            process.keep_alive()
        sizes.append(process.path.stat().st_size)
    assert sizes[-1] <= 1.2 * sizes[2]
