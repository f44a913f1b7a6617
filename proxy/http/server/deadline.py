"""One timer for a connection's phases, cheap to set anew with each request.

It is armed when a phase begins, looked at when it fires, and moved where it is early: a timer of
its own for every request would cost more than the rest of the bookkeeping.
"""

import asyncio
from collections.abc import Callable


class Deadline:
    """The end of the current phase and what to do then; each phase replaces the one before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._end = 0.0
        self._otherwise: Callable[[], None] = _nothing

    def within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        """Begin a phase: ``otherwise`` is called in ``seconds``, unless another begins before."""
        self._end = self._loop.time() + seconds
        self._otherwise = otherwise
        if self._timer is None or self._timer.when() > self._end:
            self.cancel()
            self._timer = self._loop.call_at(self._end, self._look)

    def cancel(self) -> None:
        """Expect nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._end:
            self._timer = self._loop.call_at(self._end, self._look)
        else:
            self._otherwise()


def _nothing() -> None:
    """Do nothing: no phase has begun."""
