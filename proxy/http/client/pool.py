"""Idle connections, kept for the next request to the same destination.

The last one used is used first, so that a burst's surplus grows old and is closed. A connection
that the other side closed, or that brought a byte, is never handed out: not even if the loop
hasn't heard of it yet. One that carried somebody's body is handed out to nobody else.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial

from proxy.core.http1.framing import Persistence
from proxy.http.client.connection import Connection
from proxy.http.client.happy_eyeballs import NEXT_ADDRESS, OUT_OF_DESCRIPTORS, dial
from proxy.http.client.request_body import RequestBody
from proxy.http.client.resolver import Address, Resolver
from proxy.http.client.server_history import ServerHistory
from proxy.http.tls.opening import connect
from proxy.http.tls.verifying import believing
from proxy.http.upstream import ANYBODY, Destination, UpstreamFailed

IDLE_SECONDS = 4.0
"""Less than servers keep an idle connection open (often 5 s), so a stale one is rarely used."""
RESERVED_CONNECTIONS = 256
"""Idle connections to one destination that are kept for those alone whose bodies they carried.

All others are as many as ran at once a moment ago: a new one is only made while none is idle.
"""
REST = 0.05
"""Seconds that a connection rests behind a response that ended with its head.

A server that sends a body there all the same sends it at once; it must not meet the next request.
"""

_OUT_OF_TIME = frozenset({9, 10})
"""What OpenSSL says of a certificate that isn't valid yet, or not any more."""
EARLY = 1.0
"""A server that closes a kept connection within so many seconds doesn't mean to keep any."""


class Place:
    """What is known of one destination's server, and its idle connections by who may use them.

    The last one used stands last.
    """

    __slots__ = ("by_caller", "count", "is_gone", "server")

    def __init__(self, server: ServerHistory) -> None:
        self.server = server
        self.by_caller: dict[str, deque[Connection]] = {}
        self.count = 0
        self.is_gone = False
        """Whether the pool knows it no more: another may have taken its place."""

    def add(self, connection: Connection) -> None:
        self.count += 1
        mine = self.by_caller.get(connection.kept_for)
        if mine is None:
            mine = self.by_caller[connection.kept_for] = deque()
        mine.append(connection)
        if connection.kept_for != ANYBODY:
            reserved = self.count - len(self.by_caller.get(ANYBODY, ()))
            if reserved > RESERVED_CONNECTIONS:
                self._drop_reserved()

    def _drop_reserved(self) -> None:
        """Close the one that has been idle longest of those that not everybody may use."""
        reserved = [idle for who, idle in self.by_caller.items() if who != ANYBODY and idle]
        min(reserved, key=lambda idle: idle[0].idle_since).popleft().close()
        self.count -= 1


class Pool:
    """The connections of one engine.

    A server that closes behind its responses without saying so wins the race against the next
    request now and then, and nothing may be sent twice. So once it was seen to, its connections
    aren't kept for a while.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        on_surplus_response: Callable[[Destination], None] | None = None,
    ) -> None:
        self._tls = {"": tls} if tls is not None else {}
        self._places: dict[Destination, Place] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._resolver = Resolver()
        self._is_closed = False
        self._on_surplus_response = on_surplus_response

    def place(self, to: Destination) -> Place:
        """Return the place of the server at ``to``."""
        place = self._places.get(to)
        if place is None:
            place = self._places[to] = Place(ServerHistory(to, self._on_surplus_response))
        return place

    @staticmethod
    def take(place: Place, caller: str, now: float) -> Connection | None:
        """Return an idle connection that ``caller`` may use; None where there is none."""
        if not place.count:
            return None
        for who in (caller, ANYBODY):
            idle = place.by_caller.get(who)
            while idle:
                connection = idle[-1]
                if connection.usable_at <= now:
                    idle.pop()
                elif idle[0].usable_at <= now:
                    connection = idle.popleft()
                else:
                    break
                place.count -= 1
                fresh = now - connection.idle_since < IDLE_SECONDS
                if fresh and connection.is_open and connection.is_quiet:
                    return connection
                if now - connection.idle_since < EARLY:
                    place.server.disable_keep_alive(now)
                _discard(connection)
        return None

    async def connect(self, server: ServerHistory, patience: float) -> Connection:
        """Return a new connection; raises ``UpstreamFailed`` (nothing was sent)."""
        try:
            async with asyncio.timeout(patience):
                try:
                    return await self._connect(server)
                except OSError as error:
                    if error.errno not in OUT_OF_DESCRIPTORS or not self._close_idle():
                        raise
                    return await self._connect(server)
        except TimeoutError:
            detail = f"no connection within {patience:g} s"
            failure = UpstreamFailed(detail, timeout=True, sent=False)
        except (OSError, ssl.SSLError) as error:
            failure = UpstreamFailed(f"no connection: {error}{_doubt(error)}", sent=False)
        server.forget()  # when it is there again, it may be another one
        try:
            raise failure from None
        finally:
            del failure  # its traceback refers to this frame, and so to all callers

    def give_back(
        self,
        place: Place,
        connection: Connection,
        body: RequestBody | None,
        persistence: Persistence,
    ) -> None:
        """Take back a connection whose exchange is whole, the request with its ``body`` too."""
        if not connection.is_reusable(persistence):
            connection.break_off(UpstreamFailed("the connection isn't used again"))
        elif body is None or body.may_be_followed:
            if body is not None and body.is_somebodys:
                connection.kept_for = body.caller
            self._keep(place, connection)
        else:
            connection.watch()

    def _keep(self, place: Place, connection: Connection) -> None:
        """Keep a connection that may carry another request."""
        server, now = place.server, connection.moved_at
        if self._is_closed or now < server.no_keep_alive_until:
            connection.close()
            return
        # Not since it is given back: the server counts from the last byte, too.
        connection.idle_since = connection.usable_at = now
        if connection.has_ended_with_head:
            if server.sends_bodies_behind_heads:
                connection.close()
                return
            connection.usable_at += REST
        if place.is_gone:
            place = self.place(server.to)
        place.add(connection)
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep, loop)

    def close(self) -> None:
        """Close every idle connection, and keep none from now on."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._close_idle()
        self._places.clear()

    def _close_idle(self) -> bool:
        """Close what is idle: its descriptors are needed. Tells whether there was anything."""
        found = False
        for place in self._places.values():
            for idle in place.by_caller.values():
                for connection in idle:
                    connection.close()
            found = found or bool(place.count)
            place.by_caller.clear()
            place.count = 0
        return found

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has been idle too long or was closed by the other side."""
        now, is_any_left = loop.time(), False
        for to, place in list(self._places.items()):
            for caller, idle in list(place.by_caller.items()):
                while idle and not (idle[0].is_open and now - idle[0].idle_since < IDLE_SECONDS):
                    idle.popleft().close()
                    place.count -= 1
                if not idle:
                    del place.by_caller[caller]
            if place.count:
                is_any_left = True
            elif place.server.is_forgotten(now):
                place.is_gone = True
                del self._places[to]
        self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep, loop) if is_any_left else None

    def _context(self, authorities: str) -> ssl.SSLContext:
        """Return what verifies a server: the authorities in PEM, or "" for the system's."""
        tls = self._tls.get(authorities)
        if tls is None:
            tls = self._tls[authorities] = believing(authorities)
        return tls

    async def _connect(self, server: ServerHistory) -> Connection:
        make, opened = partial(Connection, server.note_surplus), await self._dial(server.to)
        origin = server.to.origin
        if origin.scheme == "https":
            context = self._context(server.to.authorities)
            return await connect(opened, context, origin.host.strip("[]"), make)
        loop = asyncio.get_running_loop()
        if opened.family == socket.AF_UNIX:
            _, connection = await loop.create_unix_connection(make, sock=opened)
        else:
            _, connection = await loop.create_connection(make, sock=opened)
        return connection

    async def _dial(self, to: Destination) -> socket.socket:
        if to.unix:
            return await dial([Address(socket.AF_UNIX, 0, to.unix)], None)
        host, port = to.connect or (to.origin.host.strip("[]"), to.origin.port)
        addresses = await self._resolver.look_up(host, port)
        return await dial(addresses, None if to.connect else NEXT_ADDRESS)


def _doubt(error: OSError) -> str:
    """Return what else may be wrong than the certificate that TLS has something against."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OUT_OF_TIME:
        return "; or the clock here is wrong"
    return ""


def _discard(connection: Connection) -> None:
    """Let go of a connection that can't be used, and see what it brought before it is closed."""
    if connection.is_open and not connection.is_quiet:
        connection.watch()
    else:
        connection.close()
