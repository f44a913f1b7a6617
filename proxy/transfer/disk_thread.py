"""A thread for what may wait for a disk, or for ever: the event loop waits for none of it.

It is a daemon: a disk that doesn't answer mustn't keep the process from ending, which every thread
of an executor does. It begins with its first work, so that whoever forks before has none.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

_Result = TypeVar("_Result")
_Job = Callable[[], None]


class DiskThread:
    """One thread, which does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return what ``work`` returns, or raise what it raises.

        Who is cancelled meanwhile doesn't end the work: nobody can.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        if self._thread is None:
            thread = threading.Thread(
                target=_work, args=(self._jobs,), name=self._name, daemon=True
            )
            thread.start()
            self._thread = thread
        self._jobs.put(partial(_do, work, future, loop))
        return await future

    def close(self) -> None:
        """Let the thread end once it has done what it was given."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # or it would hold what it holds until the next one


def _do(
    work: Callable[[], _Result],
    future: "asyncio.Future[_Result]",
    loop: asyncio.AbstractEventLoop,
) -> None:
    failure: Exception | None = None
    try:
        result = work()
    except StopIteration as error:  # no future takes one
        failure = RuntimeError(repr(error))
    except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
        failure = error
    except BaseException as error:  # noqa: BLE001 - it would end the thread
        failure = RuntimeError(repr(error))

    def tell() -> None:
        if future.done():
            return  # nobody waits any more
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(tell)
