"""The way in: a server's protocol, with the strict reader and a bound on everything.

``proxy.server.listener`` keeps the sockets and the end; uvicorn can run it, too. This room is a connection's
life: what comes in and goes out, for how long, and how it ends; ``proxy.http.server.requests`` are the
requests on it. A client that closes its side has left: its request is cancelled, whatever it was
waiting for.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from proxy.core.http1.grammar import Malformed
from proxy.http.server.deadline import Deadline
from proxy.http.server.read_side import Inlet
from proxy.http.keepalive import keep_alive
from proxy.http.server.limits import Limits
from proxy.http.server.write_side import Outlet
from proxy.http.read_buffer import Portion
from proxy.http.scope import TARGET, connection_scope, socket_address
from proxy.http.server.requests import Turns

__all__ = ["TARGET", "ListenerProtocol"]

log = logging.getLogger("proxy.hop")

_NOTABLE = 16 * 1024
"""Bytes that are worth a look whether they are taken."""


class ListenerProtocol(asyncio.BufferedProtocol):
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
        self._deadline = Deadline(self._loop)
        self._portion = Portion(2)
        self._transport = cast(asyncio.Transport, None)
        self._inlet = cast(Inlet, None)
        self._outlet = cast(Outlet, None)
        self._turns = cast(Turns, None)
        self._is_tls = False
        self.on_end: Callable[[], None] | None = None
        """Is called once the connection is gone."""

    # What asyncio and uvicorn call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast(asyncio.Transport, transport)
        self._inlet = Inlet(self._transport, self.limits, self._be_left)
        self._outlet = Outlet(self._transport, self._deadline, self.limits)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        names = map(transport.get_extra_info, ("peername", "sockname"))
        client, server = map(socket_address, names)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        scheme = "https" if self._is_tls else "http"
        scope = connection_scope((client, server), scheme, self._app_state)
        self._turns = Turns(self, self._app, scope, self._server_state)
        self.await_head()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._portion.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Read on."""
        self._inlet.note(nbytes)
        if self._turns.is_between:
            self.await_head()
        self._turns.feed(self._portion.take(nbytes))
        if nbytes >= _NOTABLE or self._waiting > self.limits.buffered // 2:
            # Whoever waits for it has its turn first, and nearly always takes all of it.
            self._loop.call_soon(self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        waiting = self._waiting
        if waiting >= _NOTABLE:
            self._portion.shrink()
        if waiting > self.limits.buffered // 2 and not self._transport.is_closing():
            self._inlet.shut()

    @property
    def _waiting(self) -> int:
        return max(self._turns.taken_in, self._turns.held)

    def eof_received(self) -> bool:
        """Take the client for gone, but for a stream's; it may still read what was written."""
        if self._turns.end():
            return not self._is_tls  # which has no half of a connection
        self._outlet.watch()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what the client was waiting for."""
        del exc
        self._server_state.connections.discard(self)
        if self.on_end is not None:
            self.on_end()
        self._deadline.cancel()
        self._inlet.forget()
        self._turns.lose()
        self._outlet.open()

    def pause_writing(self) -> None:
        """Make the app wait: the client takes nothing more for now."""
        self._outlet.shut()

    def resume_writing(self) -> None:
        """Let the app go on."""
        self._outlet.open()

    def shutdown(self) -> None:
        """End gracefully: now where nothing is asked, else after the response."""
        self._turns.stop()

    # What a cycle calls, and its stream.

    def write(self, data: bytes) -> None:
        """Send ``data``; follow it with ``drained``."""
        self._outlet.write(data)

    def write_end(self) -> None:
        """Send our end behind what was written."""
        self._outlet.write_end()

    async def drained(self) -> None:
        """Wait until the client takes more."""
        if self._outlet.room is not None:
            await self._outlet.room

    def go_on_reading(self) -> None:
        """Read on once enough was taken."""
        is_taken = self._turns.taken_in <= self.limits.buffered // 4
        if is_taken and self._turns.held <= self.limits.buffered // 2:
            self._inlet.open()

    @property
    def is_stopping(self) -> bool:
        """Whether no request may follow the one that runs."""
        return self._turns.is_stopping

    def switch(self) -> None:
        """Leave HTTP: from now on nobody is due to say anything."""
        self._deadline.cancel()
        self._inlet.endure()
        self._outlet.endure()
        keep_alive(self._transport)
        self._turns.switch()

    # How it ends.

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""
        return self._transport.is_closing()

    def end(self) -> None:
        """End a connection on which nothing is asked any more."""
        if self._turns.is_reading_past or self._outlet.is_busy:
            self.close_gently()
        else:
            self._transport.close()

    def close_gently(self) -> None:
        """Close so that the client can still read its answer.

        Closing with unread bytes would reset the connection, and the reset can overtake the answer.
        """
        self._turns.halt()
        self._inlet.open()
        self._outlet.close_gently()

    def break_off(self) -> None:
        """Reset the connection."""
        self._outlet.break_off()

    def _be_left(self) -> None:
        """End a connection whose client left while nobody read from it."""
        self._turns.leave()
        self._transport.abort()

    # A client's pace.

    def await_head(self) -> None:
        """Bound the time until a head that has begun is whole."""
        self._deadline.within(self.limits.head, self._give_up)

    def await_turn(self) -> None:
        """Bound the time until the next request begins, and let it come."""
        self._deadline.within(self.limits.idle, self.end)
        self._inlet.open()

    def await_last(self, *, is_new: bool) -> None:
        """End, unless a request has come that wasn't read yet; give a new client a moment."""
        if is_new or self._inlet.has_more:
            self._deadline.within(self.limits.last_call, self.end)
        else:
            self.end()

    def await_rest(self) -> None:
        """Bound the time until a body that nobody wants has ended, and let it come."""
        self._deadline.within(self.limits.linger, self.close_gently)
        self._inlet.open()

    def begin_window(self) -> None:
        """Begin to measure; a client is judged only by stretches that it had whole."""
        self._inlet.begin_window(wanted=self._turns.is_body_due)
        self._outlet.begin_window()
        self._deadline.within(self.limits.window, self._end_window)

    def _give_up(self) -> None:
        """End a connection whose head didn't come in time."""
        if self._turns.is_between:
            self.end()
        else:
            self._turns.refuse(Malformed("the head took too long", 408))

    def _end_window(self) -> None:
        """Look whether the bodies move; an app may take its time, a client not."""
        if self._outlet.is_too_slow():
            log.warning("a client takes its answer too slowly")
            self._turns.leave()
            self._outlet.break_off()
        elif self._turns.is_body_due and self._inlet.is_too_slow():
            self._turns.refuse(Malformed("the body took too long", 408))
        else:
            self.begin_window()
