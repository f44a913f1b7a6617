"""The upstream interface over connections of our own, made of ``pool`` and ``exchange``."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from proxy.core.http.headers import Field, indexed, values_of
from proxy.core.http1.grammar import ResponseHead
from proxy.http.client.exchange import Exchange
from proxy.http.client.pool import Pool
from proxy.http.client.server_history import SILENT_SECONDS, ServerHistory
from proxy.http.upstream import (
    Destination,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeouts,
)

ASKING = 3.0
"""Seconds that a server gets to say what it speaks."""
_ASK_AGAIN = 10.0
"""Seconds after which one that didn't say so is asked again."""
_OPTIONS, _SERVER = b"OPTIONS", b"*"


class _Response:
    """A response whose head has arrived; the rest is its exchange's."""

    def __init__(self, head: ResponseHead, exchange: Exchange) -> None:
        self.status = head.status
        self.minor = head.minor
        self.fields: tuple[Field, ...] = indexed(head.fields)
        self._exchange = exchange
        self.write = exchange.write
        self.write_end = exchange.write_end

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, which is read once."""
        return self._exchange


class Http1Upstream:
    """Carries requests out over connections of its own; never repeats one.

    ``on_surplus_response`` is told of a server that answered a request which nobody sent.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        on_surplus_response: Callable[[Destination], None] | None = None,
    ) -> None:
        self._pool = Pool(tls, on_surplus_response)

    def send(self, request: UpstreamRequest) -> "_Sending":
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        return _Sending(self._pool, request)

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return what the server of ``request`` speaks, by its last responses or by asking it.

        0 where nobody can tell: a body whose length is told is read by every server. Raises
        ``UpstreamFailed`` where it can't be reached.
        """
        loop = asyncio.get_running_loop()
        server = self._pool.server(request.to)
        known = server.minor(loop.time())
        if known is not None:
            return known
        if server.asking is None:
            server.asking = loop.create_task(self._ask(server, request))
            server.asking.add_done_callback(_retrieve)
        return await asyncio.shield(server.asking)

    async def close(self) -> None:
        """Close every idle connection."""
        self._pool.close()

    async def _ask(self, server: ServerHistory, request: UpstreamRequest) -> int:
        """Ask what ``server`` speaks: ``OPTIONS *`` is about the server, and changes nothing."""
        loop = asyncio.get_running_loop()
        host = (b"host", values_of(request.fields, b"host")[0])
        timeouts = UpstreamTimeouts(request.timeouts.connect, ASKING, ASKING)
        question = UpstreamRequest(server.to, _OPTIONS, _SERVER, (host,), None, timeouts)
        try:
            async with asyncio.timeout(request.timeouts.connect + ASKING):
                async with _Sending(self._pool, question) as response:
                    async for _ in response.pieces():
                        pass
        except (UpstreamFailed, TimeoutError) as error:
            if isinstance(error, UpstreamFailed) and not error.sent:
                raise
        finally:
            server.asking = None
        known = server.minor(loop.time())
        if known is None:
            server.assume_old(loop.time() + _ASK_AGAIN)
        return known or 0


class _Sending:
    """One request on its way, from taking a connection to giving it back or up."""

    __slots__ = ("_exchange", "_pool", "_request", "_server")

    def __init__(self, pool: Pool, request: UpstreamRequest) -> None:
        self._pool = pool
        self._request = request

    async def __aenter__(self) -> UpstreamResponse:
        pool, request = self._pool, self._request
        self._server = server = pool.server(request.to)
        connection = pool.take(server, request.caller)
        if connection is None:
            connection = await pool.connect(server, request.timeouts.connect)
        loop = asyncio.get_running_loop()
        waits = request.body is None or server.invites(loop.time())
        self._exchange = exchange = Exchange(connection, request, waits=waits)
        try:
            head = await exchange.start()
        except BaseException as error:
            if isinstance(error, UpstreamFailed) and connection.idle_since and not error.timeout:
                server.disable_keep_alive(loop.time())
            await self._finish()
            raise
        now = loop.time()
        server.note_response(head.minor, head.status, now)
        if exchange.is_uninvited:
            server.silent_until = now + SILENT_SECONDS
        return _Response(head, exchange)

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._finish()

    async def _finish(self) -> None:
        if await self._exchange.finish():
            self._pool.release(self._server, self._exchange.connection)


def _retrieve(task: asyncio.Task[int]) -> None:
    """Take note of how a question ended that perhaps nobody waits for any more."""
    if not task.cancelled():
        task.exception()
