"""Workers that stand still, and signals that aren't meant to end anything."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from tests.patience import soon
from tests.wire.harness.recorder import eventually

from .fault import Fault, Seen
from .kills import told_to_end
from .load import Load
from .stage import FINE, Stage, is_running, running

_WORKERS = 3
_GRACE = 2


def _replaced(stage: Stage, victim: int) -> bool:
    return victim not in (now := stage.bob.children) and len(now) == _WORKERS


def _stopped_worker(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=_WORKERS) as stage:
        for number in range(rounds):
            victim = stage.bob.children[number % _WORKERS]
            os.kill(victim, signal.SIGSTOP)
            eventually(lambda: _replaced(stage, victim))  # noqa: B023 - asked at once
            eventually(lambda: str(victim) in stage.bob.log)  # noqa: B023 - as above
            seen.equal([stage.all_ways() for _ in range(6)], [FINE] * 6, "afterwards")
            seen.rounds += 1
        seen.equal(stage.bob.stop(), 0, "exit status")


def _stopped_at_the_end(folder: Path, rounds: int, seen: Seen) -> None:
    settings = f"grace: {_GRACE}s\n"
    with running(folder, workers=_WORKERS, settings=settings) as stage:
        for number in range(rounds):
            workers = stage.bob.children
            os.kill(workers[number % _WORKERS], signal.SIGSTOP)
            start = time.monotonic()
            stage.bob.signal(signal.SIGTERM)
            stage.bob.wait()
            seen.expect(time.monotonic() - start < _GRACE + soon(6), "the stop took longer")
            seen.expect(not any(map(is_running, workers)), "a worker was left")
            stage.bob.start()
            eventually(lambda: len(stage.bob.children) == _WORKERS)
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


def _stopped_and_orphaned(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=_WORKERS) as stage:
        for number in range(rounds):
            workers = stage.bob.children
            os.kill(workers[number % _WORKERS], signal.SIGSTOP)
            stage.bob.kill()
            eventually(lambda: not any(map(is_running, workers)))  # noqa: B023
            stage.bob.start()
            eventually(lambda: len(stage.bob.children) == _WORKERS)
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


def _worker_told_to_end(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=_WORKERS) as stage, Load(stage).at_work() as load:
        for _ in range(rounds):
            load.wait_for_all(1)
            victim = stage.bob.children[0]
            os.kill(victim, signal.SIGTERM)
            eventually(lambda: stage.bob.ended or _replaced(stage, victim))  # noqa: B023
            seen.expect(not stage.bob.ended, "the whole Portal ended")
            if stage.bob.ended:
                stage.bob.wait()
                stage.bob.start()
            seen.rounds += 1
        load.wait_for_all(1)
    load.judge(seen)


_HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def _harmless_signals(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=2) as stage, Load(stage).at_work() as load:
        for _ in range(rounds):
            for number in _HARMLESS:
                load.wait_for_all(1)
                workers = stage.bob.children
                for process in (stage.bob.pid, *workers):
                    os.kill(process, number)
                load.wait_for_all(2)
                seen.expect(not stage.bob.ended, f"{number.name} ended it")
                seen.equal(stage.bob.children, workers, f"workers after {number.name}")
            seen.rounds += 1
    load.judge(seen)
    refused = {what: count for what, count in load.answers.items() if "again" not in what}
    seen.expect(not refused, f"requests failed: {refused}")


def _served_twice(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder) as stage:
        for _ in range(rounds):
            done = stage.bob.run("serve")
            seen.equal(done.returncode, 1, "exit status of the second")
            seen.expect(str(stage.bob.pid) in done.stderr, "it doesn't say which process")
            seen.expect("Traceback" not in done.stderr, "a traceback")
            seen.equal(stage.all_ways(), FINE, "the first")
            seen.rounds += 1


FAULTS = (
    Fault(
        "A worker that stands still",
        "One of three is stopped by SIGSTOP",
        "It is killed and replaced after half a minute; what it had on its connections breaks off",
        "Its process ID in the log, and why it was ended",
        _stopped_worker,
        rounds=6,
    ),
    Fault(
        "A worker that stands still when the proxy is told to end",
        "SIGSTOP to one of three, then SIGTERM to the first process",
        "The stop is over soon after `grace`, and no process is left",
        "A line in the log",
        _stopped_at_the_end,
        rounds=6,
    ),
    Fault(
        "A worker that stands still when the first process is killed",
        "SIGSTOP to one of three, then `kill -9`",
        "All workers end, this one too; a restart gets the addresses",
        "Its service manager starts it again",
        _stopped_and_orphaned,
        rounds=6,
    ),
    Fault(
        "SIGTERM to one worker",
        "Of three, under load",
        "It is replaced; nothing that was acknowledged is lost",
        "A line in the log",
        _worker_told_to_end,
        rounds=10,
        in_tests=2,
    ),
    Fault(
        "SIGHUP, SIGUSR1, SIGUSR2",
        "To the first process and each worker, under load",
        "Nothing ends, no request is lost",
        "Nothing",
        _harmless_signals,
        rounds=5,
    ),
    Fault(
        "SIGQUIT under load",
        "To a Portal of two workers",
        "Ends it as SIGTERM does: what runs is answered first, and the status is 0",
        "New connections are refused until it is started again",
        partial(told_to_end, number=signal.SIGQUIT),
        rounds=5,
    ),
    Fault(
        "`serve` twice",
        "With one configuration",
        "The second ends with status 1; the first goes on",
        "A sentence that names the address, and which process has it",
        _served_twice,
    ),
)
