"""A Portal's life under somebody else's server: opened before the first request, closed at the end.

An app that the Portal stands before has a lifespan of its own: it begins when the Portal is open
and ends before the Portal closes. One that knows no lifespan has none.
Source: the ASGI specification, its lifespan part, version 2.0.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.core.errors import Invalid
from proxy.http.in_process.engine import AsgiUpstream
from proxy.server.running import Running
from proxy.state.files import Busy, Unsafe

log = logging.getLogger("proxy")

_STARTED = "lifespan.startup.complete"
_RETURN_WAIT = 1.0
"""Seconds for an app's lifespan to return once it has said that it is over."""


class Lifespan:
    """Opens by ``open_portal``, which raises what is wrong with the files."""

    def __init__(self, open_portal: Callable[[], Running], app: ASGIApp | None) -> None:
        self._open_portal = open_portal
        self._app = app
        self.running: Running | None = None
        """The Portal while it is open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Live from the server's startup to its shutdown."""
        await receive()
        try:
            running = self._open_portal()
        except (Invalid, OSError, Busy, Unsafe) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        follower = asyncio.create_task(running.follow_files())
        follower.add_done_callback(self._close_if_unfollowed)
        inner = _Inner(self._app, scope)
        try:
            running.deliver_tokens()
            response = await inner.tell("startup")
            if response["type"] == _STARTED:
                self.running = running
                log.info("Portal %s at %s", running.portal.id, running.portal.hosts.origin)
                await send(response)
                await receive()
                response = await self._end(running, inner)
        finally:
            self.running = None
            await inner.end()
            follower.cancel()
            await asyncio.wait((follower,))
            await running.close()
        await send(response)

    def _close_if_unfollowed(self, follower: asyncio.Task[None]) -> None:
        """Serve nobody any more where removals aren't followed: the process is somebody else's."""
        if not follower.cancelled():
            log.critical("nothing is followed any more: restart", exc_info=follower.exception())
            self.running = None

    async def _end(self, running: Running, inner: "_Inner") -> Message:
        """Let end what still runs, then the app."""
        if isinstance(running.upstream, AsgiUpstream):
            await running.upstream.settle(running.portal.config.grace)
        return await inner.tell("shutdown")


class _Inner:
    """The lifespan of the app behind, as its server."""

    def __init__(self, app: ASGIApp | None, scope: Scope) -> None:
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._responses: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(app, scope)) if app is not None else None

    async def tell(self, what: str) -> Message:
        """Tell the app of ``startup`` or ``shutdown``; return its response."""
        complete: Message = {"type": f"lifespan.{what}.complete"}
        if self._task is None:
            return complete
        self._told.put_nowait({"type": f"lifespan.{what}"})
        responding = asyncio.create_task(self._responses.get())
        await asyncio.wait((self._task, responding), return_when=asyncio.FIRST_COMPLETED)
        if not responding.done() and self._responses.empty():
            responding.cancel()
            return complete  # it knows no lifespan, or is done with it
        return await responding

    async def end(self) -> None:
        """Wait for the app's end, or bring it about."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_RETURN_WAIT)
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._told.get, self._response)
        except Exception as error:  # noqa: BLE001 - so servers learn that there is no lifespan
            log.info("the app has no lifespan: %s", type(error).__name__)

    async def _response(self, message: Message) -> None:
        self._responses.put_nowait(message)
