"""The engine for an app in this very process: ``proxy.http.upstream`` over ASGI, no socket.

Every request goes to the one app, wherever it is addressed to.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from proxy.core.http.headers import values_of
from proxy.http.in_process.exchange import Exchange
from proxy.http.in_process.websocket import SocketExchange
from proxy.http.pumped_exchange import PumpedExchange
from proxy.http.upstream import (
    ResponseReceiver,
    UpstreamExchange,
    UpstreamRequest,
    UpstreamResponse,
)


class AsgiUpstream:
    """Carries every request out by calling ``app``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        is_handshake = b"websocket" in values_of(request.fields, b"upgrade")
        exchange = SocketExchange(request) if is_handshake else Exchange(request)
        task = asyncio.create_task(exchange.run(self._app))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await exchange.begin()
            yield exchange
        finally:
            await exchange.finish()

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        """Send ``request``; what comes back is told to ``receiver``, and so is each failure."""
        return PumpedExchange(self.send, request, receiver)

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return that of HTTP/1.1: an app in this process gets its body in messages."""
        return self.known_minor_version(request)

    def known_minor_version(self, request: UpstreamRequest) -> int:
        """Return the same, which is always known."""
        del request
        return 1

    async def settle(self, patience: float) -> None:
        """Wait for what the app still does behind its responses, for ``patience`` seconds."""
        if self._running:
            await asyncio.wait(self._running, timeout=patience)

    async def close(self) -> None:
        """Cut off what the app still does."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
