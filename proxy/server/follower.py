"""Follows what changes on disk while the proxy runs, in steps that know nothing of each other.

A step reads in a thread of its own and applies what it read in the event loop. Whatever goes wrong
with one, or however long it waits for a disk, the others go on: a contact that was removed must not
stay one because some folder can't be read. A step that fails is told once, until it fails in
another way, and tried again at the next look.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from proxy.core.errors import Invalid, Problem
from proxy.server.spare_descriptors import SpareDescriptors
from proxy.state.files import Busy, Unsafe
from proxy.transfer.disk_thread import DiskThread

TICK = 0.5
"""Seconds between two looks; each change is followed within a second."""
HANGING = 15.0
"""Seconds after which a step that hasn't come to its end is a problem."""
RELEASED = 2.0
"""Seconds for which the steps may have the spare descriptors, while no connection is taken."""
_LAST_WAIT = 1.0
"""Seconds that the end waits for a step that is under way."""

_EXPECTED = (OSError, Invalid, Unsafe, Busy)
_log = logging.getLogger("proxy.follower")


def _nothing() -> None:
    pass


class Step:
    """One thing that is followed.

    ``follow`` looks once; what may wait for a disk it gives to the thread that it gets. ``missed``
    is called at each tick in which a look hasn't ended, and when one fails.
    """

    def __init__(
        self,
        name: str,
        follow: Callable[[DiskThread], Awaitable[None]],
        missed: Callable[[], object] = _nothing,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.problem: Problem | None = None
        """Why it can't be followed just now."""
        self._follow = follow
        self._missed = missed
        self._steady = steady
        self._thread = DiskThread(f"follow {name}")
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0

    @property
    def under_way(self) -> set[asyncio.Task[None]]:
        """The look that hasn't ended, if there is one."""
        return {self._task} if self._task is not None and not self._task.done() else set()

    def begin(self) -> None:
        """Look, unless the last look is still under way; raises nothing."""
        if not self.under_way:
            self._began = self._steady()
            self._task = asyncio.create_task(self._look())
            return
        self._miss()
        if self._steady() - self._began >= HANGING:
            what = f"wasn't followed for {HANGING:g} seconds or more: does its disk answer?"
            self._tell(what)

    async def end(self) -> None:
        """Wait a moment for what is under way, and leave it."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_LAST_WAIT)
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._thread.close()

    async def _look(self) -> None:
        try:
            await self._follow(self._thread)
        except _EXPECTED as error:
            self._tell(f"can't be followed: {error}")
            self._miss()
        except Exception as error:  # noqa: BLE001 - the others go on, and this one is tried again
            what = f"can't be followed: {error!r}, which is a mistake of the proxy's"
            self._tell(what, error)
            self._miss()
        else:
            if self.problem is not None:
                _log.warning("%s is followed again", self.name)
            self.problem = None

    def _miss(self) -> None:
        try:
            self._missed()
        except Exception as error:  # noqa: BLE001 - as above
            self._tell(f"can't be noted as missed: {error!r}", error)

    def _tell(self, what: str, mistake: Exception | None = None) -> None:
        problem = Problem(self.name, "", what)
        if problem != self.problem:
            _log.error("%s; it is tried again and again", problem, exc_info=mistake)
        self.problem = problem


class Follower:
    """Has ``steps`` look every ``TICK`` seconds; ``spare`` is for when all descriptors are used."""

    def __init__(self, steps: Sequence[Step], spare: SpareDescriptors | None = None) -> None:
        self._steps = steps
        self._spare = spare
        self._wanted = asyncio.Event()
        self._releasing: asyncio.Task[None] | None = None
        self.has_ended = False
        """Whether nothing is followed any more, though nobody wanted it to end."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what can't be followed just now."""
        found = tuple(step.problem for step in self._steps if step.problem is not None)
        if self._spare is not None:
            found = (*found, *self._spare.problems)
        if self.has_ended:
            what = "nothing is followed any more, removals neither: restart the proxy"
            return (*found, Problem("files", "", what))
        return found

    def look_at_once(self) -> None:
        """Look without waiting for the next time."""
        self._wanted.set()

    async def run(self) -> None:
        """Follow until cancelled. Should it end otherwise, the process must end too."""
        try:
            if self._spare is not None:
                self._spare.take_back()
            while True:
                # Not wait_for: until Python 3.12 it forgets that it was cancelled where a look is
                # asked for in the same turn, and nothing would ever end this.
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._wanted.wait()
                self._wanted.clear()
                self._release()
                for step in self._steps:
                    step.begin()
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.has_ended = True
            raise
        finally:
            await asyncio.gather(*(step.end() for step in self._steps))
            if self._releasing is not None:
                self._releasing.cancel()
            if self._spare is not None:
                self._spare.close()

    def _release(self) -> None:
        """Give the steps what they need to open files, where nobody else could open any."""
        if self._spare is None or (self._releasing is not None and not self._releasing.done()):
            return
        self._spare.take_back()
        if self._spare.release():
            self._releasing = asyncio.create_task(self._take_back(self._spare))

    async def _take_back(self, spare: SpareDescriptors) -> None:
        """Take them back once all have looked, or not long after: a disk may take for ever."""
        under_way: set[asyncio.Task[None]] = set()
        await asyncio.sleep(0)  # until all have begun
        for step in self._steps:
            under_way |= step.under_way
        if under_way:
            await asyncio.wait(under_way, timeout=RELEASED)
        spare.take_back()
