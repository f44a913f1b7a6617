"""The catch-all for our own bugs, around an ASGI app (``proxy.transfer.relay`` has its own).

Whatever is neither a refusal nor a failure of the other side becomes a 500 here, logged with its
traceback. A response that had begun is broken off, and never passes for a whole one.
"""

import logging
from collections.abc import Awaitable
from types import TracebackType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.log_line import RequestLine
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
        async with InternalErrors(line_of(scope), scope["method"].encode("ascii"), send) as watched:
            await self._app(scope, receive, watched)


class InternalErrors:
    """A context in which the request with ``method`` is answered by the ``send`` that it gives.

    An exception of ours is answered with a 500, noted in ``line``; it is raised again where the
    response had begun.
    """

    __slots__ = ("_has_begun", "_line", "_method", "_send")

    def __init__(self, line: RequestLine, method: bytes, send: Send) -> None:
        self._line = line
        self._method = method
        self._send = send
        self._has_begun = False

    async def __aenter__(self) -> Send:
        return self._watched

    def _watched(self, message: Message) -> Awaitable[None]:
        self._has_begun = True
        return self._send(message)

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        # Of UpstreamFailed the listener breaks the connection off; a cancelled task just ends.
        if isinstance(error, UpstreamFailed) or not isinstance(error, Exception):
            return False
        log.error("a mistake of our own", exc_info=error)
        if self._has_begun:
            return False
        refusal = Refusal(Code.INTERNAL)
        self._line.refuse(refusal)
        await send_response(self._send, refusal_response(refusal), self._method)
        return True
