"""The way in: a server protocol for uvicorn, with the strict reader and a bound on everything.

uvicorn keeps the sockets, the processes and the shutdown; what comes in is read here. Requests on
one connection are served one after the other. A client that closes its side has left: its request
is cancelled, whatever it was waiting for.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

import uvicorn
from uvicorn.server import ServerState

from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal
from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import Malformed, RequestHead
from proxy.core.http1.reader import END, RequestReader, State
from proxy.core.http1.writer import response_head
from proxy.hop.cycle import BrokenAnswer, Cycle
from proxy.hop.limits import Limits

log = logging.getLogger("proxy.hop")

TARGET = "portal.target"
"""Where ``scope["state"]`` has the request target as it stood on the wire."""
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
        self._reader = RequestReader()
        self._cycle: Cycle | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._is_reading = True
        self._is_stopping = False
        self._unread = 0
        self._addresses: tuple[object, ...] = (None, None)
        self._scheme = "http"
        # The one timer: armed when a phase begins, looked at when it fires, moved when it is early.
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._on_time: Callable[[], None] = self._give_up
        self._moved = 0
        self._written = 0
        self._left_then = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast(asyncio.Transport, transport)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._addresses = tuple(
            address[:2] if isinstance(address, tuple) else None
            for address in map(transport.get_extra_info, ("peername", "sockname"))
        )
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._expect_within(self.limits.head, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._moved += len(data)
        if self._reader.is_between_messages:
            self._expect_within(self.limits.head, self._give_up)
        self._handle(self._reader.feed(data))
        waiting = self._cycle is not None and self._cycle.buffered > self.limits.buffered
        if (waiting or self._reader.held > self.limits.buffered) and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Take the client for gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what the client was waiting for."""
        del exc
        self._server_state.connections.discard(self)
        self._stop_timer()
        if self._cycle is not None:
            self._cycle.leave()
        if self._task is not None and self._cycle is not None and not self._cycle.is_complete:
            self._task.cancel()
        _wake(self._room)

    def pause_writing(self) -> None:
        """Make the app wait: the client takes nothing more for now."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let the app go on."""
        _wake(self._room)
        self._room = None

    def shutdown(self) -> None:
        """End gracefully, as uvicorn asks: now where nothing runs, else after the response."""
        self._is_stopping = True
        if self._cycle is None:
            self._transport.close()

    # What a cycle calls.

    def write(self, data: bytes) -> None:
        """Send ``data``; follow it with ``drained``."""
        self._written += len(data)
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client takes more."""
        if self._room is not None:
            await self._room

    def go_on_reading(self) -> None:
        """Read on once enough was taken."""
        taken = self._cycle is None or self._cycle.buffered <= self.limits.buffered // 2
        if taken and self._reader.held <= self.limits.buffered:
            self._resume()

    def may_keep(self, cycle: Cycle) -> bool:
        """Tell whether the connection can be kept after this response.

        A client that waits for 100 Continue may send its body or not: nobody can tell what its
        next bytes would be.
        """
        return not self._is_stopping and not cycle.expects_continue

    # The request's life.

    def _handle(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, RequestHead):
                self._begin(event)
            elif isinstance(event, Malformed):
                self._refuse(event)
            elif self._cycle is None:
                self._read_past(event)
            elif event is END:
                self._cycle.end()
            elif isinstance(event, bytes):
                self._cycle.take(event)

    def _begin(self, head: RequestHead) -> None:
        self._cycle = cycle = Cycle(self, head, persistence(head.fields, head.minor))
        self._moved = 0
        self._expect_within(self.limits.window, self._check_rate)
        scope = self._scope(head)
        self._task = task = self._loop.create_task(self._run(cycle, scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _scope(self, head: RequestHead) -> dict[str, Any]:
        path, _, query = head.target.partition(b"?")
        text = path.decode("ascii")
        client, server = self._addresses
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1" if head.minor else "1.0",
            "server": server,
            "client": client,
            "scheme": self._scheme,
            "method": head.method.decode("ascii"),
            "root_path": "",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": head.fields,
            "state": {**self._app_state, TARGET: head.target},
            "extensions": {"http.response.interim": {}},
        }

    async def _run(self, cycle: Cycle, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            if not cycle.is_gone:
                raise
        except BrokenAnswer as error:
            log.warning("an answer broke off: %s", error)
        except Exception:
            if not cycle.has_started:
                log.exception("the listener's app failed")
        cycle.flush()
        if cycle.is_gone:
            return
        if not cycle.is_complete:
            # Visibly: a client that got part of an answer must not take it for the whole.
            self._transport.abort()
            return
        self._after(cycle)

    def _after(self, cycle: Cycle) -> None:
        """Go on to the next request, past what was left of this one."""
        self._cycle = self._task = None
        self._server_state.total_requests += 1
        if not cycle.keeps:
            self._close_gently()
        elif self._reader.state is State.DONE:
            self._next()
        else:
            self._unread = cycle.buffered
            self._expect_within(self.limits.linger, self._close_gently)
            self._resume()

    def _next(self) -> None:
        if self._is_stopping:
            self._transport.close()
            return
        self._expect_within(self.limits.idle, self._transport.close)
        self._resume()
        self._handle(self._reader.next_message())

    def _read_past(self, event: object) -> None:
        """Read past the body of a request that was answered without it."""
        if isinstance(event, bytes):
            self._unread += len(event)
            if self._unread > self.limits.unread:
                self._close_gently()
        elif event is END and not self._transport.is_closing():
            self._next()

    def _refuse(self, error: Malformed) -> None:
        """Answer what can't be read, if no answer has begun, and close."""
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            cycle.leave()
            if self._task is not None:
                self._task.cancel()
            if cycle.has_started:
                self._transport.abort()
                return
        log.warning("not a request: %s", error.detail)
        answer = refusal_answer(Refusal(_CODES.get(error.status, Code.BAD_REQUEST)))
        length = (b"content-length", str(len(answer.body)).encode("ascii"))
        fields = (*answer.fields, length, (b"connection", b"close"))
        self._transport.write(response_head(answer.status, fields) + answer.body)
        self._close_gently()

    def _resume(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def _close_gently(self) -> None:
        """Close so that the client can still read its answer.

        Closing with unread bytes would reset the connection, and the reset can overtake the answer.
        """
        if self._transport.is_closing():
            return
        self._reader.stop()
        self._resume()
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._expect_within(self.limits.linger, self._transport.abort)
        else:
            self._transport.close()

    # The one timer.

    def _expect_within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._deadline = self._loop.time() + seconds
        self._on_time = otherwise
        if self._timer is None or self._timer.when() > self._deadline:
            self._stop_timer()
            self._timer = self._loop.call_at(self._deadline, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look_at_time)
        else:
            self._on_time()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        """End a connection whose head didn't come in time."""
        if self._reader.is_between_messages:
            self._transport.close()
        else:
            self._refuse(Malformed("the head took too long", 408))

    def _check_rate(self) -> None:
        """Look once a window whether the bodies move; an app may take its time, a client not."""
        needed = self.limits.rate * self.limits.window
        out = self._written - self._transport.get_write_buffer_size()
        waits_for_body = self._reader.state is State.BODY and self._is_reading
        if self._room is not None and out - self._left_then < needed:
            log.warning("a client takes its answer too slowly")
            self._transport.abort()
        elif waits_for_body and self._is_wanted() and self._moved < needed:
            self._refuse(Malformed("the body took too long", 408))
        else:
            self._left_then, self._moved = out, 0
            self._expect_within(self.limits.window, self._check_rate)

    def _is_wanted(self) -> bool:
        """Whether the client was told to send its body, if it asked first."""
        return self._cycle is not None and not self._cycle.expects_continue


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
