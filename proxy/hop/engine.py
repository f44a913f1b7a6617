"""The engine behind the upstream seam, made of ``pool`` and ``exchange``."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.core.headers import Field, indexed
from proxy.core.http1.grammar import ResponseHead
from proxy.hop.connection import Connection
from proxy.hop.exchange import Exchange
from proxy.hop.pool import Pool
from proxy.upstream import UpstreamFailed, UpstreamRequest, UpstreamResponse


class _Response:
    """A response whose head has arrived; the rest is its exchange's."""

    def __init__(self, head: ResponseHead, exchange: Exchange) -> None:
        self.status = head.status
        self.fields: tuple[Field, ...] = indexed(head.fields)
        self._exchange = exchange
        self.write = exchange.write
        self.write_end = exchange.write_end

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, which is read once."""
        return self._exchange


class HopUpstream:
    """Carries requests out over connections of its own; never repeats one."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._pool = Pool(tls)

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        connection = await self._pool.acquire(request.to, request.timeouts.connect)
        exchange = Exchange(connection, request)
        try:
            yield _Response(await self._start(exchange, connection, request), exchange)
        finally:
            if await exchange.finish():
                self._pool.release(request.to, connection)

    async def _start(
        self, exchange: Exchange, connection: Connection, request: UpstreamRequest
    ) -> ResponseHead:
        try:
            return await exchange.start()
        except UpstreamFailed as failure:
            if connection.idle_since and not failure.timeout:
                self._pool.shun(request.to)
            raise

    async def close(self) -> None:
        """Close every idle connection."""
        self._pool.close()
