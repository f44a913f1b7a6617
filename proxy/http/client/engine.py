"""The upstream interface over connections of our own, made of ``pool`` and ``exchange``."""

import ssl
from collections.abc import AsyncIterator
from types import TracebackType

from proxy.core.http.headers import Field, indexed
from proxy.core.http1.grammar import ResponseHead
from proxy.http.client.exchange import Exchange
from proxy.http.client.pool import Pool
from proxy.http.upstream import UpstreamFailed, UpstreamRequest, UpstreamResponse


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


class Http1Upstream:
    """Carries requests out over connections of its own; never repeats one."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._pool = Pool(tls)

    def send(self, request: UpstreamRequest) -> "_Sending":
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        return _Sending(self._pool, request)

    async def close(self) -> None:
        """Close every idle connection."""
        self._pool.close()


class _Sending:
    """One request on its way, from taking a connection to giving it back or up."""

    __slots__ = ("_exchange", "_pool", "_request")

    def __init__(self, pool: Pool, request: UpstreamRequest) -> None:
        self._pool = pool
        self._request = request

    async def __aenter__(self) -> UpstreamResponse:
        pool, request = self._pool, self._request
        connection = pool.take(request.to)
        if connection is None:
            connection = await pool.connect(request.to, request.timeouts.connect)
        self._exchange = exchange = Exchange(connection, request)
        try:
            return _Response(await exchange.start(), exchange)
        except BaseException as error:
            if isinstance(error, UpstreamFailed) and connection.idle_since and not error.timeout:
                pool.shun(request.to)
            await self._finish()
            raise

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._finish()

    async def _finish(self) -> None:
        if await self._exchange.finish():
            self._pool.release(self._request.to, self._exchange.connection)
