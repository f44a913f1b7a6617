"""How long a client may take, and how much it may leave unread: uvicorn limits none of it.

A body may pause, as long as each pause is shorter than the owner's patience with it. How slow it
is in all matters only where connections are short: then a byte now and then holds a place that
somebody else could have. All of it runs on one timer for each connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionTimeouts:
    """Seconds and bytes for one connection of a client."""

    head: float = 15.0
    """From a request's first byte to the end of its head."""
    idle: float = 75.0
    """Between two requests."""
    body: float = 60.0
    """In which a client may send nothing of a body, while it could."""
    send: float = 60.0
    """In which a client may take nothing of what waits for it."""
    window: float = 20.0
    """Where connections are short, a body must move by ``rate`` bytes a second in each such
    stretch, in or out.
    """
    rate: int = 500
    unread: int = 256 * 1024
    """Bytes of a refused request's body that are read past, to keep the connection."""
    linger: float = 5.0
    """In which a client may send nothing of a body that nobody wants any more."""
    linger_most: float = 30.0
    """For all of that body, read past so that the client gets to read its response."""
    linger_bytes: int = 256 * 1024 * 1024
    ending: float = 2.0
    """The same where places are short or the listener ends."""
    last_call: float = 1.0
    """For a client that has connected and not asked yet, when the listener ends."""
    buffered: int = 128 * 1024
    """Bytes of a request's body, or of pipelined requests, that wait to be taken, at most.

    Above half of it nothing is read: the other half is a read's.
    """


class Deadline:
    """The end of a connection's current phase and what to do then; each phase replaces the last.

    The timer is armed when a phase begins, looked at when it fires, and moved where it is early: a
    timer of its own for every request would cost more than the rest of the bookkeeping.
    """

    __slots__ = ("_end", "_loop", "_otherwise", "_timer")

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

    def end(self) -> None:
        """Expect nothing, and hold nobody who did: the connection is gone."""
        self.cancel()
        self._otherwise = _nothing

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._end:
            self._timer = self._loop.call_at(self._end, self._look)
        else:
            self._otherwise()


def _nothing() -> None:
    """Do nothing: no phase has begun."""
