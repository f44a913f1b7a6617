"""Idle connections, kept for the next request to the same destination.

The last one used is used first, so that a burst's surplus grows old and is closed. A connection
that the other side closed, or that brought a byte, is never handed out: not even if the loop
hasn't heard of it yet.
"""

import asyncio
import ssl
from collections import deque

from proxy.http.client.connect import dial
from proxy.http.client.connection import Connection
from proxy.http.client.resolver import Resolver
from proxy.http.upstream import Destination, UpstreamFailed

IDLE_SECONDS = 4.0
"""Less than servers keep an idle connection open (often 5 s), so a stale one is rarely used."""
IDLE_CONNECTIONS = 256
"""Idle connections that are kept for one destination."""
HAPPY_EYEBALLS = 0.25
"""Seconds until the next address of a name is tried beside the first (RFC 8305, section 5)."""


EARLY = 1.0
"""A server that closes a kept connection within so many seconds doesn't mean to keep any."""
SHUNNED_SECONDS = 30.0


class Pool:
    """The connections of one engine.

    A server that closes behind its responses without saying so wins the race against the next
    request now and then, and nothing may be sent twice. So once it was seen to, its connections
    aren't kept for a while.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = {"": tls} if tls is not None else {}
        self._idle: dict[Destination, deque[Connection]] = {}
        self._shunned: dict[Destination, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._resolver = Resolver()
        self._is_closed = False

    def take(self, to: Destination) -> Connection | None:
        """Return an idle connection; None where there is none."""
        idle = self._idle.get(to)
        if not idle:
            return None
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            fresh = connection.is_open and now - connection.idle_since < IDLE_SECONDS
            if fresh and connection.is_quiet:
                return connection
            if now - connection.idle_since < EARLY:
                self.shun(to)
            connection.close()
        return None

    async def connect(self, to: Destination, patience: float) -> Connection:
        """Return a new connection; raises ``UpstreamFailed`` (nothing was sent)."""
        try:
            async with asyncio.timeout(patience):
                return await self._connect(to)
        except TimeoutError:
            detail = f"no connection within {patience:g} s"
            raise UpstreamFailed(detail, timeout=True, sent=False) from None
        except (OSError, ssl.SSLError) as error:
            raise UpstreamFailed(f"no connection: {error}", sent=False) from None

    def release(self, to: Destination, connection: Connection) -> None:
        """Keep a connection that may carry another request."""
        loop = asyncio.get_running_loop()
        if self._is_closed or loop.time() < self._shunned.get(to, 0):
            connection.close()
            return
        idle = self._idle.setdefault(to, deque())
        if len(idle) >= IDLE_CONNECTIONS:
            idle.popleft().close()
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep, loop)

    def shun(self, to: Destination) -> None:
        """Keep no connections to ``to`` for a while."""
        self._shunned[to] = asyncio.get_running_loop().time() + SHUNNED_SECONDS

    def close(self) -> None:
        """Close every idle connection, and keep none from now on."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has been idle too long or was closed by the other side."""
        for to, idle in list(self._idle.items()):
            while idle and not (
                idle[0].is_open and loop.time() - idle[0].idle_since < IDLE_SECONDS
            ):
                idle.popleft().close()
            if not idle:
                del self._idle[to]
        self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep, loop) if self._idle else None

    def _context(self, authorities: str) -> ssl.SSLContext:
        """Return what verifies a server: the authorities in PEM, or "" for the system's."""
        tls = self._tls.get(authorities)
        if tls is None:
            tls = self._tls[authorities] = ssl.create_default_context(cadata=authorities or None)
            if authorities:  # be it the server's own certificate
                tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return tls

    async def _connect(self, to: Destination) -> Connection:
        loop = asyncio.get_running_loop()
        origin = to.origin
        tls = None
        if origin.scheme == "https":
            tls = self._context(to.authorities)
        name = origin.host.strip("[]") if tls is not None else None
        if to.unix:
            _, connection = await loop.create_unix_connection(
                Connection, to.unix, ssl=tls, server_hostname=name
            )
            return connection
        host, port = to.connect or (origin.host.strip("[]"), origin.port)
        addresses = await self._resolver.look_up(host, port)
        opened = await dial(addresses, None if to.connect else HAPPY_EYEBALLS)
        _, connection = await loop.create_connection(
            Connection, sock=opened, ssl=tls, server_hostname=name
        )
        return connection
