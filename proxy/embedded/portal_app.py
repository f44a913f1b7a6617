"""The public listener as an ASGI app: the same modules as behind our own sockets, for any server.

    server ─▶ request ─▶ http/asgi_client ─▶ inbound ─▶ core/gate.admit ...
              (as ours)

A WebSocket takes the same way as the GET with which it began. Each request is one line of the log:
the relay writes it, or where none began, since the request isn't one of ours, ``Logged``.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.core.errors import Refusal
from proxy.core.http.problem import refusal_response
from proxy.embedded.lifespan import Lifespan
from proxy.embedded.request import LATER, as_ours, framed
from proxy.embedded.websocket import WebSocket
from proxy.http.in_process.scope import server_scope
from proxy.inbound.app import Inbound
from proxy.server.running import Running
from proxy.transfer.access_log import Logged, line_of
from proxy.transfer.response import send_response

LISTENER = "public"
"""The name of this listener in the log, as when it is ours."""
_NOT_MODIFIED = 304


class PortalApp:
    """Serves the Portal that ``open_portal`` opens, before ``app`` or before apps elsewhere."""

    def __init__(self, open_portal: Callable[[], Running], app: ASGIApp | None = None) -> None:
        self._lifespan = Lifespan(open_portal, app)
        self._opened: tuple[Running, Inbound] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket, or the server's whole life."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "websocket":
            await WebSocket(scope, receive, send).serve(self._serve)
        else:
            raise RuntimeError(f"{kind} isn't served")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _allowing_length_of_304(send)
        try:
            inbound = self._inbound()
            plain, receive = await framed(as_ours(scope), receive, scope["http_version"])
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again there
            await Logged(partial(_end_unserved, error), LISTENER)(scope, receive, send)
            return
        token = server_scope.set(scope)
        try:
            await inbound(plain, receive, send)
        finally:
            server_scope.reset(token)

    def _inbound(self) -> Inbound:
        running = self._lifespan.running
        if running is None:
            raise RuntimeError(
                "the Portal isn't open: its server must run the ASGI lifespan, "
                "and whatever this app is mounted in must pass it on"
            )
        if self._opened is None or self._opened[0] is not running:
            self._opened = (running, Inbound(running.portal, running.upstream))
        return self._opened[1]


async def _end_unserved(
    error: Exception | asyncio.CancelledError, scope: Scope, _: Receive, send: Send
) -> None:
    """Answer a request that isn't one of ours; raises what else kept it from being served."""
    if not isinstance(error, Refusal):
        raise error
    line_of(scope).refuse(error)
    response = refusal_response(error)
    if scope["http_version"] not in LATER:
        # Where a body ends in two places, what follows may be nobody's next request.
        response = replace(response, fields=(*response.fields, (b"connection", b"close")))
    with suppress(OSError):  # who has left needs no response
        await send_response(send, response, scope["method"].encode("ascii"))


def _allowing_length_of_304(send: Send) -> Send:
    """Let a 304 tell the length of what isn't sent, as it may (RFC 9110, section 8.6).

    uvicorn's httptools then wants the body as well. The response has gone out by that time.
    """
    status = 0

    async def sending(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        try:
            await send(message)
        except RuntimeError:
            if status != _NOT_MODIFIED or message["type"] == "http.response.start":
                raise

    return sending
