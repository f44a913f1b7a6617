"""Whether the client is still there, under servers that only tell who asks.

Our own listener cancels a request whose client left. Other servers say so to ``receive``, which
nobody calls while an app is waited for or a response is sent: an endless response to nobody would
go on for ever.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


async def watched(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request, and cancel that when the client leaves."""
    watcher = DisconnectWatcher(receive, send)
    if not any(bytes(name).lower() in _FRAMING for name, _ in scope["headers"]):
        watcher.watch()
    await watcher.serve(app, scope)


class ServingTask:
    """The task that serves a client, which is cancelled when the client leaves."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._has_left = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run ``app`` in the current task, to its end or until ``leave``."""
        self._task = asyncio.current_task()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._has_left or self._task is None or self._task.uncancel():
                raise  # it was the server's

    def leave(self) -> None:
        """Cancel it, once."""
        if self._task is not None and not self._has_left:
            self._has_left = True
            self._task.cancel()


class DisconnectWatcher:
    """The two ends of a request, with somebody who always listens at one."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._watching: asyncio.Task[None] | None = None
        self._serving = ServingTask()
        self._is_complete = False
        self._last: Message | None = None

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Run ``app`` to its end, or until the client leaves."""
        try:
            await self._serving.run(app, scope, self.receive, self.send)
        finally:
            self._is_complete = True
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait((self._watching,))

    def watch(self) -> None:
        """Listen from now on; before, a client that waits for 100 Continue isn't invited."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def receive(self) -> Message:
        """Return the next message of the request; that the client left, again and again."""
        if self._last is not None:
            return self._last
        self.watch()
        message = await self._messages.get()
        self._messages.task_done()
        if message["type"] != "http.request":
            self._last = message
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = True
        else:
            self.watch()
        try:
            await self._send(message)
        except OSError:
            self._serving.leave()

    async def _watch(self) -> None:
        while (message := await self._receive())["type"] == "http.request":
            await self._messages.join()
            self._messages.put_nowait(message)
        self._messages.put_nowait(message)
        if not self._is_complete:
            self._serving.leave()
