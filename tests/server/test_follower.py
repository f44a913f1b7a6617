"""The follower: whatever goes wrong with one step, the others go on, and it is tried again."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Invalid, Problem
from proxy.server.follower import HANGING, TICK, Follower, Step
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from proxy.transfer.disk_thread import DiskThread

MISTAKES = [
    RuntimeError("unforeseen"),
    MemoryError(),
    KeyError("missing"),
    RecursionError(),
    AssertionError(),
    OSError(5, "Input/output error"),
    Invalid([Problem("a file", "", "is wrong")]),
]


class Steps:
    """Two steps: one that can be made to fail or to hang, and one that counts."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.in_thread = True
        self.missed = 0
        self.tried = 0
        self.others = 0
        self.released = threading.Event()
        self.hangs = False
        self.now = 0.0

    def work(self) -> None:
        self.tried += 1
        if self.hangs:
            self.released.wait()
        if self.failure is not None:
            raise self.failure

    async def bad(self, thread: DiskThread) -> None:
        if self.in_thread:
            await thread.run(self.work)
        else:
            self.work()

    async def good(self, thread: DiskThread) -> None:
        self.others = await thread.run(lambda: self.others + 1)

    def miss(self) -> None:
        self.missed += 1

    def follower(self) -> Follower:
        return Follower(
            [Step("bad", self.bad, self.miss, lambda: self.now), Step("good", self.good)]
        )


@pytest.fixture
async def steps() -> AsyncIterator[Steps]:
    steps = Steps()
    yield steps
    steps.released.set()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.follower.TICK", TICK / 50)


async def running(follower: Follower) -> asyncio.Task[None]:
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0)
    return task


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def happens(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():  # noqa: ASYNC110 - of a thread, or of the follower
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("failure", MISTAKES, ids=lambda failure: type(failure).__name__)
async def test_a_step_that_fails_is_told_once_and_tried_again_and_the_others_go_on(
    steps: Steps, failure: Exception, caplog: pytest.LogCaptureFixture, *, in_thread: bool
) -> None:
    steps.failure, steps.in_thread = failure, in_thread
    follower = steps.follower()
    task = await running(follower)
    await happens(lambda: steps.tried > 3 and steps.others > 3)
    (problem,) = follower.problems()
    assert problem.file == "bad"
    assert "can't be followed" in problem.what
    assert steps.missed > 1
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    steps.failure = OSError(13, "another one")
    await happens(lambda: "another one" in str(follower.problems()))
    steps.failure = None
    await happens(lambda: not follower.problems())
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 2
    assert "bad is followed again" in caplog.text
    await end(task)


async def test_a_step_that_hangs_holds_up_no_other_and_is_a_problem(steps: Steps) -> None:
    steps.hangs = True
    follower = steps.follower()
    task = await running(follower)
    await happens(lambda: steps.missed > 2 and steps.others > 3)
    assert follower.problems() == ()
    steps.now += HANGING
    await happens(lambda: "does its disk answer" in str(follower.problems()))
    assert steps.tried == 1
    steps.hangs = False
    steps.released.set()
    await happens(lambda: not follower.problems() and steps.tried > 1)
    assert not task.done()
    await end(task)


async def test_a_hanging_step_does_not_keep_the_end_back(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.server.follower._LAST_WAIT", 0.01)
    steps.hangs = True
    task = await running(steps.follower())
    await happens(lambda: steps.tried == 1)
    await end(task)


async def test_what_notes_a_miss_may_fail_too(steps: Steps) -> None:
    steps.failure = RuntimeError("unforeseen")

    def fail() -> None:
        raise ValueError("of the note")

    follower = Follower([Step("bad", steps.bad, fail), Step("good", steps.good)])
    task = await running(follower)
    await happens(lambda: steps.tried > 2 and steps.others > 2)
    assert follower.problems()
    await end(task)


async def test_a_look_can_be_had_at_once(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.follower.TICK", 3600)
    follower = steps.follower()
    task = await running(follower)
    for count in (1, 2):
        follower.look_at_once()
        await happens(lambda: steps.others == count)  # noqa: B023 - it ends before the next
    await end(task)


async def test_a_look_that_is_asked_for_as_it_ends_does_not_keep_it_going(steps: Steps) -> None:
    follower = Follower([Step("good", steps.good)])
    running = asyncio.create_task(follower.run())
    while not steps.others:
        follower.look_at_once()
        await asyncio.sleep(0)
    for _ in range(3):  # until it waits again
        await asyncio.sleep(0)
    follower.look_at_once()
    running.cancel()
    ended, _ = await asyncio.wait((running,), timeout=PATIENCE)
    assert running in ended


async def test_one_that_has_ended_says_so(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = steps.follower()

    def fail(_: Step) -> None:
        raise RuntimeError("the follower itself")

    monkeypatch.setattr(Step, "begin", fail)
    with pytest.raises(RuntimeError, match="the follower itself"):
        await follower.run()
    assert follower.has_ended
    (problem,) = follower.problems()
    assert "nothing is followed any more" in problem.what
