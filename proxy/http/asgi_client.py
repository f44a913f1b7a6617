"""A client at another server, by ASGI's ``receive`` and ``send``, as a ``Downstream``.

One coroutine sends what the handler says, in its order; another one receives while the handler
wants a body. The handler is called from both of them as from any callback. Whoever cancels the
coroutine says that the client left.
"""

import asyncio
from collections import deque
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Fields, indexed
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import RequestHandler, Serve
from proxy.http.scope import INTERIM, RAW, STOP, UPGRADE, target_of
from proxy.http.upstream import UpstreamFailed


async def serve_by_callbacks(
    serve: Serve, remote: RemotePeer, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a request to its end; raises ``UpstreamFailed`` where its response broke off.

    ``remote`` is who is at the other end of the connection.
    """
    client = AsgiClient(scope, receive, send)
    head = RequestHead(
        scope["method"].encode("ascii"),
        target_of(scope),
        int(scope["http_version"] == "1.1"),
        indexed(scope["headers"]),
    )
    client.served_by(serve(head, remote, client))
    await client.run()


class AsgiClient:
    """The client's end of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions") or {}
        self.takes_interim = INTERIM in extensions
        """Whether interim responses reach the client."""
        self.takes_upgrade = UPGRADE in extensions and scope["http_version"] == "1.1"
        """Whether the connection can leave HTTP."""
        self.bytes_in = self.bytes_out = 0
        self._receive = receive
        self._send = send
        self._handler: RequestHandler | None = None
        self._unsent: deque[Message] = deque()
        self._is_sending = False
        self._is_paused = True
        self._has_ended = False
        """Whether the request's body, or the client's side of the stream, has."""
        self._is_raw = False
        self._has_started = False
        self._is_complete = False
        self._is_broken = False
        self._is_gone = False
        self._is_finished = False
        self._wanted = asyncio.Event()
        """Set where something is to be sent, or it is over."""
        self._resumed = asyncio.Event()

    def served_by(self, handler: RequestHandler) -> None:
        """Tell ``handler`` what comes, unless it has finished already, or handed it over."""
        if self._handler is None and not self._is_finished:
            self._handler = handler

    async def run(self) -> None:
        """Carry the request to its end."""
        receiving = asyncio.create_task(self._receive_all())
        try:
            await self._send_all()
        except OSError:
            self._leave()
        except asyncio.CancelledError:
            self._leave()
            raise
        finally:
            receiving.cancel()
            await asyncio.wait((receiving,))
            if not self._is_finished:
                self._leave()
        if (self._has_started and not self._is_complete) or self._is_broken:
            raise UpstreamFailed("the response broke off")

    # What ASGI tells.

    async def _send_all(self) -> None:
        while True:
            while self._unsent:
                self._is_sending = True
                try:
                    await self._send(self._unsent.popleft())
                finally:
                    self._is_sending = False
                if not self._unsent and self._handler is not None:
                    self._handler.resume_response()
            if self._is_finished:
                return
            self._wanted.clear()
            await self._wanted.wait()

    async def _receive_all(self) -> None:
        while True:
            self._resumed.clear()
            if self._is_paused or (self._has_ended and not self._is_raw):
                await self._resumed.wait()
                continue
            message = await self._receive()
            kind, handler = message["type"], self._handler
            if kind == STOP:
                if handler is not None:
                    handler.stop()
                continue
            if kind == "http.request":
                piece, ends = message.get("body", b""), not message.get("more_body", False)
            elif kind == RAW:
                piece, ends = message["data"], not message["more"]
            else:
                self._leave()
                return
            while self._is_paused and not self._is_finished:  # paused meanwhile
                self._resumed.clear()
                await self._resumed.wait()
            self._has_ended = ends
            self.bytes_in += len(piece)
            if self._handler is not None:
                self._handler.body_received(piece, ends=ends)
            if ends and self._is_raw:
                return

    def _leave(self) -> None:
        self._is_gone = True
        self._unsent.clear()
        if self._handler is not None:
            self._handler.client_left()
        self._wanted.set()

    # What the handler calls.

    @property
    def is_blocked(self) -> bool:
        """Whether to send on only behind ``resume_response``."""
        return not self._is_gone and (self._is_sending or bool(self._unsent))

    def hand_over(self, handler: RequestHandler) -> None:
        """Tell another handler from now on."""
        if not self._is_finished:
            self._handler = handler

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response."""
        if self.takes_interim:
            self._put({"type": INTERIM, "status": status, "headers": list(fields)})

    def send_head(self, status: int, fields: Fields) -> None:
        """Begin the response."""
        self._has_started = True
        self._put({"type": "http.response.start", "status": status, "headers": list(fields)})

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body, or of the stream."""
        if self._is_gone:
            return
        self.bytes_out += len(piece)
        if self._is_raw:
            if piece:
                self._put({"type": RAW, "data": piece, "more": True})
            if ends:
                self._put({"type": RAW, "data": b"", "more": False})
        else:
            self._put({"type": "http.response.body", "body": piece, "more_body": not ends})
        self._is_complete = self._is_complete or ends

    def switch_protocols(self, fields: Fields) -> None:
        """Answer 101."""
        self._has_started = self._is_raw = True
        self._has_ended = False
        self._put({"type": UPGRADE, "headers": list(fields)})
        self._resumed.set()

    def pause(self) -> None:
        """Receive no more."""
        self._is_paused = True

    def resume(self) -> None:
        """Receive on."""
        self._is_paused = False
        self._resumed.set()

    def invite(self) -> None:
        """Do nothing: a server that is asked for the body invites it."""

    def break_off(self) -> None:
        """Have the server break the connection."""
        self._is_broken = True
        self._unsent.clear()

    def finish(self) -> None:
        """End it."""
        self._is_finished = True
        self._handler = None
        self._wanted.set()
        self._resumed.set()

    def _put(self, message: dict[str, Any]) -> None:
        if not self._is_gone:
            self._unsent.append(message)
            self._wanted.set()
