"""The requests of one connection, one after the other: the reader's events become exchanges.

What can't be read is refused here, before anybody could ask who sent it and what for. A request
that was answered with a 101 is the connection's last: from then on its bytes are a stream's. Behind
a CONNECT that was let in, requests go on, and another one serves them.
"""

import asyncio
import logging
from typing import Protocol, cast

from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import Malformed, RequestHead
from proxy.core.http1.reader import END, RequestReader, State
from proxy.http.downstream import Serve, Tunnel
from proxy.http.server.exchange import Exchange
from proxy.http.server.last_response import last_response
from proxy.http.server.response_writer import ResponseWriter
from proxy.http.server.timeouts import ConnectionTimeouts

log = logging.getLogger("proxy.http")

_HEAD, _BODY, _DONE = State.HEAD, State.BODY, State.DONE

_CODES = {
    408: Code.REQUEST_TIMEOUT,
    411: Code.LENGTH_REQUIRED,
    431: Code.HEAD_TOO_LARGE,
    505: Code.VERSION_UNSUPPORTED,
}


class ConnectionControl(ResponseWriter, Protocol):
    """The connection, as its requests use it: they call nothing else of it."""

    timeouts: ConnectionTimeouts

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""

    def await_head(self) -> None:
        """Bound the time until a head that has begun is whole."""

    def await_request(self) -> None:
        """Bound the time until the next request begins, and let it come."""

    def await_last_request(self, *, is_new: bool) -> None:
        """End, unless a request has come that isn't read yet; give a new client a moment."""

    def await_unread(self) -> None:
        """Bound the time until a body that nobody wants has ended, and let it come."""

    def watch_bodies(self) -> None:
        """Begin to look whether both bodies move."""

    def end(self) -> None:
        """End a connection on which nothing is asked any more."""

    def close_gently(self) -> None:
        """Close so that the client can still read its response."""

    def break_off(self) -> None:
        """Close so that the client can't take what it got for the whole."""


class ConnectionRequests:
    """The reader of one connection, and the exchange that runs."""

    __slots__ = (
        "_control",
        "_exchange",
        "_is_halted",
        "_is_lost",
        "_is_new",
        "_reader",
        "_remote",
        "_serve",
        "_tunnel",
        "_unread",
        "is_reading_past",
        "is_stopping",
    )

    def __init__(self, control: ConnectionControl, serve: Serve, remote: RemotePeer) -> None:
        """``remote`` is who is at the other end."""
        self._control = control
        self._serve = serve
        self._remote = remote
        self._reader = RequestReader()
        self._exchange: Exchange | None = None
        self._tunnel: Tunnel | None = None
        self._unread = 0
        self._is_new = True
        self._is_halted = False
        self._is_lost = False
        self.is_stopping = False
        """Whether no request may follow the one that runs."""
        self.is_reading_past = False
        """Whether what comes is the rest of a body whose request has its response."""

    @property
    def is_between(self) -> bool:
        """Whether nothing of a request has arrived."""
        return self._reader.is_between_messages

    @property
    def is_in_head(self) -> bool:
        """Whether a head has begun that isn't whole."""
        return self._exchange is None and self._reader.state is _HEAD and self._reader.held > 0

    @property
    def is_body_due(self) -> bool:
        """Whether the client should be sending a body just now."""
        is_asked = self._exchange is not None and not self._exchange.expects_continue
        return is_asked and self._reader.state is _BODY

    @property
    def is_place_short(self) -> bool:
        """Whether others wait for the place that the request holds."""
        return self._exchange is not None and self._exchange.is_place_short

    @property
    def untaken(self) -> int:
        """How many bytes wait to be passed on."""
        return self._exchange.buffered if self._exchange is not None else 0

    @property
    def waits(self) -> bool:
        """Whether anything waits."""
        return bool(self._reader.held) or (
            self._exchange is not None and self._exchange.buffered > 0
        )

    @property
    def unparsed(self) -> int:
        """How many bytes wait for the request before them to end."""
        return self._reader.held

    @property
    def is_upgraded(self) -> bool:
        """Whether the connection has left HTTP."""
        return self._exchange is not None and self._exchange.is_upgraded

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        """Read on."""
        events = self._reader.feed(data)
        if self._exchange is not None and self._reader.state is _DONE:
            self._exchange.is_received = True
        self._handle(events)

    def end(self) -> bool:
        """Take note that the client ended its side; tell whether it may still be sent to."""
        exchange = self._exchange
        if exchange is None or not exchange.is_upgraded:
            self.leave()
            return False
        exchange.take(b"", ends=True)
        return True

    def lose(self) -> None:
        """Take note that the connection is gone."""
        self._is_lost = True
        if self._tunnel is not None:
            self._tunnel.closed()
        if (exchange := self._exchange) is not None:
            if _has_client_ended(exchange):
                exchange.lose()
            else:
                exchange.leave()
        if self._exchange is None:
            self._let_go()

    def cut_short(self) -> None:
        """Wait for nothing that still runs."""
        if self._exchange is not None:
            self._exchange.cut_short()

    def _let_go(self) -> None:
        """Hold nothing of a connection that is gone, nor of its last request: they hold us."""
        self._exchange = None
        self._reader = RequestReader()
        self._control = cast(ConnectionControl, None)

    def leave(self) -> None:
        """End what runs for a client that isn't there any more, or perhaps still reads."""
        if (exchange := self._exchange) is not None:
            looks_whole = exchange.looks_whole
            exchange.leave()
            if looks_whole:
                self._control.break_off()

    def pause_response(self) -> None:
        """Have no more sent for now."""
        if self._exchange is not None:
            self._exchange.pause_response()

    def resume_response(self) -> None:
        """Have more sent."""
        if self._exchange is not None:
            self._exchange.resume_response()

    def stop(self) -> None:
        """End the connection after the request that runs, or at once where there is none."""
        self.is_stopping = True
        if self._exchange is None:
            if not self._is_lost:
                self._end_unless_asked()
        elif self._exchange.is_upgraded:
            self._exchange.stop()

    def _end_unless_asked(self) -> None:
        """End the connection, unless a request is on its way to us: that one is still answered."""
        if self.is_reading_past:
            self._control.end()
        elif self.is_between:
            self._control.await_last_request(is_new=self._is_new)

    def switch_protocols(self) -> None:
        """Give what comes from now on, and what has come already, to the stream that has begun."""
        early, exchange = self._reader.upgrade(), self._exchange
        if exchange is None:
            return
        if early:
            exchange.pause()  # it is passed on when who switches is ready, never within the call
            exchange.take(early, ends=False)
            exchange.resume()
        if self.is_stopping:
            asyncio.get_running_loop().call_soon(exchange.stop)

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """Have ``tunnel`` serve what comes from now on, and what came before it was open.

        It is a new client to us: one that may still ask for something where we are about to end.
        """
        self._tunnel, self._serve = tunnel, tunnel.serve
        self._is_new = True

    def halt(self) -> None:
        """Read nothing more, whatever comes or has come already."""
        self._is_halted = True
        self._reader.stop()

    def refuse(self, error: Malformed) -> None:
        """Answer what can't be read, if no response has begun, and close."""
        where = f" in {self._tunnel.name}" if self._tunnel is not None else ""
        log.warning("not a request%s: %s", where, error.detail)
        refusal = Refusal(_CODES.get(error.status, Code.BAD_REQUEST), hint=error.hint)
        # The exchange is let go of, so that what is still sent on it reaches nobody: it would
        # stand behind the refusal.
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            self._answer(refusal)
            return
        has_started, is_complete = exchange.has_started, exchange.is_complete
        exchange.leave()
        if is_complete:
            self._control.close_gently()
        elif has_started:
            self._control.break_off()
        else:
            self._answer(refusal)

    # A request's life.

    def _handle(self, events: list[object]) -> None:
        at, count = 0, len(events)
        while at < count and not self._is_halted:
            event = events[at]
            at += 1
            if self.is_reading_past:
                self._read_past(event)
            elif type(event) is RequestHead:
                self._begin(event)
            elif isinstance(event, Malformed):
                self.refuse(event)
            elif (exchange := self._exchange) is None:
                continue  # what was left of a request that has its response
            elif event is END:
                exchange.take(b"", ends=True)
            else:
                ends = at < count and events[at] is END
                at += ends
                exchange.take(cast(bytes, event), ends=ends)

    def _begin(self, head: RequestHead) -> None:
        self._is_new = False
        exchange = Exchange(self._control, head, persistence(head.fields, head.minor))
        # What stands behind the head in one read has arrived, though it is told later.
        exchange.is_received = self._reader.state is _DONE
        self._exchange = exchange
        self._control.watch_bodies()
        try:
            handler = self._serve(head, self._remote, exchange)
        except Exception:
            log.exception("a request couldn't be served")
            exchange.finish()
        else:
            exchange.served_by(handler)

    def finished(self, exchange: Exchange) -> None:
        """Go on to the next request, past what was left of this one."""
        if exchange is not self._exchange:
            return  # one that was refused
        self._exchange = None
        if exchange.is_gone:
            if self._is_lost:
                self._let_go()
        elif not exchange.has_started:
            self._answer(Refusal(Code.INTERNAL))
        elif not exchange.is_complete:
            # Visibly: a client that got part of a response must not take it for the whole.
            self._control.break_off()
        elif _has_client_ended(exchange):
            # Both ways of a stream have ended: there is nothing to linger for.
            self._control.end()
        elif not exchange.keeps:
            self._control.close_gently()
        elif self._reader.state is _DONE:
            self._next()
        else:
            # It was answered without all of the body. The next request stands behind the rest of
            # it, so that is read and thrown away: little of it, and for a moment only.
            self.is_reading_past = True
            self._unread = exchange.buffered
            self._control.await_unread()

    def _next(self) -> None:
        self.is_reading_past = False
        self._control.await_request()
        if self._reader.held:
            # A pipelined request has come already; it waited for this moment, since one runs at a
            # time. It begins in a turn of its own: who sends hundreds at once gets no more.
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        self._reader.next_message()  # nothing of it has come
        if self.is_stopping and not self._control.is_closing:
            self._end_unless_asked()

    def _go_on(self) -> None:
        if self._is_lost or self._control.is_closing:
            return  # the client has left meanwhile
        if self._is_free():
            self._handle(self._reader.next_message())
        if not self._is_free():
            return
        if self._reader.held:
            self._control.await_head()
        elif self.is_stopping and not self._control.is_closing:
            self._end_unless_asked()

    def _is_free(self) -> bool:
        """Whether another request can begin."""
        return not (self._is_lost or self._is_halted or self._exchange is not None)

    def _read_past(self, event: object) -> None:
        """Read past the body of a request that was answered without it.

        One that breaks off gets no second response: it would be taken for the next request's.
        """
        if isinstance(event, bytes):
            self._unread += len(event)
            if self._unread > self._control.timeouts.unread:
                self._control.close_gently()
        elif event is not END:
            self._control.close_gently()
        elif not self._control.is_closing:
            self._next()

    def _answer(self, refusal: Refusal) -> None:
        self._control.write(last_response(refusal))
        self._control.close_gently()


def _has_client_ended(exchange: Exchange) -> bool:
    return exchange.is_upgraded and exchange.has_client_ended
