"""What may wait for a disk waits in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from proxy.transfer.disk_thread import DiskThread
from tests.patience import PATIENCE


async def test_the_work_is_done_in_one_other_thread_and_its_result_returned() -> None:
    thread = DiskThread("disk")
    found = [await thread.run(threading.current_thread) for _ in range(2)]
    assert found[0] is found[1]
    assert found[0] is not threading.current_thread()
    assert (found[0].name, found[0].daemon) == ("disk", True)
    thread.close()
    found[0].join(PATIENCE)
    assert not found[0].is_alive()


@pytest.mark.parametrize("raised", [OSError(5, "I/O"), StopIteration(), SystemExit(3)])
async def test_what_it_raises_is_raised_here_and_the_thread_lives_on(raised: BaseException) -> None:
    thread = DiskThread("disk")

    def fail() -> None:
        raise raised

    with pytest.raises(type(raised) if isinstance(raised, OSError) else RuntimeError):
        await thread.run(fail)
    assert await thread.run(lambda: 7) == 7
    thread.close()


async def test_the_loop_goes_on_while_the_disk_is_waited_for() -> None:
    thread, answers = DiskThread("disk"), threading.Event()
    waiting = asyncio.create_task(thread.run(answers.wait))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answers.set()
    assert await thread.run(lambda: 7) == 7
    thread.close()


def test_a_disk_that_never_answers_keeps_no_process_from_ending() -> None:
    program = """
import asyncio, threading
from proxy.transfer.disk_thread import DiskThread

async def main():
    try:
        await asyncio.wait_for(DiskThread("disk").run(threading.Event().wait), 0.1)
    except TimeoutError:
        print("ended")

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], timeout=PATIENCE, capture_output=True, check=True
    )
    assert ended.stdout == b"ended\n"
