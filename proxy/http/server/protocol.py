"""One connection of a client: a server's asyncio protocol, with a limit on everything.

``proxy.server.listener`` accepts it and waits for its end; uvicorn can run it, too. Here is what
comes in and goes out, for how long, and how it ends; the requests on it are in
``proxy.http.server.requests``. A client that closes its side has left: its request ends, whatever
it was waiting for.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import Malformed
from proxy.http.asgi_handler import serve_asgi
from proxy.http.downstream import Serve, Tunnel
from proxy.http.lost_transport import let_go_of_itself
from proxy.http.read_buffer import ReadBuffer
from proxy.http.scope import connection_scope, socket_address
from proxy.http.server.exchange import Exchange
from proxy.http.server.lingering import Lingering
from proxy.http.server.pacing import ReadSide, WriteSide
from proxy.http.server.requests import ConnectionRequests
from proxy.http.server.timeouts import ConnectionTimeouts, Deadline
from proxy.http.server.unsent_heads import unsent_heads_of
from proxy.http.tcp_keepalive import keep_alive

log = logging.getLogger("proxy.http")

_NOTABLE = 16 * 1024
"""Bytes that are worth a look whether they are taken."""


def _never(_: str) -> bool:
    return False


class ServerConnection(asyncio.BufferedProtocol):
    """One client's connection.

    The app of ``config`` serves its requests: by its method ``serve``, a ``Serve``, where it has
    one; else it is an ASGI app.
    """

    __slots__ = (
        "_app_state",
        "_config",
        "_deadline",
        "_is_lost",
        "_lingering",
        "_loop",
        "_read_buffer",
        "_read_side",
        "_requests",
        "_server_state",
        "_transport",
        "_unread_ends",
        "_window_ends",
        "_write_side",
        "client",
        "on_end",
        "unsent_heads",
    )
    timeouts = ConnectionTimeouts()
    ask_short: Callable[[str], bool] = staticmethod(_never)
    """Tells ``is_short`` of a client's address."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._deadline = Deadline(self._loop)
        self.unsent_heads = unsent_heads_of(self._loop)
        """Where the heads of responses wait for their bodies."""
        self._read_buffer = ReadBuffer(2)
        self._transport = cast(asyncio.Transport, None)
        self._read_side = cast(ReadSide, None)
        self._write_side = cast(WriteSide, None)
        self._lingering: Lingering | None = None
        self._is_lost = False
        self._requests = cast(ConnectionRequests, None)
        self._window_ends = 0.0
        self._unread_ends = 0.0
        self.on_end: Callable[[], None] | None = None
        """Is called once the connection is gone."""
        self.client = ""
        """The client's address, for ``ask_short``."""

    def is_short(self) -> bool:
        """Tell whether there are so many connections that a slow one takes another one's place."""
        return self.ask_short(self.client)

    # What asyncio and uvicorn call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast(asyncio.Transport, transport)
        self._read_side = ReadSide(self._transport, self.timeouts, self)
        self._write_side = WriteSide(self._transport, self._deadline, self.timeouts)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._requests = ConnectionRequests(self, self._serve(), self._remote_peer())
        self.await_head()

    def _remote_peer(self) -> RemotePeer:
        """Return who is at the other end: a unix socket is known by its own address."""
        client = socket_address(self._transport.get_extra_info("peername"))
        is_unix = isinstance(self._transport.get_extra_info("sockname"), str)
        is_tls = self._transport.get_extra_info("sslcontext") is not None
        return RemotePeer(client[0] if client and not is_unix else "", is_unix, is_tls)

    def _serve(self) -> Serve:
        """Return what serves requests."""
        app = self._config.loaded_app
        serve: Serve | None = getattr(app, "serve", None)
        if serve is not None:
            return serve
        names = map(self._transport.get_extra_info, ("peername", "sockname"))
        client, server = map(socket_address, names)
        is_tls = self._transport.get_extra_info("sslcontext") is not None
        scope = connection_scope((client, server), "https" if is_tls else "http", self._app_state)
        return serve_asgi(app, scope, self._server_state.tasks)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._read_buffer.view()

    def buffer_updated(self, nbytes: int) -> None:
        """Read on."""
        self._read_side.note(nbytes)
        if self._lingering is not None:
            self._lingering.note(nbytes)
            return
        was_between = self._requests.is_between
        self._requests.feed(self._read_buffer.take(nbytes))
        if was_between and self._requests.is_in_head:
            self.await_head()
        if nbytes >= _NOTABLE or self._requests.waits:
            # Whoever waits for it runs first, and nearly always takes all of it.
            self._loop.call_soon(self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        waiting = self._waiting
        if waiting >= _NOTABLE:
            self._read_buffer.shrink()
        if waiting > self.timeouts.buffered // 2 and not self._transport.is_closing():
            self._read_side.shut()

    @property
    def _waiting(self) -> int:
        return max(self._requests.untaken, self._requests.unparsed)

    def eof_received(self) -> bool:
        """Take the client for gone, but for a stream's; it may still read what was written."""
        is_genuine = self._transport.get_extra_info("ended_properly", default=True)
        if not is_genuine and self._requests.is_upgraded:
            self._transport.abort()  # a stream that somebody cut hasn't ended
            return False
        if self._requests.end():
            return True
        self._write_side.begin()
        self._write_side.watch_rest()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what the client was waiting for."""
        del exc
        if self.on_end is not None:
            self.on_end()
            self.on_end = None
        # Whatever refers to itself stays until Python looks for garbage, which is seldom: all that
        # the client had sent, and a task, for each connection that ended.
        self._deadline.end()
        self._read_side.lose()
        self._lingering = None
        self._is_lost = True
        was_shut = self._write_side.is_shut
        self._write_side.open()
        self._requests.lose()
        if not self._requests.is_upgraded:  # else what the client said last still passes on
            self._server_state.connections.discard(self)
        if was_shut:
            self._requests.resume_response()
        let_go_of_itself(self._transport)

    def pause_writing(self) -> None:
        """Have no more written: the client takes nothing for now."""
        self._write_side.shut()
        self._requests.pause_response()

    def resume_writing(self) -> None:
        """Have more written."""
        self._write_side.open()
        self._requests.resume_response()

    def shutdown(self) -> None:
        """End gracefully: now where nothing is asked, else after the response."""
        self._requests.stop()
        if self._lingering is not None:
            self._lingering.hurry()

    # What an exchange calls.

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self._write_side.write(data)

    def write_end(self) -> None:
        """Send our end behind what was written."""
        self._write_side.write_end()

    @property
    def is_write_blocked(self) -> bool:
        """Whether the client takes nothing more for now.

        One that broke just now is blocked until ``connection_lost``, which is on its way.
        """
        return self._write_side.is_shut or (not self._is_lost and self._transport.is_closing())

    def deliver(self) -> None:
        """Be blocked until the client's side of the socket has all that was written."""
        self._write_side.deliver()

    def exchange_finished(self, exchange: Exchange) -> None:
        """Go on to the next request."""
        if not exchange.is_gone:
            self._server_state.total_requests += 1
        self._requests.finished(exchange)
        if self._is_lost:
            self._server_state.connections.discard(self)

    def resume_reading(self) -> None:
        """Read on once enough was taken."""
        is_taken = self._requests.untaken <= self.timeouts.buffered // 4
        if is_taken and self._requests.unparsed <= self.timeouts.buffered // 2:
            self._read_side.open()

    @property
    def unread_limit(self) -> int:
        """How many bytes of a body are read past when its request has its response."""
        return self.timeouts.unread

    @property
    def is_stopping(self) -> bool:
        """Whether no request may follow the one that runs."""
        return self._requests.is_stopping

    def switch_protocols(self) -> None:
        """Leave HTTP: from now on nobody is due to say anything."""
        self._deadline.cancel()
        self._read_side.disable_timeouts()
        self._write_side.disable_timeouts()
        keep_alive(self._transport)
        self._requests.switch_protocols()

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """Have ``tunnel`` serve what is asked from now on."""
        self._requests.open_tunnel(tunnel)
        tunnel.opened(self.shutdown)

    # How it ends.

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""
        return self._transport.is_closing()

    def end(self) -> None:
        """End a connection on which nothing is asked any more."""
        if self._lingering is not None:
            return
        if self._requests.is_reading_past or self._write_side.is_busy:
            self.close_gently()
        else:
            self._write_side.close()

    def close_gently(self) -> None:
        """Close so that the client can still read its response: see ``Lingering``.

        Behind our end nothing is carried out, since nobody could hear what came of it.
        """
        self._requests.halt()
        self._read_side.open()
        if self._lingering is None and not self._transport.is_closing():
            self._lingering = Lingering(
                self._transport, self._deadline, self.timeouts, self._write_side, self.is_short
            )
            self._lingering.begin(is_hurried=self._requests.is_stopping)

    def break_off(self) -> None:
        """Reset the connection."""
        self._write_side.break_off()

    def cut_short(self) -> None:
        """Wait no longer for what a client said last; the connection was broken off."""
        self._requests.cut_short()

    def be_left(self) -> None:
        """End a connection whose client left while nobody read from it."""
        self._requests.leave()
        self._transport.abort()

    # A client's pace.

    def await_head(self) -> None:
        """Bound the time until a head that has begun is whole."""
        self._deadline.within(self.timeouts.head, self._give_up)

    def await_request(self) -> None:
        """Bound the time until the next request begins, and let it come."""
        self._deadline.within(self.timeouts.idle, self.end)
        self.resume_reading()

    def await_last_request(self, *, is_new: bool) -> None:
        """End, unless a request has come that wasn't read yet; give a new client a moment."""
        if is_new or self._read_side.has_more:
            self._deadline.within(self.timeouts.last_call, self.end)
        else:
            self.end()

    def await_unread(self) -> None:
        """Bound the time until a body that nobody wants has ended, and let it come."""
        self._unread_ends = monotonic() + self.timeouts.linger_most
        self._read_side.open()
        self._read_side.moved_at = monotonic()
        self._look_at_unread()

    def _look_at_unread(self) -> None:
        now = monotonic()
        left = min(self._unread_ends, self._read_side.moved_at + self.timeouts.linger) - now
        if left <= 0 or self._requests.is_stopping or self.is_short():
            self.close_gently()
        else:
            self._deadline.within(min(left, self.timeouts.ending), self._look_at_unread)

    def watch_bodies(self) -> None:
        """Begin to look whether both bodies move."""
        timeouts = self.timeouts
        self._write_side.begin()
        self._begin_window()
        self._deadline.within(timeouts.first_look, self._look_again)

    def _give_up(self) -> None:
        """End a connection whose head didn't come in time."""
        if self._requests.is_between:
            self.end()
        else:
            self._requests.refuse(Malformed("the head took too long", 408))

    def _begin_window(self) -> None:
        """Begin to measure; a client is measured only by windows that it had whole."""
        self._window_ends = monotonic() + self.timeouts.window
        self._read_side.begin_window(wanted=self._requests.is_body_due)
        self._write_side.begin_window()

    def _look_again(self) -> None:
        """Look whether the bodies move; an app may take its time, a client not."""
        window = self._window_ends - monotonic()
        taking = self._write_side.patience()
        sending = self._read_side.patience(
            wanted=self._requests.is_body_due, is_answered=self._write_side.has_written()
        )
        is_over = window <= 0
        is_judged = is_over and (self.is_short() or self._requests.is_place_short)
        if taking <= 0 or (is_judged and self._write_side.is_too_slow()):
            log.warning("a client takes its response too slowly")
            self._requests.leave()
            self._write_side.break_off()
        elif sending <= 0 or (
            is_judged and self._requests.is_body_due and self._read_side.is_too_slow()
        ):
            self._requests.refuse(Malformed("the body took too long", 408))
        else:
            if is_over:
                self._begin_window()
                window = self.timeouts.window
            if self._write_side.is_busy:
                taking = min(taking, self.timeouts.send / 4)
            self._deadline.within(min(window, taking, sending), self._look_again)
