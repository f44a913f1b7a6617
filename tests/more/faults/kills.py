"""Processes that are killed or told to end while everything is going on."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from tests.wire.harness.recorder import eventually

from .fault import Fault, Seen
from .load import Load
from .stage import is_running, running

_WORKERS = 3


def _killed(folder: Path, rounds: int, seen: Seen) -> None:
    dice = random.Random(1)
    with running(folder) as stage, Load(stage).at_work() as load:
        for number in range(rounds):
            load.wait_for_all(1)
            load.wait_a_moment(dice)
            victim = (stage.bob, stage.bob, stage.ada, stage.eda)[number % 4]
            victim.kill()
            victim.start()
            load.replay()
            seen.rounds += 1
        load.wait_for_all(1)
        load.replay()
        stage.bob.restart()
        left = sorted(path.name for path in stage.bob.state.rglob("*.new"))
        seen.expect(not left, f"left over in the state folder: {left}")
    load.judge(seen)


def _killed_worker(folder: Path, rounds: int, seen: Seen) -> None:
    dice = random.Random(2)
    with running(folder, workers=_WORKERS) as stage, Load(stage).at_work() as load:
        for _ in range(rounds):
            load.wait_for_all(1)
            load.wait_a_moment(dice)
            victim = dice.choice(stage.bob.children)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: victim not in (now := stage.bob.children) and len(now) == _WORKERS)  # noqa: B023
            eventually(lambda: f"worker {victim} was ended by signal 9" in stage.bob.log)  # noqa: B023
            load.replay()
            seen.rounds += 1
        load.wait_for_all(1)
    load.judge(seen)


def _killed_first(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=_WORKERS) as stage, Load(stage).at_work() as load:
        for _ in range(rounds):
            load.wait_for_all(1)
            workers = stage.bob.children
            stage.bob.kill()
            eventually(lambda: not any(map(is_running, workers)))  # noqa: B023
            stage.bob.start()
            eventually(lambda: len(stage.bob.children) == _WORKERS)
            load.replay()
            seen.rounds += 1
        load.wait_for_all(1)
    load.judge(seen)


def told_to_end(
    folder: Path, rounds: int, seen: Seen, number: signal.Signals = signal.SIGTERM
) -> None:
    """End a Portal under load, by a signal that lets it finish, and start it again."""
    with running(folder, workers=2) as stage, Load(stage).at_work() as load:
        for _ in range(rounds):
            load.wait_for_all(1)
            stage.bob.signal(number)
            seen.equal(stage.bob.wait(), 0, "exit status")
            stage.bob.start()
            eventually(lambda: len(stage.bob.children) == 2)
            seen.rounds += 1
        load.wait_for_all(1)
    load.judge(seen)


FAULTS = (
    Fault(
        "`kill -9` of the proxy under load",
        "The called Portal, or the calling one, in the middle of plain, signed and sealed "
        "requests, uploads and downloads. Then it is started again, and recorded calls are sent "
        "once more",
        "Nothing that was acknowledged is lost, nothing is carried out twice, no part passes for "
        "the whole; what the caller is told wasn't carried out, wasn't. Replays are refused",
        "Its service manager starts it again; callers get `502`, or see their connection break",
        _killed,
        rounds=100,
        in_tests=4,
    ),
    Fault(
        "`kill -9` of a worker under load",
        "One of three, with the same load",
        "The same; the other workers go on, and the killed one is replaced",
        "`worker ... was ended by signal 9` in the log",
        _killed_worker,
        rounds=30,
        in_tests=2,
    ),
    Fault(
        "`kill -9` of the first process of several workers",
        "With the same load; then it is started again",
        "The same; the workers end, and leave the addresses to the next start",
        "Its service manager starts it again",
        _killed_first,
        rounds=10,
    ),
    Fault(
        "SIGTERM under load",
        "To a Portal of two workers, with the same load; then it is started again",
        "The same; what runs is answered first, and the status is 0",
        "New connections are refused until it is started again",
        told_to_end,
        rounds=10,
    ),
)
