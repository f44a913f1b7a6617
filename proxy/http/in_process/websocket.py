"""A WebSocket between the proxy and an app in this process: frames on our side, messages on its.

The frames are those of a client, as the proxy carries them to any app: so the same checks, limits
and end hold for all. To them this is a server that speaks no extension.
Source: RFC 6455; the ASGI specification, its WebSocket part, version 2.3.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.types import ASGIApp, Message

from proxy.core.http.headers import Field, values_of
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.websocket.frames import close_frame
from proxy.core.websocket.handshake import accept_for
from proxy.core.websocket.messages import (
    ABNORMAL,
    Binary,
    Closing,
    Event,
    MessageReader,
    Ping,
    Text,
    binary_frame,
    pong_frame,
    text_frame,
)
from proxy.http.in_process.response_stream import (
    Body,
    ClientGone,
    Head,
    ResponseStream,
    read_fields,
    read_head,
)
from proxy.http.in_process.scope import websocket_scope
from proxy.http.upstream import UpstreamFailed, UpstreamRequest

_FORBIDDEN = 403
_NORMAL, _NOT_UTF8, _FAILED = 1000, 1007, 1011
_OF_THE_HANDSHAKE = frozenset({b"connection", b"upgrade", b"sec-websocket-accept"})


class SocketExchange:
    """The life of one WebSocket, from its handshake; to our side it is like ``Exchange``."""

    def __init__(self, request: UpstreamRequest) -> None:
        self.status = 0
        self.fields: tuple[Field, ...] = ()
        self._request = request
        self._response = ResponseStream(request.timeouts.read)
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages.put_nowait({"type": "websocket.connect"})
        self._reader = MessageReader()
        self._disconnect: Message | None = None
        """What the app hears once nothing more comes from the client."""
        self._is_open = False
        self._is_ended = False
        self._denial: Body | None = None

    # Our side.

    async def begin(self) -> None:
        """Wait until the app accepts or refuses; raises ``UpstreamFailed``."""
        head = await self._response.head()
        self.status, self.fields = head.status, head.fields
        if head.status == SWITCHING_PROTOCOLS:
            self._response.disable_timeouts()

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the app's frames, or the body with which it refuses."""
        return self._response

    async def write(self, data: bytes) -> None:
        """Hand the client's frames to the app, once it takes them."""
        if self._response.is_gone or self.status != SWITCHING_PROTOCOLS:
            raise UpstreamFailed("no raw stream")
        for event in self._reader.feed(data):
            await self._messages.join()
            await self._deliver(event)

    def write_end(self) -> None:
        """Tell the app that nothing more comes."""
        if self._response.is_gone or self.status != SWITCHING_PROTOCOLS:
            raise UpstreamFailed("no raw stream")
        self._tell_disconnect(ABNORMAL, "")

    async def finish(self) -> None:
        """Tell the app that nobody is there any more."""
        self._response.leave()
        self._tell_disconnect(ABNORMAL, "")

    async def _deliver(self, event: Event) -> None:
        if self._disconnect is not None:
            return
        if isinstance(event, Ping):
            await self._answer(pong_frame(event.data))
        elif isinstance(event, Closing):
            self._tell_disconnect(event.code, event.reason)
            await self._end(event.code, "")
        elif isinstance(event, Binary):
            self._messages.put_nowait({"type": "websocket.receive", "bytes": event.data})
        else:
            await self._deliver_text(event)

    async def _deliver_text(self, event: Text) -> None:
        try:
            text = event.data.decode("utf-8")
        except UnicodeDecodeError:
            self._tell_disconnect(_NOT_UTF8, "")
            await self._end(_NOT_UTF8, "")
        else:
            self._messages.put_nowait({"type": "websocket.receive", "text": text})

    async def _answer(self, frame: bytes) -> None:
        if not self._is_ended:
            await self._response.say(frame)

    async def _end(self, code: int, reason: str) -> None:
        """Say Close and be done, unless that was said before."""
        if not self._is_ended:
            self._is_ended = True
            await self._response.say(close_frame(code, reason))
            await self._response.say(None)

    def _tell_disconnect(self, code: int, reason: str) -> None:
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._messages.put_nowait(self._disconnect)

    # The app's side.

    async def run(self, app: ASGIApp) -> None:
        """Call the app, and close what it leaves open."""
        code, ending = _FAILED, UpstreamFailed("the app was cut off")
        try:
            await app(websocket_scope(self._request), self._receive, self._send)
            code, ending = _NORMAL, UpstreamFailed("the app returned without a response")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the app's
            ending = self._response.failure(error, has_left=self._disconnect is not None)
        finally:
            if not self._is_open:
                if not self._is_ended:
                    self._response.break_off(ending)
            elif not self._response.is_gone:
                with suppress(ClientGone):  # who leaves meanwhile needs no Close
                    await self._end(code, "")

    async def _receive(self) -> Message:
        if self._disconnect is not None and self._messages.empty():
            return self._disconnect
        message = await self._messages.get()
        self._messages.task_done()
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._is_open and kind in ("websocket.send", "websocket.close"):
            await self._send_open(message)
        elif self._is_open or self._is_ended:
            raise RuntimeError(f"{kind} isn't expected here")
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            self._is_ended = True
            await self._response.say(Head(_FORBIDDEN, ((b"content-length", b"0"),)))
            await self._response.say(None)
        else:
            await self._deny(message)

    async def _accept(self, message: Message) -> None:
        key = values_of(self._request.fields, b"sec-websocket-key")[0]
        fields = [pair for pair in read_fields(message) if pair[0] not in _OF_THE_HANDSHAKE]
        if message.get("subprotocol") is not None:
            fields.append((b"sec-websocket-protocol", message["subprotocol"].encode("ascii")))
        agreed = (
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-accept", accept_for(key)),
        )
        self._is_open = True
        await self._response.say(Head(SWITCHING_PROTOCOLS, (*agreed, *fields)))

    async def _deny(self, message: Message) -> None:
        """Refuse with a response of the app's own, as the extension for it has it."""
        kind = message["type"]
        if kind == "websocket.http.response.start" and self._denial is None:
            head = read_head(message)
            self._denial = Body(self._request.method, head)
            await self._response.say(head)
        elif kind == "websocket.http.response.body" and self._denial is not None:
            piece = self._denial.take(message)
            if piece:
                await self._response.say(piece)
            if not message.get("more_body", False):
                self._is_ended = True
                await self._response.say(None)
        else:
            raise RuntimeError(f"{kind} isn't expected here")

    async def _send_open(self, message: Message) -> None:
        if self._is_ended or self._response.is_gone:
            raise ClientGone
        if message["type"] == "websocket.close":
            await self._end(message.get("code", _NORMAL), message.get("reason") or "")
        elif (data := message.get("bytes")) is not None:
            await self._response.say(binary_frame(bytes(data)))
        else:
            await self._response.say(text_frame(message["text"]))
