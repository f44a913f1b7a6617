"""One connection to an app or a peer: bytes in and out, pauses both ways, and one timer.

What comes is told to the exchange that runs on it, from the transport's own callbacks. A connection
that failed, ended or brought a byte that nobody asked for is never used again: that is noted before
anybody is told of what came with it.

Its timer serves all its requests. It is moved where it fires early, and only where it would fire
too late is it set anew.
"""

import asyncio
import math
import os
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol, cast

from proxy.core.http1.framing import Persistence
from proxy.core.http1.reader import ResponseReader, State, Surplus
from proxy.http.lost_transport import let_go_of_itself
from proxy.http.read_buffer import ReadBuffer
from proxy.http.tcp_keepalive import keep_alive
from proxy.http.tls.transport import TlsTransport
from proxy.http.upstream import ANYBODY, UpstreamFailed, UpstreamTimeouts

WATCH = 0.1
"""Seconds in which a connection that won't be used again may show that its server answers twice."""
_PIECE = 256 * 1024
"""Bytes that are read at once of what a lost connection left."""

_RAW, _DONE, _FAILED = State.RAW, State.DONE, State.FAILED


class Told(Protocol):
    """What a connection tells; nothing of it may raise."""

    @property
    def is_waiting(self) -> bool:
        """Whether the other side is the one to say something now."""

    def take(self, events: list[object], failure: UpstreamFailed | None) -> None:
        """Take the reader's next events, and the failure behind them, if there is one."""

    def body_blocked(self) -> None:
        """Take note that the other side takes nothing more for now."""

    def body_unblocked(self) -> None:
        """Take note that it does again."""


class Connection(asyncio.BufferedProtocol):
    """A connection in the role of the client; one exchange after the other runs on it."""

    __slots__ = (
        "_arrivals",
        "_blocked_at",
        "_exchange",
        "_is_lost",
        "_is_reading",
        "_loop",
        "_on_surplus",
        "_read_buffer",
        "_read_patience",
        "_reader",
        "_timer",
        "_timer_at",
        "_tls",
        "_transport",
        "_unsent",
        "_write_patience",
        "failure",
        "idle_since",
        "is_blocked",
        "kept_for",
        "moved_at",
        "usable_at",
    )

    def __init__(self, on_surplus: Callable[[Surplus], None] | None = None) -> None:
        """``on_surplus`` is told of bytes that came behind a response's end."""
        self._on_surplus = on_surplus
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)
        self._tls: TlsTransport | None = None
        self._read_buffer = ReadBuffer(2)
        self._reader = ResponseReader()
        self._exchange: Told | None = None
        self._is_reading = True
        self._is_lost = False
        self._arrivals: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._read_patience = math.inf
        self._write_patience = math.inf
        self._blocked_at = 0.0
        self._unsent = 0
        """How much waited to be sent at ``_blocked_at``."""
        self.failure: UpstreamFailed | None = None
        """Why it isn't used any more."""
        self.is_blocked = False
        """Whether what is sent waits: the other side takes nothing more for now."""
        self.moved_at = 0.0
        """When the last byte of the exchange went in or out."""
        self.idle_since = 0.0
        self.usable_at = 0.0
        """When another request may be sent at the earliest, in the loop's time."""
        self.kept_for = ANYBODY
        """Who alone may use it; whoever's body it carried."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._tls = transport if isinstance(transport, TlsTransport) else None

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._read_buffer.view()

    def buffer_updated(self, nbytes: int) -> None:
        """Turn bytes into events, and tell them. Nothing may follow that: it may be another's."""
        self.moved_at = self._loop.time()
        self._tell(self._reader.feed(self._read_buffer.take(nbytes)), None)

    def eof_received(self) -> bool:
        """Close our side too: a server that stops sending answers nothing more.

        Behind a 101 it may still listen.
        """
        if not self._transport.get_extra_info("ended_properly", default=True):
            self.break_off(UpstreamFailed("the stream ended, and TLS didn't say so"))
            self._tell([], None)
            return False
        if self._reader.state is _RAW:
            self._tell(self._reader.end_of_stream(), None)
            return True
        self._tell(self._reader.end_of_stream(), UpstreamFailed("the connection was closed"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits; a reset is never the end of a body."""
        self._is_lost = True
        self._stop_timer()
        events: list[object] = []
        if exc is not None and self.failure is None:
            for data in _left_unread(self._transport):
                events += self._reader.feed(data)
        detail = f"the connection was lost: {exc}" if exc else "the connection was closed"
        self._tell(events, UpstreamFailed(detail))
        let_go_of_itself(self._transport)

    def pause_writing(self) -> None:
        """Take note that the other side takes nothing more for now."""
        self.is_blocked = True
        self._unsent = self._transport.get_write_buffer_size()
        self._blocked_at = self._loop.time()
        if self._exchange is not None:
            self._watch_by(self._blocked_at + self._write_patience)
            self._exchange.body_blocked()

    def resume_writing(self) -> None:
        """Take note that it does again."""
        self.is_blocked = False
        self.moved_at = self._loop.time()
        if self._exchange is not None:
            self._exchange.body_unblocked()

    # What an exchange calls.

    def begin(
        self,
        exchange: Told,
        method: bytes,
        out: bytes,
        timeouts: UpstreamTimeouts,
        now: float,
        *,
        upgrade: bool,
    ) -> None:
        """Send ``out``, a request with ``method``, and read the response to it for ``exchange``.

        Nothing is told before this returns: ask ``is_blocked`` then.
        """
        self._reader.expect(method, upgrade=upgrade)
        self._read_buffer.shrink()  # heads cost time: a turn's read holds few, however many come
        self.moved_at = now
        if not self._transport.is_closing():
            self._transport.write(out)
        self._exchange = exchange
        self._read_patience, self._write_patience = timeouts.read, timeouts.write
        if self._timer_at > now + timeouts.read:
            self._watch_by(now + timeouts.read)
        if self.is_blocked:
            self._watch_by(self._blocked_at + timeouts.write)

    def write(self, data: bytes) -> None:
        """Send ``data``; on one that broke this does nothing."""
        if self.failure is None and not self._transport.is_closing():
            self.moved_at = self._loop.time()
            self._transport.write(data)

    def write_end(self) -> None:
        """Send our end behind what was written; the other side's may still be to come."""
        with suppress(OSError):  # the other side reset it: the loop tells of it soon
            self._transport.write_eof()

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return self._transport.get_write_buffer_size()

    def disable_timeouts(self) -> None:
        """Take silence for no failure: the kernel looks whether the other side is there."""
        self._read_patience = math.inf
        keep_alive(self._transport)

    def pause(self) -> None:
        """Read nothing more for now: what came waits."""
        if self._is_reading and not self._is_lost:
            self._is_reading = False
            self._read_buffer.shrink()
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on: nothing waits, and the other side has all its time again."""
        if not self._is_reading:
            self._is_reading = True
            if not self._is_lost:
                self._transport.resume_reading()
        self.moved_at = self._loop.time()
        self._watch_by(self.moved_at + self._read_patience)

    def leave(self) -> None:
        """Tell the exchange nothing more."""
        self._exchange = None
        if not self._is_reading and not self._is_lost:
            self._is_reading = True
            self._transport.resume_reading()

    def is_reusable(self, persistence: Persistence) -> bool:
        """Tell whether another request may follow: the response is whole and promises to stay."""
        is_open = self.failure is None and not self._transport.is_closing()
        return persistence.keeps and is_open and self._reader.state is _DONE

    @property
    def has_ended_with_head(self) -> bool:
        """Whether the last response ended with its head; some servers send a body all the same."""
        return self._reader.has_ended_with_head

    @property
    def is_open(self) -> bool:
        """Whether nothing has gone wrong and no end was announced."""
        return self.failure is None and not self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has arrived that the loop hasn't seen; only asked while it is open."""
        if self._arrivals is None:
            self._arrivals = _arrivals(self._transport)
        if self._tls is not None and self._tls.has_more:
            return False
        return not self._arrivals.poll(0)

    def break_off(self, failure: UpstreamFailed) -> None:
        """Give up, and note why, unless it failed before. Nobody is told of it here."""
        if self.failure is None:
            self.failure = failure
        self._abort()

    def watch(self) -> None:
        """Close in a moment, and see until then what comes that nobody asked for."""
        self._loop.call_later(WATCH, self.close)

    def close(self) -> None:
        """Close when the other side has taken what was written, or doesn't in time.

        Something may wait on an idle one too: TLS's own end.
        """
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(self._write_patience, self._abort)

    def _abort(self) -> None:
        if not self._is_lost:  # asyncio can't abort one that closed once its buffer was empty
            self._transport.abort()

    def _tell(self, events: list[object], failure: UpstreamFailed | None) -> None:
        """Tell the exchange of ``events``, and of a failure behind them; note that before."""
        if events and self._reader.state is _FAILED:
            malformed = cast(Surplus, events.pop())  # or any other; it is the last
            if isinstance(malformed, Surplus) and self._on_surplus is not None:
                self._on_surplus(malformed)
            self.break_off(UpstreamFailed(f"not a response: {malformed.detail}"))
        elif failure is not None and self.failure is None:
            self.failure = failure
        if self._exchange is not None:
            self._exchange.take(events, self.failure)

    # Time.

    def _watch_by(self, until: float) -> None:
        """See to it that the timer fires by then."""
        if self._timer_at > until and not self._is_lost:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = until
            self._timer = self._loop.call_at(until, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = math.inf

    def _look(self) -> None:
        """Give up if somebody is late; else look again when somebody will be."""
        self._timer, self._timer_at = None, math.inf
        exchange, now = self._exchange, self._loop.time()
        if exchange is None or self.failure is not None:
            return
        if self.is_blocked:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent, self._blocked_at, self.moved_at = unsent, now, now
            if now >= self._blocked_at + self._write_patience:
                self._time_out("it takes no more of the request", self._write_patience)
                return
            self._watch_by(self._blocked_at + self._write_patience)
        if exchange.is_waiting:
            if now >= self.moved_at + self._read_patience:
                self._time_out("nothing more of the response came", self._read_patience)
                return
            self._watch_by(self.moved_at + self._read_patience)

    def _time_out(self, what: str, patience: float) -> None:
        self.break_off(UpstreamFailed(f"{what} for {patience:g} s", timeout=True))
        self._tell([], None)


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
