"""A request served by an ASGI app: coroutines on top of a ``Downstream``, for what isn't a relay.

The HTTP part of the specification, version 2.3, with the messages of ``proxy.http.scope`` beside.
One task runs the app; what comes waits until the app receives it, and the client with it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import Downstream, RequestHandler, Serve
from proxy.http.scope import INTERIM, RAW, STOP, UPGRADE, http_scope

Message = MutableMapping[str, Any]
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

log = logging.getLogger("proxy.http")


def serve_asgi(app: App, connection: dict[str, Any], tasks: set[asyncio.Task[None]]) -> Serve:
    """Return what serves requests by ``app``, each in one of ``tasks``.

    ``connection`` is what the scopes of all requests on one connection have in common.
    """

    def serve(head: RequestHead, _: RemotePeer, client: Downstream) -> RequestHandler:
        handler = AsgiHandler(client, http_scope(head, connection))
        handler.begin(app, tasks)
        return handler

    return serve


class AsgiHandler:
    """The state of one request; the app calls its ``receive`` and ``send``."""

    __slots__ = (
        "_arrival",
        "_client",
        "_has_ended",
        "_has_started",
        "_is_complete",
        "_is_delivering",
        "_is_gone",
        "_is_handed_over",
        "_is_raw",
        "_pieces",
        "_scope",
        "_stops",
        "_task",
        "_writable",
    )

    def __init__(self, client: Downstream, scope: dict[str, Any]) -> None:
        self._client = client
        self._scope = scope
        self._pieces: deque[bytes] = deque()
        self._has_ended = False
        """Whether the end of the request's body, or of the client's stream, has come."""
        self._is_handed_over = False
        self._has_started = False
        self._is_complete = False
        self._is_delivering = False
        self._is_gone = False
        self._is_raw = False
        self._stops = False
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, app: App, tasks: set[asyncio.Task[None]]) -> None:
        """Have ``app`` serve the request."""
        self._task = task = asyncio.get_running_loop().create_task(self._run(app))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._end)  # also where it is cancelled before it has begun

    async def _run(self, app: App) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Exception as error:
            if self._is_gone and self._has_started:
                pass
            elif self._has_started and not self._is_complete:
                # As text: a record that somebody keeps would keep the error's frames. The request's
                # own line tells of it too (proxy.transfer.access_log).
                log.debug("a response broke off: %s", str(error) or repr(error))
            else:
                log.exception("the listener's app failed")

    def _end(self, task: asyncio.Task[None]) -> None:
        client = self._client
        self._task, self._scope = None, {}
        self._pieces.clear()
        # Where the client left, ``client_left`` cancelled the app: that is its proper end.
        if task.cancelled() and not self._is_gone:
            client.break_off()
        client.finish()

    # What the client's end tells.

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        """Keep it until the app receives it."""
        if piece:
            self._pieces.append(piece)
        self._has_ended = self._has_ended or ends
        self._client.pause()
        _wake(self._arrival)

    def client_left(self) -> None:
        """End the app's task, unless it has nothing more to say to the client."""
        self._is_gone = True
        _wake(self._arrival)
        _wake(self._writable)
        if self._task is not None and (not self._is_complete or self._is_delivering):
            self._task.cancel()

    def pause_response(self) -> None:
        """Do nothing: ``send`` looks."""

    def resume_response(self) -> None:
        """Let the app send on."""
        _wake(self._writable)

    def stop(self) -> None:
        """Tell the app that the server is about to end."""
        self._stops = True
        _wake(self._arrival)

    def is_place_short(self) -> bool:
        """Say no: an app keeps no places."""
        return False

    # What the app calls.

    async def receive(self) -> Message:
        """Return the next piece of the request's body, or that the client left."""
        if self._is_raw:
            return await self._receive_raw()
        if not self._is_gone:
            self._client.invite()
        while not (self._pieces or self._has_ended or self._is_gone) or self._is_answered():
            await self._arrived()
        if self._pieces:
            piece = self._pieces.popleft()
            self._is_handed_over = self._has_ended and not self._pieces
            return {"type": "http.request", "body": piece, "more_body": not self._is_handed_over}
        if self._has_ended and not self._is_handed_over:
            self._is_handed_over = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def _arrived(self) -> None:
        self._arrival = asyncio.get_running_loop().create_future()
        if not self._is_gone and not self._has_ended:
            self._client.resume()
        await self._arrival

    def _is_answered(self) -> bool:
        """Whether the app has the whole body, and only waits to hear that the client left."""
        return self._is_handed_over and not self._is_gone and not self._is_complete

    async def _receive_raw(self) -> Message:
        """Return what comes next of the stream; its end, once it came, again and again."""
        while not (self._pieces or self._has_ended or self._stops):
            await self._arrived()
        if self._stops:
            self._stops = False
            return {"type": STOP}
        if not self._pieces:
            return {"type": RAW, "data": b"", "more": False}
        return {"type": RAW, "data": self._pieces.popleft(), "more": True}

    async def send(self, message: Message) -> None:
        """Send what the app says, and wait while the client takes nothing.

        A response is over when all of it was handed to the client's side of the socket: whose
        connection ends before has left.
        """
        if self._is_gone:
            await asyncio.sleep(0)  # an app that never waits would never hear that it is cancelled
            return
        self._pass_on(message)
        del message  # what can't be sent yet is kept by the transport
        self._is_delivering = self._is_complete
        while self._client.is_blocked:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
        self._is_delivering = False

    def _pass_on(self, message: Message) -> None:
        kind, client = message["type"], self._client
        if self._is_raw:
            if kind != RAW or self._is_complete:
                raise RuntimeError(f"{kind} isn't expected here")
            self._is_complete = not message["more"]
            client.send(message["data"], ends=self._is_complete)
        elif kind == "http.response.start" and not self._has_started:
            client.send_head(message["status"], tuple(message.get("headers", ())))
            self._has_started = True
        elif kind == "http.response.body" and self._has_started and not self._is_complete:
            ends = not message.get("more_body", False)
            client.send(message.get("body", b""), ends=ends)
            self._is_complete = ends
            if ends:
                _wake(self._arrival)
        elif kind == INTERIM and not self._has_started:
            client.send_interim(message["status"], message["headers"])
        elif kind == UPGRADE and not self._has_started:
            client.switch_protocols(message["headers"])
            self._has_started = self._is_raw = True
            self._has_ended = False
        else:
            raise RuntimeError(f"{kind} isn't expected here")


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
