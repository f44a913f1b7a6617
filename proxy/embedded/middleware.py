"""A Portal's proxy around one ASGI app in the app's own process (docs/middleware.md)."""

from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.embedded.front import Front
from proxy.embedded.opening import Settings, open_for


class PortalMiddleware:
    """Wraps an ASGI app: every request passes the Portal's checks first.

    ``config`` is the folder that holds portal.yaml, or a ``Config``; ``name`` is the app's, whose
    app.json is below that folder. The Portal opens when the server starts (ASGI's lifespan), and
    says then what is wrong with its files. Only two hosts are answered: the app's and the Portal's
    own; any other is 421.
    """

    def __init__(self, app: ASGIApp, config: Settings, *, name: str) -> None:
        self._front = Front(partial(open_for, app, name, config), app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket, or the server's whole life."""
        await self._front(scope, receive, send)
