"""The way in: a server protocol for uvicorn, with the strict reader and a bound on everything.

uvicorn keeps the sockets, the processes and the shutdown; what comes in is read here. Requests on
one connection are served one after the other. A client that closes its side has left: its request
is cancelled, whatever it was waiting for.
"""

import asyncio
import logging
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal
from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import Malformed, RequestHead
from proxy.core.http1.reader import END, RequestReader, State
from proxy.core.http1.writer import response_head
from proxy.hop.cycle import Cycle
from proxy.hop.deadline import Deadline
from proxy.hop.inlet import Inlet
from proxy.hop.limits import Limits
from proxy.hop.outlet import Outlet
from proxy.hop.scope import TARGET, connection_scope, http_scope

__all__ = ["TARGET", "ListenerProtocol"]

log = logging.getLogger("proxy.hop")

_CODES = {408: Code.REQUEST_TIMEOUT, 431: Code.HEAD_TOO_LARGE, 505: Code.VERSION_UNSUPPORTED}


class ListenerProtocol(asyncio.Protocol):
    """One client's connection."""

    limits = Limits()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._app = config.loaded_app
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, None)
        self._inlet = cast(Inlet, None)
        self._outlet = cast(Outlet, None)
        self._deadline = Deadline(self._loop)
        self._reader = RequestReader()
        self._cycle: Cycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._is_reading_past = False
        self._unread = 0
        self._scope: dict[str, Any] = {}

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast(asyncio.Transport, transport)
        self._inlet = Inlet(self._transport, self.limits, self._be_left)
        self._outlet = Outlet(self._transport, self._deadline, self.limits)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        client, server = (
            address[:2] if isinstance(address, tuple) else None
            for address in map(transport.get_extra_info, ("peername", "sockname"))
        )
        scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._scope = connection_scope((client, server), scheme, self._app_state)
        self._deadline.within(self.limits.head, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._inlet.note(len(data))
        if self._reader.is_between_messages:
            self._deadline.within(self.limits.head, self._give_up)
        self._handle(self._reader.feed(data))
        waiting = self._cycle is not None and self._cycle.buffered > self.limits.buffered
        if waiting or self._reader.held > self.limits.buffered:
            self._inlet.shut()

    def eof_received(self) -> bool:
        """Take the client for gone; it may still read what was written."""
        self._leave()
        self._outlet.watch()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what the client was waiting for."""
        del exc
        self._server_state.connections.discard(self)
        self._deadline.cancel()
        self._inlet.forget()
        self._leave()
        self._outlet.open()

    def pause_writing(self) -> None:
        """Make the app wait: the client takes nothing more for now."""
        self._outlet.shut()

    def resume_writing(self) -> None:
        """Let the app go on."""
        self._outlet.open()

    def shutdown(self) -> None:
        """End gracefully, as uvicorn asks: now where nothing runs, else after the response."""
        self._is_stopping = True
        if self._cycle is None:
            self._end()

    # What a cycle calls.

    def write(self, data: bytes) -> None:
        """Send ``data``; follow it with ``drained``."""
        self._outlet.write(data)

    async def drained(self) -> None:
        """Wait until the client takes more."""
        if self._outlet.room is not None:
            await self._outlet.room

    def go_on_reading(self) -> None:
        """Read on once enough was taken."""
        taken = self._cycle is None or self._cycle.buffered <= self.limits.buffered // 2
        if taken and self._reader.held <= self.limits.buffered:
            self._inlet.open()

    def may_keep(self, cycle: Cycle) -> bool:
        """Tell whether the connection can be kept after this response.

        A client that waits for 100 Continue may send its body or not: nobody can tell what its
        next bytes would be.
        """
        return not self._is_stopping and not cycle.expects_continue

    # The request's life.

    def _handle(self, events: list[object]) -> None:
        for event in events:
            if self._is_reading_past:
                self._read_past(event)
            elif isinstance(event, RequestHead):
                self._begin(event)
            elif isinstance(event, Malformed):
                self._refuse(event)
            elif self._cycle is not None:
                if isinstance(event, bytes):
                    self._cycle.take(event)
                else:
                    self._cycle.end()

    def _begin(self, head: RequestHead) -> None:
        self._cycle = cycle = Cycle(self, head, persistence(head.fields, head.minor))
        self._begin_window()
        scope = http_scope(head, self._scope)
        self._task = task = self._loop.create_task(self._run(cycle, scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    async def _run(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            if not cycle.is_gone:
                self._outlet.break_off()
                raise
        except Exception as error:
            if cycle.has_started and not cycle.is_complete:
                # As text: a record that somebody keeps would keep the error's frames.
                log.warning("an answer broke off: %s", str(error) or repr(error))
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
            # Visibly: a client that got part of an answer must not take it for the whole.
            self._outlet.break_off()
        elif not cycle.keeps:
            self._close_gently()
        elif self._reader.state is State.DONE:
            self._next()
        else:
            self._is_reading_past = True
            self._unread = cycle.buffered
            self._deadline.within(self.limits.linger, self._close_gently)
            self._inlet.open()

    def _next(self) -> None:
        self._is_reading_past = False
        if self._is_stopping:
            self._end()
            return
        self._deadline.within(self.limits.idle, self._end)
        self._inlet.open()
        self._handle(self._reader.next_message())
        if self._reader.held and self._cycle is None:
            self._deadline.within(self.limits.head, self._give_up)

    def _read_past(self, event: object) -> None:
        """Read past the body of a request that was answered without it.

        One that breaks off is no reason for a second answer: it would be taken for the next one's.
        """
        if isinstance(event, bytes):
            self._unread += len(event)
            if self._unread > self.limits.unread:
                self._close_gently()
        elif event is not END:
            self._close_gently()
        elif not self._transport.is_closing():
            self._next()

    def _be_left(self) -> None:
        """End a connection whose client left while nobody read from it."""
        self._leave()
        self._transport.abort()

    def _leave(self) -> None:
        """Cancel what runs for a client that isn't there any more."""
        if self._cycle is None or self._cycle.is_gone:
            return
        self._cycle.leave()
        if self._task is not None and not self._cycle.is_complete:
            self._task.cancel()

    def _refuse(self, error: Malformed) -> None:
        """Answer what can't be read, if no answer has begun, and close."""
        log.warning("not a request: %s", error.detail)
        self._leave()
        cycle, self._cycle = self._cycle, None
        if cycle is not None and cycle.is_complete:
            self._close_gently()
        elif cycle is not None and cycle.has_started:
            self._outlet.break_off()
        else:
            self._answer(Refusal(_CODES.get(error.status, Code.BAD_REQUEST)))

    def _answer(self, refusal: Refusal) -> None:
        answer = refusal_answer(refusal)
        length = (b"content-length", str(len(answer.body)).encode("ascii"))
        fields = (*answer.fields, length, (b"connection", b"close"))
        self._outlet.write(response_head(answer.status, fields) + answer.body)
        self._close_gently()

    def _close_gently(self) -> None:
        """Close so that the client can still read its answer.

        Closing with unread bytes would reset the connection, and the reset can overtake the answer.
        """
        self._reader.stop()
        self._inlet.open()
        self._outlet.close_gently()

    def _end(self) -> None:
        """End a connection on which nothing is asked any more."""
        if self._is_reading_past or self._outlet.is_busy:
            self._close_gently()
        else:
            self._transport.close()

    # A client's pace.

    def _give_up(self) -> None:
        """End a connection whose head didn't come in time."""
        if self._reader.is_between_messages:
            self._end()
        else:
            self._refuse(Malformed("the head took too long", 408))

    def _begin_window(self) -> None:
        """Begin to measure; a client is judged only by stretches that it had whole."""
        is_asked = self._cycle is not None and not self._cycle.expects_continue
        self._inlet.begin_window(wanted=is_asked and self._reader.state is State.BODY)
        self._outlet.begin_window()
        self._deadline.within(self.limits.window, self._end_window)

    def _end_window(self) -> None:
        """Look whether the bodies move; an app may take its time, a client not."""
        if self._outlet.is_too_slow():
            log.warning("a client takes its answer too slowly")
            self._leave()
            self._outlet.break_off()
        elif self._reader.state is State.BODY and self._inlet.is_too_slow():
            self._refuse(Malformed("the body took too long", 408))
        else:
            self._begin_window()
