"""A client at another server, by ASGI's ``receive`` and ``send``, as a ``Downstream``.

The server's own task sends what the handler says, message by message; a second one receives. The
handler is called from both of them as from any callback. It is blocked from each message of its
response until the server has taken that one; of a stream, while the server takes another one.

Receiving, a piece is held while the handler is paused, and the next one waits behind it. So it is
noticed in time that a client left, which servers tell only who asks. Nobody asks before a body is
wanted, or the response goes out: a server that is asked invites a client that waits for 100. Once
the last message is on its way, whoever leaves has been answered.

Whoever cancels the server's task says that the client left.
"""

import asyncio
from collections import deque
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Fields, content_length, indexed, values_of
from proxy.core.http1.framing import bodiless
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import RequestHandler, Serve
from proxy.http.futures import wake
from proxy.http.scope import INTERIM, RAW, STOP, UPGRADE, target_of
from proxy.http.upstream import UpstreamFailed


async def serve_by_callbacks(
    serve: Serve, remote: RemotePeer, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a request to its end; raises ``UpstreamFailed`` where its response broke off.

    ``remote`` is who is at the other end of the connection.
    """
    head = RequestHead(
        scope["method"].encode("ascii"),
        target_of(scope),
        int(scope["http_version"] == "1.1"),
        indexed(scope["headers"]),
    )
    client = AsgiClient(head, scope, receive, send)
    client.served_by(serve(head, remote, client))
    await client.run()


class AsgiClient:
    """The client's end of one request."""

    __slots__ = (
        "_changed",
        "_handler",
        "_has_started",
        "_held",
        "_is_aborted",
        "_is_bodiless",
        "_is_broken",
        "_is_complete",
        "_is_due",
        "_is_finished",
        "_is_gone",
        "_is_invited",
        "_is_listening",
        "_is_paused",
        "_is_raw",
        "_is_received",
        "_is_sending",
        "_left",
        "_method",
        "_receive",
        "_send",
        "_serving",
        "_unsent",
        "_wanted",
        "bytes_in",
        "bytes_out",
        "takes_interim",
        "takes_upgrade",
    )

    def __init__(self, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions") or {}
        self.takes_interim = INTERIM in extensions
        """Whether interim responses reach the client."""
        self.takes_upgrade = UPGRADE in extensions and head.minor == 1
        """Whether the connection can leave HTTP."""
        self.bytes_in = self.bytes_out = 0
        self._method = head.method
        self._receive = receive
        self._send = send
        self._handler: RequestHandler | None = None
        self._unsent: deque[Message] = deque()
        self._is_due = False
        """Whether the handler is to hear that it may go on."""
        self._held: tuple[bytes, bool] | None = None
        self._is_paused = True
        self._is_invited = not values_of(head.fields, b"expect")
        has_body = values_of(head.fields, b"content-length") or values_of(
            head.fields, b"transfer-encoding"
        )
        self._is_listening = not has_body
        """Whether the server is asked whatever the handler wants."""
        self._is_received = False
        """Whether the request has come to its end, or the client's side of the stream."""
        self._is_raw = False
        self._has_started = False
        self._is_bodiless = False
        self._left: int | None = None
        """Bytes of the response that are to come still; None where nobody said how many."""
        self._is_complete = False
        self._is_broken = False
        self._is_gone = False
        self._is_finished = False
        self._serving: asyncio.Task[Any] | None = None
        self._is_sending = False
        self._is_aborted = False
        self._wanted: asyncio.Future[None] | None = None
        """What the sending task waits for: something to send, or the end."""
        self._changed: asyncio.Future[None] | None = None
        """What the receiving task waits for: that it may receive, or hand over."""

    def served_by(self, handler: RequestHandler) -> None:
        """Tell ``handler`` what comes, unless it has finished already, or handed it over."""
        if self._handler is None and not self._is_finished:
            self._handler = handler

    async def run(self) -> None:
        """Carry the request to its end."""
        self._serving = asyncio.current_task()
        receiving = asyncio.create_task(self._receive_all())
        try:
            await self._send_all()
        except OSError:
            self._leave()
            await self._send_all()  # nothing any more, but its end is waited for
        finally:
            self._leave()
            receiving.cancel()
            await asyncio.wait((receiving,))
            self._serving = None
        if not receiving.cancelled():
            receiving.result()
        if self._is_broken or not (self._is_complete or self._is_gone):
            raise UpstreamFailed("the response broke off")

    # Sending.

    async def _send_all(self) -> None:
        while True:
            while self._unsent:
                await self._send_next()
                if self._is_due and not self._unsent:
                    self._is_due = False
                    if self._handler is not None:
                        self._handler.resume_response()
            if self._is_finished:
                return
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted

    async def _send_next(self) -> None:
        message = self._unsent.popleft()
        if message["type"] == "http.response.start":
            self._is_listening = True
            wake(self._changed)
        self._is_sending = True
        sending = self._send(message)
        del message  # a slow client's piece is kept by the server alone
        try:
            await sending
        except asyncio.CancelledError:
            if not self._is_aborted or self._serving is None or self._serving.uncancel():
                raise  # it was the server's
        finally:
            self._is_sending = False

    def _abort(self) -> None:
        """Have nothing more sent, nor wait for what the server is sending."""
        self._unsent.clear()
        if self._is_sending and not self._is_aborted and self._serving is not None:
            self._is_aborted = True
            self._serving.cancel()

    # Receiving.

    async def _receive_all(self) -> None:
        try:
            while await self._receive_next():
                pass
        except Exception:
            self._leave()
            raise

    async def _receive_next(self) -> bool:
        """Receive a message; tells whether another may follow."""
        while not self._may_receive():
            await self._change()
        self._is_listening = True
        message = await self._receive()
        kind = message["type"]
        if kind == "http.request":
            came = message.get("body", b""), not message.get("more_body", False)
        elif kind == RAW and self._is_raw:
            came = message["data"], not message["more"]
        elif kind == STOP:
            if self._handler is not None:
                self._handler.stop()
            return True
        else:
            # Behind the last message of the response it is no news.
            if self._unsent or not self._is_complete:
                self._leave()
            return False
        del message
        while self._held is not None:
            await self._change()
        if self._is_raw and kind != RAW:
            return True  # the end of the handshake, or what nobody may send with one
        if self._is_received:
            return False  # of a server that doesn't know when a request is over
        self._held, self._is_received = came, came[1]
        del came
        self._pass_on()
        return not (self._is_raw and self._is_received)

    def _may_receive(self) -> bool:
        if self._is_raw:
            return not self._is_paused and self._held is None
        return self._is_listening or (self._is_invited and not self._is_paused)

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def _pass_on(self) -> None:
        """Hand over what is held, where the handler takes it."""
        if self._held is None or self._is_paused or self._handler is None:
            return
        (piece, ends), self._held = self._held, None
        self.bytes_in += len(piece)
        self._handler.body_received(piece, ends=ends)
        wake(self._changed)

    def _leave(self) -> None:
        if self._is_gone or self._is_finished:
            return
        self._is_gone = True
        self._held = None
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.client_left()
        self._abort()
        wake(self._wanted)

    # What the handler calls.

    @property
    def is_blocked(self) -> bool:
        """Whether to send on only behind ``resume_response``."""
        return self._is_due and not self._is_gone

    def hand_over(self, handler: RequestHandler) -> None:
        """Tell another handler from now on."""
        if not (self._is_gone or self._is_finished):
            self._handler = handler

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response."""
        if self.takes_interim and not self._has_started:
            self._put({"type": INTERIM, "status": status, "headers": list(fields)})

    def send_head(self, status: int, fields: Fields) -> None:
        """Begin the response."""
        self._has_started = True
        self._is_bodiless = bodiless(self._method, status)
        self._left = None if self._is_bodiless else content_length(fields)
        self._put({"type": "http.response.start", "status": status, "headers": list(fields)})
        self._block()

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body, or of the stream; raises ``UpstreamFailed``."""
        if self._is_gone or not (piece or ends):
            return
        if self._is_complete or not self._has_started:
            raise UpstreamFailed("a body where none can be")
        self.bytes_out += len(piece)
        if self._is_raw:
            self._put({"type": RAW, "data": piece, "more": not ends})
        else:
            piece = b"" if self._is_bodiless else piece
            self._count(len(piece), ends=ends)
            self._put({"type": "http.response.body", "body": piece, "more_body": not ends})
        self._is_complete = self._is_complete or ends
        self._block()

    def _count(self, size: int, *, ends: bool) -> None:
        """Hold the body to its length: not every server does."""
        if self._left is None:
            return
        self._left -= size
        if self._left < 0:
            raise UpstreamFailed("the response is longer than it said")
        if ends and self._left:
            raise UpstreamFailed(f"the response is {self._left} bytes short")

    def switch_protocols(self, fields: Fields) -> None:
        """Answer 101."""
        self._has_started = self._is_raw = True
        self._held, self._is_received = None, False  # at most the request's end
        self._put({"type": UPGRADE, "headers": list(fields)})
        self._block()
        wake(self._changed)

    def pause(self) -> None:
        """Pass no more on."""
        self._is_paused = True

    def resume(self) -> None:
        """Pass on what comes, and soon what came meanwhile."""
        self._is_paused = False
        if self._held is not None:
            asyncio.get_running_loop().call_soon(self._pass_on)
        wake(self._changed)

    def invite(self) -> None:
        """Let the server be asked for the body: it invites the client by that."""
        self._is_invited = True
        wake(self._changed)

    def break_off(self) -> None:
        """Have the server break the connection."""
        if not self._is_gone:
            self._is_broken = True
            self._abort()

    def finish(self) -> None:
        """End it."""
        if self._is_finished:
            return
        self._is_finished = True
        self._handler = self._held = None
        wake(self._wanted)

    def _put(self, message: Message) -> None:
        if not (self._is_gone or self._is_broken or self._is_finished):
            self._unsent.append(message)
            wake(self._wanted)

    def _block(self) -> None:
        """Have the handler wait; behind the response's end it needn't be told."""
        if self._is_due or self._is_gone or self._is_broken:
            return
        if self._is_raw and not (self._is_sending or self._is_complete):
            return  # what a server that waits for it takes at once
        self._is_due = True
        if self._handler is not None and not self._is_complete:
            self._handler.pause_response()
