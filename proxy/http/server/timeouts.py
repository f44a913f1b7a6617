"""How long a client may take, and how much it may leave unread: uvicorn limits none of it.

A body may pause, as long as each pause is shorter than the owner's patience with it. How slow it
is in all matters only where connections are short: then a byte now and then holds a place that
somebody else could have. All of it runs on one ``Deadline`` for each connection.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from time import monotonic
from weakref import WeakKeyDictionary

log = logging.getLogger("proxy.http")

_MANY = 100
"""Deadlines that may be listed in vain."""
_EARLY = 0.001
"""Seconds that something is done too early, rather than with a turn of its own."""

_sweeps: "WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep]" = WeakKeyDictionary()


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
    """For all of that body where places are short, or the listener ends."""
    last_call: float = 1.0
    """For a client that has connected and not asked yet, when the listener ends."""
    buffered: int = 256 * 1024
    """Bytes of a request's body, or of pipelined requests, that wait to be taken, at most.

    Above half of it nothing is read: the other half is a read's.
    """

    @property
    def first_look(self) -> float:
        """When it is first looked whether bodies move."""
        return min(self.window, self.body)


class Deadline:
    """The end of a connection's current phase and what to do then; each phase replaces the last.

    All connections of a loop share one timer, and one list that is ordered by time: a timer of its
    own for each of ten thousand idle ones would be most of what they hold. A phase that is moved
    to a later time, as nearly all are, changes nothing in the list before its time has come.
    """

    __slots__ = ("_end", "_otherwise", "_sweep", "listed")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = sweep_of(loop)
        self._end = 0.0
        self._otherwise: Callable[[], None] | None = None
        self.listed = 0.0
        """When it is looked at, by the loop's clock; 0 where it isn't."""

    def within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        """Begin a phase: ``otherwise`` is called in ``seconds``, unless another begins before."""
        self._end = end = monotonic() + seconds
        self._otherwise = otherwise
        if not 0.0 < self.listed <= end:
            self._sweep.look_at(self, end)

    def cancel(self) -> None:
        """Expect nothing any more, and hold nobody who did."""
        self._otherwise = None

    def end(self) -> None:
        """Expect nothing, and leave the list: the connection is gone."""
        self._otherwise = None
        if self.listed:
            self.listed = 0.0
            self._sweep.forget_one()

    def look(self, now: float) -> None:
        """Do what is due, or be looked at again then."""
        self.listed = 0.0
        if self._otherwise is None:
            return
        if now < self._end:
            self._sweep.look_at(self, self._end)
        else:
            self._otherwise()


class Sweep:
    """The deadlines of one loop, by the time when each is to be looked at."""

    __slots__ = ("_count", "_forgotten", "_list", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._list: list[tuple[float, int, Deadline]] = []
        """A heap; the number keeps two of one time apart."""
        self._count = 0
        self._forgotten = 0
        """How many in the list are looked at no more."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many are listed, forgotten ones too."""
        return len(self._list)

    def look_at(self, deadline: Deadline, when: float) -> None:
        """Look at ``deadline`` then; an earlier listing of it counts no more."""
        if deadline.listed:
            self._forgotten += 1
        deadline.listed = when
        self._count += 1
        heappush(self._list, (when, self._count, deadline))
        self._look_by(when)

    def _look_by(self, when: float) -> None:
        """See to it that the timer fires by then."""
        if self._timer is None or when < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._look)

    def forget_one(self) -> None:
        """Note that a listed deadline is looked at no more; now and then they are taken out."""
        self._forgotten += 1
        if self._forgotten > _MANY and self._forgotten > len(self._list) // 2:
            self._list = [entry for entry in self._list if entry[2].listed == entry[0]]
            heapify(self._list)
            self._forgotten = 0

    def _look(self) -> None:
        self._timer = None
        now = monotonic() + _EARLY
        while self._list and self._list[0][0] <= now:
            when, _, deadline = heappop(self._list)
            if deadline.listed != when:
                self._forgotten -= 1
                continue
            try:
                deadline.look(now)
            except Exception:
                log.exception("a deadline couldn't be kept")
        if self._list:  # which may come before what was listed anew just now
            self._look_by(self._list[0][0])


def sweep_of(loop: asyncio.AbstractEventLoop) -> Sweep:
    """Return the one of ``loop``."""
    sweep = _sweeps.get(loop)
    if sweep is None:
        sweep = _sweeps[loop] = Sweep(loop)
    return sweep
