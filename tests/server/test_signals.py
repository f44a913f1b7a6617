"""What a process hears of signals, with real ones sent to this one."""

import asyncio
import os
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("number", sorted(signals.HANDLED), ids=lambda number: number.name)
def test_a_signal_as_the_last_thing_changes_no_status(number: signal.Signals) -> None:
    """Python has taken its handlers off by then, and a thread is there that blocks nothing."""
    program = f"""if True:
        import os, threading
        from proxy.server import signals

        class Last:
            def __del__(self, kill=os.kill, process=os.getpid()):
                kill(process, {number:d})

        signals.begin()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        last = Last()
        """
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
