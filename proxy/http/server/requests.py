"""The requests of one connection, one after the other: the reader's events become cycles.

What can't be read is refused here, before anybody could ask who sent it and what for. A request
that was answered with a 101 is the connection's last: from then on its bytes are a stream's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from uvicorn.server import ServerState

from proxy.core.errors import Code, Refusal
from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import Malformed, RequestHead
from proxy.core.http1.reader import END, RequestReader, State
from proxy.http.scope import HAS_BEGUN, IS_SHORT, http_scope
from proxy.http.server.cycle import Cycle, ResponseWriter, Stream
from proxy.http.server.last_response import last_response
from proxy.http.server.timeouts import ConnectionTimeouts

log = logging.getLogger("proxy.http")

_CODES = {
    408: Code.REQUEST_TIMEOUT,
    411: Code.LENGTH_REQUIRED,
    431: Code.HEAD_TOO_LARGE,
    505: Code.VERSION_UNSUPPORTED,
}

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


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
    """The reader of one connection, and the cycle that runs."""

    def __init__(
        self, control: ConnectionControl, app: App, scope: dict[str, Any], state: ServerState
    ) -> None:
        """``scope`` is what the scopes of all requests share; ``state`` is the server's."""
        self._control = control
        self._app = app
        self._scope = scope
        self._server_state = state
        self._reader = RequestReader()
        self._cycle: Cycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._state: dict[str, Any] = {}
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
    def is_body_due(self) -> bool:
        """Whether the client should be sending a body just now."""
        is_asked = self._cycle is not None and not self._cycle.expects_continue
        return is_asked and self._reader.state is State.BODY

    @property
    def is_place_short(self) -> bool:
        """Whether others wait for the place that the request holds."""
        is_short: Callable[[], bool] | None = self._state.get(IS_SHORT)
        return self._cycle is not None and is_short is not None and is_short()

    @property
    def untaken(self) -> int:
        """How many bytes wait for the app to take them."""
        taker = self._stream or self._cycle
        return taker.buffered if taker is not None else 0

    @property
    def unparsed(self) -> int:
        """How many bytes wait for the request before them to end."""
        return self._reader.held

    @property
    def is_upgraded(self) -> bool:
        """Whether the connection has left HTTP."""
        return self._stream is not None

    @property
    def _stream(self) -> Stream | None:
        return self._cycle.stream if self._cycle is not None else None

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        """Read on."""
        self._handle(self._reader.feed(data))

    def end(self) -> bool:
        """Take note that the client ended its side; tell whether it may still be sent to."""
        if self._stream is None:
            self.leave()
            return False
        self._stream.end()
        return True

    def lose(self) -> None:
        """Take note that the connection is gone.

        A stream that ended before is read to its end: what the client said last counts.
        """
        self._is_lost = True
        if self._cycle is not None and self._has_client_ended(self._cycle):
            self._cycle.is_gone = True
        else:
            self.leave()
        if self._task is None or self._task.done():
            self._let_go()

    def _let_go(self) -> None:
        """Hold nothing of a connection that is gone, nor of its last request: they hold us."""
        self._cycle = self._task = None
        self._state = {}
        self._reader = RequestReader()
        self._control = cast(ConnectionControl, None)

    def leave(self) -> None:
        """Cancel what runs for a client that isn't there any more."""
        if self._cycle is None or self._cycle.is_gone:
            return
        self._cycle.leave()
        if self._task is not None and not self._cycle.is_complete:
            self._task.cancel()

    def stop(self) -> None:
        """End the connection after the request that runs, or at once where there is none."""
        self.is_stopping = True
        if self._stream is not None:
            self._stream.stop()
        elif self._cycle is None and not self._is_lost:
            self._end_unless_asked()

    def _end_unless_asked(self) -> None:
        """End the connection, unless a request is on its way to us: that one is still answered."""
        if self.is_reading_past:
            self._control.end()
        elif self.is_between:
            self._control.await_last_request(is_new=self._is_new)

    def switch_protocols(self) -> None:
        """Give what comes from now on, and what has come already, to the stream that has begun."""
        early, stream = self._reader.upgrade(), self._stream
        if stream is not None and early:
            stream.take(early)
        if stream is not None and self.is_stopping:
            stream.stop()

    def halt(self) -> None:
        """Read nothing more, whatever comes or has come already."""
        self._is_halted = True
        self._reader.stop()

    def refuse(self, error: Malformed) -> None:
        """Answer what can't be read, if no response has begun, and close."""
        log.warning("not a request: %s", error.detail)
        self.leave()
        # The cycle is let go of, so that what its app still sends reaches nobody: it would stand
        # behind the refusal.
        cycle, self._cycle = self._cycle, None
        if cycle is not None and cycle.is_complete:
            self._control.close_gently()
        elif cycle is not None and cycle.has_started:
            self._control.break_off()
        else:
            self._answer(Refusal(_CODES.get(error.status, Code.BAD_REQUEST)))

    # A request's life.

    def _handle(self, events: list[object]) -> None:
        for event in events:
            if self._is_halted:
                return
            if self.is_reading_past:
                self._read_past(event)
            elif isinstance(event, RequestHead):
                self._begin(event)
            elif isinstance(event, Malformed):
                self.refuse(event)
            elif self._cycle is not None:
                if isinstance(event, bytes):
                    self._cycle.take(event)
                else:
                    self._cycle.end()

    def _begin(self, head: RequestHead) -> None:
        self._is_new = False
        self._cycle = cycle = Cycle(self._control, head, persistence(head.fields, head.minor))
        self._control.watch_bodies()
        scope = http_scope(head, self._scope)
        self._state = scope["state"]
        if cycle.expects_continue:
            scope["state"][HAS_BEGUN] = cycle.has_begun
        run = self._run(cycle, scope)
        self._task = task = asyncio.get_running_loop().create_task(run)
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    async def _run(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        try:
            await self._serve(cycle, scope)
        finally:
            if self._is_lost:
                self._let_go()

    async def _serve(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            # Where the client left, ``leave`` cancelled us: that is the task's proper end.
            if not cycle.is_gone:
                self._control.break_off()
                raise
        except Exception as error:
            if cycle.has_started and not cycle.is_complete:
                # As text: a record that somebody keeps would keep the error's frames. The request's
                # own line tells of it too (proxy.transfer.access_log).
                log.debug("a response broke off: %s", str(error) or repr(error))
            else:
                log.exception("the listener's app failed")
        if not cycle.is_gone:
            self._after(cycle)

    def _after(self, cycle: Cycle) -> None:
        """Go on to the next request, past what was left of this one."""
        self._cycle = self._task = None
        self._server_state.total_requests += 1
        if not cycle.has_started:
            self._answer(Refusal(Code.INTERNAL))
        elif not cycle.is_complete:
            # Visibly: a client that got part of a response must not take it for the whole.
            self._control.break_off()
        elif self._has_client_ended(cycle):
            # Both ways of a stream have ended: there is nothing to linger for.
            self._control.end()
        elif not cycle.keeps:
            self._control.close_gently()
        elif self._reader.state is State.DONE:
            self._next()
        else:
            # The app answered without all of the body. The next request stands behind the rest of
            # it, so that is read and thrown away: little of it, and for a moment only.
            self.is_reading_past = True
            self._unread = cycle.buffered
            self._control.await_unread()

    @staticmethod
    def _has_client_ended(cycle: Cycle) -> bool:
        return cycle.stream is not None and cycle.stream.has_client_ended

    def _next(self) -> None:
        self.is_reading_past = False
        self._control.await_request()
        # A pipelined request has come already; it waited for this moment, since one runs at a time.
        self._handle(self._reader.next_message())
        if self._cycle is None and self._reader.held:
            self._control.await_head()
        elif self._cycle is None and self.is_stopping and not self._control.is_closing:
            self._end_unless_asked()

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
