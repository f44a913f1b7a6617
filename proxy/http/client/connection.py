"""One connection to an app or a peer: events in, bytes out, backpressure both ways.

Rules kept here: nothing is read that isn't awaited beyond ``HIGH`` bytes; a connection that failed,
ended or brought a byte that nobody asked for is never used again; whoever waits is told why.
"""

import asyncio
import math
import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import cast

from proxy.core.http1.framing import Persistence
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.reader import END, Interim, ResponseReader, State, Surplus
from proxy.http.read_buffer import ReadBuffer
from proxy.http.tcp_keepalive import keep_alive
from proxy.http.tls.transport import TlsTransport
from proxy.http.upstream import ANYBODY, UpstreamFailed

HIGH = 128 * 1024
"""Bytes of content that wait for the reader at most: a read's, behind less than ``_FULL``."""
_FULL = HIGH // 2
"""Bytes that wait above which the other side is made to wait."""
_NOTABLE = 16 * 1024
"""Bytes that are worth a look whether they are taken."""
WATCH = 0.1
"""Seconds in which a connection that won't be used again may show that its server answers twice."""
_INTERIM_WEIGHT = 4096
"""What an interim response counts for among them: an endless row of these must wait too."""
_PIECE = 256 * 1024
"""Bytes that are read at once of what a lost connection left."""


class Connection(asyncio.BufferedProtocol):
    """A connection in the role of the client.

    Two tasks use it at most: one that writes a request's body, one that reads the response.
    """

    def __init__(self, on_surplus: Callable[[Surplus], None] | None = None) -> None:
        """``on_surplus`` is told of bytes that came behind a response's end."""
        self._on_surplus = on_surplus
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)
        self._read_buffer = ReadBuffer(2)
        self._reader = ResponseReader()
        self._events: deque[object] = deque()
        self._buffered = 0
        self._is_reading = True
        self._failure: Exception | None = None
        self._is_lost = False
        self._arrival: asyncio.Future[bool] | None = None
        self._arrivals: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = math.inf
        """Until when the reader waits; ``_timer`` may fire earlier, and is moved then."""
        self._writable: asyncio.Future[bool] | None = None
        self._must_wait = False
        self._moved_at = 0.0
        """When the last byte of the exchange went in or out."""
        self.idle_since = 0.0
        self.usable_at = 0.0
        """When another request may be sent at the earliest, in the loop's time."""
        self.kept_for = ANYBODY
        """Who alone may use it; whoever's body it carried."""
        self.carries_body = False
        self.is_body_sent = False
        self.has_ended_early = False
        """Whether the response was whole before the request's body was."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._read_buffer.view()

    def buffer_updated(self, nbytes: int) -> None:
        """Turn bytes into events for ``next_event``."""
        self._moved_at = self._loop.time()
        self._take(self._reader.feed(self._read_buffer.take(nbytes)))
        if self._buffered >= _NOTABLE:
            # Whoever waits for it runs first, and nearly always takes all of it.
            self._loop.call_soon(self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        if self._buffered >= _NOTABLE:
            self._read_buffer.shrink()
        if self._buffered > _FULL and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close our side too: a server that stops sending answers nothing more.

        Behind a 101 it may still listen.
        """
        if not self._transport.get_extra_info("ended_properly", default=True):
            self.fail(UpstreamFailed("the stream ended, and TLS didn't say so"))
            return False
        is_raw = self._reader.state is State.RAW
        self._take(self._reader.end_of_stream())
        if is_raw:
            return True
        self._end(UpstreamFailed("the connection was closed"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits; a reset is never the end of a body."""
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if exc is not None and self._failure is None:
            for data in _left_unread(self._transport):
                self._take(self._reader.feed(data))
        detail = f"the connection was lost: {exc}" if exc else "the connection was closed"
        self.fail(UpstreamFailed(detail))

    def pause_writing(self) -> None:
        """Make the writer wait: the other side takes nothing more for now."""
        self._must_wait = True

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._must_wait = False
        _wake(self._writable)

    # What an exchange calls.

    def begin(self, method: bytes, *, upgrade: bool) -> None:
        """Begin to read the response to a request with ``method``."""
        self._reader.expect(method, upgrade=upgrade)
        self.carries_body = self.is_body_sent = self.has_ended_early = False

    def write(self, data: bytes) -> None:
        """Send ``data``; raises ``UpstreamFailed``. Follow it with ``drained`` in a loop."""
        if self._failure is not None:
            raise self._failure
        self._moved_at = self._loop.time()
        self._transport.write(data)

    def write_end(self) -> None:
        """Send our end behind what was written; the other side's may still be to come."""
        with suppress(OSError):  # the other side reset it: the loop tells of it soon
            self._transport.write_eof()

    def disable_timeouts(self) -> None:
        """Take silence for no failure: the kernel looks whether the other side is there."""
        keep_alive(self._transport)

    async def drained(self, patience: float) -> None:
        """Wait until the other side takes more; raises ``UpstreamFailed``.

        ``patience`` is how many seconds it may take nothing at all.
        """
        if self._transport.is_closing() and self._failure is None:
            await asyncio.sleep(0)  # it broke just now; ``connection_lost`` is on its way
        while self._must_wait and self._failure is None:
            before = self._transport.get_write_buffer_size()
            if self._writable is None or self._writable.done():
                self._writable = self._loop.create_future()
            until = self._loop.time() + patience
            is_late = await self._woken(self._writable, until)
            if is_late and self._transport.get_write_buffer_size() >= before:
                self._time_out("it takes no more of the request", patience)
        if self._failure is not None:
            raise self._failure

    async def next_event(self, patience: float) -> object:
        """Return the next event of the response; raises ``UpstreamFailed``.

        ``patience`` is how many seconds nothing at all may move: an upload that takes minutes
        isn't a slow response. Where it is ``math.inf``, silence is no failure.
        """
        since = self._loop.time() if not self._events else 0.0
        while not self._events:
            if self._failure is not None:
                raise self._failure
            until = max(since, self._moved_at) + patience
            if self._loop.time() >= until:
                self._time_out("nothing more of the response came", patience)
            else:
                self._arrival = self._loop.create_future()
                self._wake_by(until)
                await self._arrival
        event = self._events.popleft()
        if weight := _weight(event):
            self._buffered -= weight
            if not self._is_reading and self._buffered <= _FULL // 2:
                self._is_reading = True
                self._transport.resume_reading()
        return event

    def take_end(self) -> bool:
        """Take the response's end if it has arrived and nothing is before it."""
        if self._events and self._events[0] is END:
            self._events.popleft()
            return True
        return False

    def is_reusable(self, persistence: Persistence) -> bool:
        """Tell whether another request may follow: the response is whole and promises to stay."""
        return persistence.keeps and self.is_open and self._reader.state is State.DONE

    @property
    def has_ended_with_head(self) -> bool:
        """Whether the last response ended with its head; some servers send a body all the same."""
        return self._reader.has_ended_with_head

    @property
    def is_open(self) -> bool:
        """Whether nothing has gone wrong and no end was announced."""
        return self._failure is None and not self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has arrived that the loop hasn't seen; only asked while it is open."""
        if self._arrivals is None:
            self._arrivals = _arrivals(self._transport)
        return not self._arrivals.poll(0)

    def fail(self, error: Exception) -> None:
        """Give up: everybody who waits or will wait gets ``error``, unless one came before."""
        self._end(error)
        if not self._is_lost:  # asyncio can't abort one that closed once its buffer was empty
            self._transport.abort()

    def watch(self) -> None:
        """Close in a moment, and see until then what comes that nobody asked for."""
        self._loop.call_later(WATCH, self._transport.close)

    def close(self) -> None:
        """Close an idle connection."""
        self._transport.close()

    def _end(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        _wake(self._arrival)
        _wake(self._writable)

    def _time_out(self, what: str, patience: float) -> None:
        self.fail(UpstreamFailed(f"{what} for {patience:g} s", timeout=True))

    def _take(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, Malformed):
                if isinstance(event, Surplus) and self._on_surplus is not None:
                    self._on_surplus(event)
                self.fail(UpstreamFailed(f"not a response: {event.detail}"))
                return
            self._buffered += _weight(event)
            self._events.append(event)
        if events:
            if self.carries_body and events[-1] is END and not self._has_sent_body():
                self.has_ended_early = True
            _wake(self._arrival)

    def _has_sent_body(self) -> bool:
        return self.is_body_sent and self._transport.get_write_buffer_size() == 0

    def _wake_by(self, until: float) -> None:
        """See to it that the reader is woken ``until`` then; one timer does for many requests."""
        self._until = until
        if until == math.inf:
            return
        if self._timer is not None and self._timer.when() > until:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._arrival is None or self._arrival.done():
            return  # nobody waits; whoever does next sets it anew
        if self._loop.time() >= self._until:
            _wake(self._arrival)
        else:
            self._wake_by(self._until)

    async def _woken(self, future: asyncio.Future[bool], deadline: float) -> bool:
        """Wait for ``future``, until ``deadline`` at most; tell whether that is what woke it."""
        if deadline == math.inf:
            return await future
        timer = self._loop.call_at(deadline, partial(_wake, future, is_late=True))
        try:
            return await future
        finally:
            timer.cancel()


def _weight(event: object) -> int:
    if isinstance(event, bytes):
        return len(event)
    return _INTERIM_WEIGHT if isinstance(event, Interim) else 0


def _wake(future: asyncio.Future[bool] | None, *, is_late: bool = False) -> None:
    if future is not None and not future.done():
        future.set_result(is_late)


# What the socket beneath a transport knows, and asyncio doesn't tell.


def _arrivals(transport: asyncio.BaseTransport) -> select.poll:
    """Return what tells, when polled, of what has arrived and the loop hasn't seen: an end, mostly.

    A server may close right behind its response, and a request sent after that would be lost.
    """
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return poll


def _left_unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """Yield what the other side said before it broke off: an early response, mostly.

    A server that refuses an upload answers and closes; our next write fails then, and asyncio
    gives up the connection with the response still unread.
    """
    if isinstance(transport, TlsTransport):
        yield from transport.left_unread()
        return
    descriptor = transport.get_extra_info("socket").fileno()
    with suppress(OSError):
        while data := os.read(descriptor, _PIECE):
            yield data
