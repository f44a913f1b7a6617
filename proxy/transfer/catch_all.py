"""The one catch-all for our own bugs, around the app of every listener.

Whatever is neither a refusal nor a failure of the other side becomes a 500 here, logged with its
traceback. An answer that had begun is broken off, and never passes for a whole one.
"""

import logging
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.access_log import line_of
from proxy.transfer.response import send_response

log = logging.getLogger("proxy")


class CatchAll:
    """Wraps a listener's app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP isn't served."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} isn't served")
        started = False

        def watched(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._app(scope, receive, watched)
        except UpstreamFailed:
            raise  # a stream that had begun: the listener breaks the connection off, and says so
        except Exception:
            log.exception("a mistake of our own")
            if started:
                raise
            refusal = Refusal(Code.INTERNAL)
            line_of(scope).refuse(refusal)
            await send_response(send, refusal_response(refusal), scope["method"].encode("ascii"))
