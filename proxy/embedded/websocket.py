"""A WebSocket at another server, as the handshake and the frames that our own listener would carry.

That server speaks WebSocket itself and gives us messages. Here they become frames again, those of a
client that offers no extension, so that every WebSocket is judged, bounded and closed in one place
(``proxy.transfer.websocket``), whichever server it came in by. A refusal goes out as the response
that it is where the server has the extension for it, else as the 403 that every server makes of a
close.
Source: RFC 6455; the ASGI specification, its WebSocket part, version 2.3.
"""

import asyncio
import base64
import logging
import secrets
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.core.http.headers import Field, Fields, values_of
from proxy.core.http.problem import WEBSOCKET_VERSION
from proxy.core.websocket.frames import close_frame
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
from proxy.http.scope import RAW, UPGRADE
from proxy.http.upstream import UpstreamFailed

log = logging.getLogger("proxy.embedded")

DENIAL = "websocket.http.response"
"""The extension with which a server lets a handshake be answered otherwise."""
LEAVING = 10.0
"""Seconds that an app has to take what its client said last."""

_SCHEMES = {"ws": "http", "wss": "https"}
_NORMAL, _NOT_UTF8, _POLICY, _BAD_GATEWAY = 1000, 1007, 1008, 1014
_NO_STATUS = 1005
_PONG = b""
"""Stands for the Pong among the frames that wait, none of which is empty."""
_OURS_AT_AN_ACCEPT = frozenset(
    {b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol"}
)
_MADE_ANEW = frozenset({b"sec-websocket-extensions", b"sec-websocket-protocol"})


class WebSocket:
    """One of them; ``serve`` it by the app that serves requests."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._can_deny = DENIAL in scope.get("extensions", ())
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        """What the client says, and we in its place; None is its end, ``_PONG`` the Pong."""
        self._pinged: bytes | None = None
        """What the app's latest Ping said, while the Pong waits."""
        self._reader = MessageReader()
        self._serving = _ServingTask()
        self._is_told_of = False
        """Whether the app has received the handshake's end."""
        self._is_open = False
        self._is_over = False
        """Whether nothing may be sent to the server any more."""
        self._is_read_out = False

    async def serve(self, app: ASGIApp) -> None:
        """Run ``app`` to the end of the WebSocket."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            return
        watching = asyncio.create_task(self._watch())
        try:
            await self._serving.run(app, self._handshake(), self.receive, self.send)
        except UpstreamFailed:  # the log has it
            with suppress(OSError):
                await self._close(_BAD_GATEWAY, "")
        finally:
            watching.cancel()
            await asyncio.wait((watching,))

    def _handshake(self) -> Scope:
        """Return the scope of the GET that the handshake was, or in HTTP/1.1 would have been."""
        usual: Fields = (
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", WEBSOCKET_VERSION),
            (b"sec-websocket-key", base64.b64encode(secrets.token_bytes(16))),
        )
        fields = [(bytes(name).lower(), value) for name, value in self._scope["headers"]]
        fields = [pair for pair in fields if pair[0] not in _MADE_ANEW]
        if protocols := self._scope.get("subprotocols"):
            # Not every server leaves them in the fields as well.
            fields.append((b"sec-websocket-protocol", ", ".join(protocols).encode("ascii")))
        there = {name for name, _ in fields}
        return {
            **self._scope,
            "type": "http",
            "method": "GET",
            "scheme": _SCHEMES.get(self._scope["scheme"], self._scope["scheme"]),
            "headers": [*fields, *(pair for pair in usual if pair[0] not in there)],
            "extensions": {UPGRADE: {}},
        }

    # What the app calls.

    async def receive(self) -> Message:
        """Return the handshake's end, then the client's frames."""
        if not self._is_told_of:
            self._is_told_of = True
            return {"type": "http.request", "body": b"", "more_body": False}
        frame = None
        if not self._is_read_out:
            frame = await self._frames.get()
            self._frames.task_done()
            self._is_read_out = frame is None
            if frame == _PONG:
                frame = self._take_pong()
        return {"type": RAW, "data": frame or b"", "more": frame is not None}

    def _take_pong(self) -> bytes:
        data, self._pinged = self._pinged or b"", None
        return pong_frame(data, secrets.token_bytes(4))

    async def send(self, message: Message) -> None:
        """Send what the app says."""
        try:
            await self._say(message)
        except OSError:
            self._serving.leave()

    async def _say(self, message: Message) -> None:
        kind = message["type"]
        if kind == UPGRADE:
            await self._accept(message["headers"])
        elif kind == RAW:
            for event in self._reader.feed(message["data"]):
                await self._pass_on(event)
            if not message["more"]:
                await self._close(_BAD_GATEWAY, "")
        elif kind == "http.response.start":
            await self._deny(message)
        elif self._can_deny:
            await self._send({**message, "type": f"{DENIAL}.body"})

    async def _accept(self, fields: list[Field]) -> None:
        protocols = values_of(fields, b"sec-websocket-protocol")
        self._is_open = True
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": protocols[0].decode("ascii") if protocols else None,
                "headers": [pair for pair in fields if pair[0] not in _OURS_AT_AN_ACCEPT],
            }
        )

    async def _deny(self, message: Message) -> None:
        if self._can_deny:
            await self._send({**message, "type": f"{DENIAL}.start"})
        else:
            await self._close(_POLICY, "")

    async def _pass_on(self, event: Event) -> None:
        if self._is_over:
            return
        if isinstance(event, Ping):
            # To many Pings the Pong to the latest is enough (RFC 6455, section 5.5.3), and an app
            # that pings without reading has no more than that one waiting.
            if self._pinged is None:
                self._frames.put_nowait(_PONG)
            self._pinged = event.data
        elif isinstance(event, Closing):
            await self._close(_NORMAL if event.code == _NO_STATUS else event.code, event.reason)
        elif isinstance(event, Binary):
            await self._send({"type": "websocket.send", "bytes": event.data})
        else:
            await self._pass_on_text(event)

    async def _pass_on_text(self, event: Text) -> None:
        try:
            text = event.data.decode("utf-8")
        except UnicodeDecodeError:
            await self._close(_NOT_UTF8, "")
        else:
            await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int, reason: str) -> None:
        """Close at the server, once; to the app that is the client's own Close, and its end."""
        if self._is_over:
            return
        self._is_over = True
        self._say_close(code, reason)
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    # What the server tells.

    async def _watch(self) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            mask = secrets.token_bytes(4)
            await self._frames.join()
            if (text := message.get("text")) is not None:
                self._frames.put_nowait(text_frame(text, mask))
            else:
                self._frames.put_nowait(binary_frame(message["bytes"], mask))
        if self._is_over:
            return
        self._is_over = True
        self._say_close(message.get("code", _NO_STATUS), message.get("reason") or "")
        if self._is_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVING):
                    await self._frames.join()
                    return
        self._serving.leave()

    def _say_close(self, code: int, reason: str) -> None:
        if code != ABNORMAL:
            self._frames.put_nowait(close_frame(code, reason, secrets.token_bytes(4)))
        self._frames.put_nowait(None)


class _ServingTask:
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
