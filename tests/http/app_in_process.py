"""An engine behind another: an app in this process passes everything on by our own engine.

So what an app in this process gets and says has to pass the same tests as the bytes of the others.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from starlette.types import ASGIApp, Scope

from proxy.core.http.headers import values_of
from proxy.http.client.engine import Http1Upstream
from proxy.http.in_process.engine import AsgiUpstream
from proxy.http.pumped_exchange import PumpedExchange
from proxy.http.scope import target_of
from proxy.http.upstream import (
    Destination,
    ResponseReceiver,
    UpstreamExchange,
    UpstreamRequest,
    UpstreamResponse,
)
from tests.http.ends import Receive, Send
from tests.http.through import ClientLeftError, _body, _pieces


class InProcess:
    """The engine."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._beyond = Http1Upstream(tls)

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send ``request``; once it is over, the app has a moment to end by itself."""
        engine = AsgiUpstream(cast("ASGIApp", _PassingOn(self._beyond, request.to)))
        try:
            async with engine.send(request) as response:
                yield response
        finally:
            await engine.settle(0.2)
            await engine.close()

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        """Send ``request``; what comes back is told to ``receiver``."""
        return PumpedExchange(self.send, request, receiver)

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return what the server beyond speaks."""
        return await self._beyond.minor_version(request)

    async def close(self) -> None:
        """Close every connection."""
        await self._beyond.close()


class _PassingOn:
    """An ASGI app that asks another server; what goes wrong there is raised."""

    def __init__(self, engine: Http1Upstream, to: Destination) -> None:
        self._engine = engine
        self._to = to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = tuple(scope["headers"])
        framing = (b"content-length", b"transfer-encoding")
        body = _pieces(receive) if any(values_of(fields, name) for name in framing) else None
        asked = UpstreamRequest(self._to, scope["method"].encode(), target_of(scope), fields, body)
        try:
            async with self._engine.send(asked) as response:
                head = {"status": response.status, "headers": list(response.fields)}
                await send({"type": "http.response.start", **head})
                async for piece in response.pieces():
                    await send(_body(piece, more=True))
                await send(_body(b"", more=False))
        except (ClientLeftError, OSError):
            pass
