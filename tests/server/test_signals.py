"""What a process hears of signals, with real ones sent to this one."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from proxy.server import signals
from tests.patience import PATIENCE

MANY = 5000
"""More than what fits in the socket by which asyncio's own handlers tell of them."""
NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_no_signal_is_lost_behind_a_flood_of_others() -> None:
    heard = asyncio.Event()
    others: list[int] = []
    loop = asyncio.get_running_loop()
    signals.hear(loop, {signal.SIGUSR1: lambda: others.append(1), signal.SIGUSR2: heard.set})
    for _ in range(MANY):  # the loop is busy meanwhile
        os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.wait_for(heard.wait(), PATIENCE)
    assert others == [1]


async def test_one_that_comes_again_is_heard_again() -> None:
    heard = asyncio.Event()
    signals.hear(asyncio.get_running_loop(), {signal.SIGUSR1: heard.set})
    for _ in range(2):
        heard.clear()
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(heard.wait(), PATIENCE)


async def test_a_reload_that_was_asked_for_before_anybody_heard_isn_t_lost() -> None:
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    heard = asyncio.Event()
    try:
        signals.leave_at_once()
        os.kill(os.getpid(), signal.SIGHUP)
        signals.hear(asyncio.get_running_loop(), {signal.SIGHUP: heard.set})
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert signals.take_kept() == ()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
