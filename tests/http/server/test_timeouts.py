"""Deadlines of many connections on one timer."""

import asyncio
import gc
import weakref
from collections.abc import Callable

from proxy.http.server.timeouts import Deadline, sweep_of
from tests.http.ends import settled

_LONG = 3600.0


def _noting(said: list[str], word: str) -> Callable[[], None]:
    return lambda: said.append(word)


async def test_each_is_kept_in_the_order_of_time() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    deadlines = [Deadline(loop) for _ in range(3)]
    for deadline, seconds, word in zip(deadlines, (0.06, 0.02, 0.04), "cab", strict=True):
        deadline.within(seconds, _noting(said, word))
    await settled(lambda: len(said) == 3)
    assert said == ["a", "b", "c"]


async def test_a_phase_replaces_the_one_before_whether_earlier_or_later() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    sooner, later, last = Deadline(loop), Deadline(loop), Deadline(loop)
    sooner.within(_LONG, _noting(said, "never"))
    sooner.within(0.01, _noting(said, "sooner"))
    later.within(0.01, _noting(said, "never"))
    later.within(0.05, _noting(said, "later"))
    last.within(0.1, _noting(said, "last"))
    await settled(lambda: len(said) == 3)
    assert said == ["sooner", "later", "last"]


async def test_one_that_is_moved_on_and_on_is_listed_once() -> None:
    sweep = sweep_of(asyncio.get_running_loop())
    before, deadline = len(sweep), Deadline(asyncio.get_running_loop())
    for _ in range(1000):
        deadline.within(_LONG, _noting([], ""))
    assert len(sweep) == before + 1
    deadline.end()


async def test_one_that_was_moved_on_keeps_no_other_one_back() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    moved, next_one = Deadline(loop), Deadline(loop)
    moved.within(0.01, _noting(said, "never"))
    moved.within(_LONG, _noting(said, "never"))
    next_one.within(0.03, _noting(said, "next"))
    await settled(lambda: said == ["next"])
    moved.end()


async def test_what_is_cancelled_or_ended_is_not_done() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    cancelled, ended, kept = Deadline(loop), Deadline(loop), Deadline(loop)
    for deadline in (cancelled, ended):
        deadline.within(0.01, _noting(said, "never"))
    kept.within(0.03, _noting(said, "kept"))
    cancelled.cancel()
    ended.end()
    await settled(lambda: said)
    assert said == ["kept"]


def _fail() -> None:
    raise ZeroDivisionError


async def test_a_mistake_in_one_keeps_no_other_one_back() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    wrong, right = Deadline(loop), Deadline(loop)
    wrong.within(0.01, _fail)
    right.within(0.02, _noting(said, "right"))
    await settled(lambda: said)


async def test_connections_that_ended_do_not_fill_the_list() -> None:
    loop = asyncio.get_running_loop()
    sweep = sweep_of(loop)
    before = len(sweep)
    for _ in range(5000):
        deadline = Deadline(loop)
        deadline.within(_LONG, _noting([], ""))
        deadline.end()
    assert len(sweep) < before + 250


async def test_a_phase_may_begin_another_one_within_its_end() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    deadline = Deadline(loop)
    deadline.within(0.01, lambda: deadline.within(0.01, _noting(said, "again")))
    await settled(lambda: said == ["again"])


async def test_one_that_has_ended_holds_nobody() -> None:
    class Somebody:
        def wait(self) -> None:
            pass

    somebody, deadline = Somebody(), Deadline(asyncio.get_running_loop())
    gone = weakref.ref(somebody)
    deadline.within(_LONG, somebody.wait)
    gc.disable()
    try:
        del somebody
        assert gone() is not None
        deadline.end()
        assert gone() is None
    finally:
        gc.enable()
