"""The upstream interface over connections of our own, made of ``pool`` and ``exchange``."""

import asyncio
import ssl
from collections.abc import Callable

from proxy.core.http.headers import values_of
from proxy.http.client.awaited_exchange import AwaitedExchange
from proxy.http.client.exchange import Exchange
from proxy.http.client.pool import Pool
from proxy.http.client.server_history import ServerHistory
from proxy.http.upstream import (
    Destination,
    ResponseReceiver,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamTimeouts,
)

ASKING = 3.0
"""Seconds that a server gets to say what it speaks."""
_ASK_AGAIN = 10.0
"""Seconds after which one that didn't say so is asked again."""
_OPTIONS, _SERVER = b"OPTIONS", b"*"


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

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> Exchange:
        """Send ``request``; what comes back is told to ``receiver``, and so is each failure.

        Its body is a ``BytesBody`` or streams. Raises ``ValueError`` for a head that can't be sent.
        """
        pool = self._pool
        exchange = Exchange(pool, pool.place(request.to), receiver, asyncio.get_running_loop())
        exchange.begin(request)
        return exchange

    def send(self, request: UpstreamRequest) -> AwaitedExchange:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        return AwaitedExchange(self.begin, request)

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return what the server of ``request`` speaks, by its last responses or by asking it.

        0 where nobody can tell: a body whose length is told is read by every server. Raises
        ``UpstreamFailed`` where it can't be reached.
        """
        known = self.known_minor_version(request)
        if known is not None:
            return known
        loop, server = asyncio.get_running_loop(), self._pool.place(request.to).server
        if server.asking is None:
            server.asking = loop.create_task(self._ask(server, request))
            server.asking.add_done_callback(_retrieve)
        return await asyncio.shield(server.asking)

    def known_minor_version(self, request: UpstreamRequest) -> int | None:
        """Return the same where its last responses tell, else None."""
        return self._pool.place(request.to).server.minor(asyncio.get_running_loop().time())

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
                async with self.send(question) as response:
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


def _retrieve(task: asyncio.Task[int]) -> None:
    """Take note of how a question ended that perhaps nobody waits for any more."""
    if not task.cancelled():
        task.exception()
