"""A WebSocket of another server: its messages are frames to us, and our frames its messages."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.core.websocket.frames import close_frame
from proxy.core.websocket.messages import (
    Binary,
    Closing,
    Event,
    MessageReader,
    Text,
    binary_frame,
    text_frame,
)
from proxy.embedded import websocket as module
from proxy.embedded.websocket import DENIAL, WebSocket
from proxy.http.scope import RAW, UPGRADE
from proxy.http.upstream import UpstreamFailed
from tests.embedded.server import Server, http, turns

if TYPE_CHECKING:
    from proxy.core.http.headers import Field

App = Callable[[Scope, Receive, Send], Awaitable[None]]
CONNECT = {"type": "websocket.connect"}
REFUSAL: list[Message] = [
    {"type": "http.response.start", "status": 401, "headers": [(b"portal-refusal", b"x")]},
    {"type": "http.response.body", "body": b"no"},
]


def raw(data: bytes, *, more: bool = True) -> Message:
    return {"type": RAW, "data": data, "more": more}


def upgrade(*fields: Field) -> Message:
    return {"type": UPGRADE, "headers": list(fields)}


def text(said: str) -> Message:
    return {"type": "websocket.receive", "text": said}


def gone(code: int = 1006, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def handshake(*fields: Field, **changes: Any) -> Scope:
    scope = http("chat.example", b"/talk", *fields)
    return {**scope, "type": "websocket", "scheme": "ws", "subprotocols": [], **changes}


@dataclass
class Relay:
    """What stands behind: sends ``says``, then listens to the end."""

    says: list[Message | Exception] = field(default_factory=list)
    scope: Scope = field(default_factory=dict)
    heard: list[Event] = field(default_factory=list)
    ended: str = ""
    _reader: MessageReader = field(default_factory=MessageReader)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        try:
            for message in self.says:
                if isinstance(message, Exception):
                    raise message
                await send(message)
            if self.says and self.says[0] is not REFUSAL[0]:
                while (message := await receive())["more"]:
                    assert message["data"][1] & 0x80  # masked, as a client's
                    self.heard += self._reader.feed(message["data"])
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "well"


@asynccontextmanager
async def served(relay: App, scope: Scope | None = None) -> AsyncIterator[Server]:
    """Serve a WebSocket, and wait for its end."""
    server = Server()
    server.says(CONNECT)
    socket = WebSocket(scope or handshake(), server.receive, server.send)
    serving = asyncio.create_task(socket.serve(relay))
    await turns()
    try:
        yield server
        async with asyncio.timeout(10):
            await serving
    finally:
        serving.cancel()


# The handshake.


async def test_it_is_the_get_with_which_a_websocket_begins() -> None:
    relay = Relay([*REFUSAL])
    extensions = (b"sec-websocket-extensions", b"permessage-deflate")
    scope = handshake((b"X-Own", b"1"), extensions, extensions={DENIAL: {}, "other": {}})
    async with served(relay, scope) as server:
        server.says(gone())
    told = dict(relay.scope["headers"])
    key = base64.b64decode(told.pop(b"sec-websocket-key"))
    assert len(key) == 16
    assert told == {
        b"host": b"chat.example", b"x-own": b"1", b"connection": b"Upgrade",
        b"upgrade": b"websocket", b"sec-websocket-version": b"13",
    }  # fmt: skip
    kind = ("http", "GET", "http")
    assert (relay.scope["type"], relay.scope["method"], relay.scope["scheme"]) == kind
    assert relay.scope["extensions"] == {UPGRADE: {}}


async def test_what_the_server_left_in_stays() -> None:
    relay = Relay([*REFUSAL])
    left = ((b"Connection", b"keep-alive, Upgrade"), (b"Sec-WebSocket-Key", b"its own"))
    async with served(relay, handshake(*left, scheme="wss")) as server:
        server.says(gone())
    told = relay.scope["headers"]
    assert [value for name, value in told if name == b"connection"] == [b"keep-alive, Upgrade"]
    assert [value for name, value in told if name == b"sec-websocket-key"] == [b"its own"]
    assert relay.scope["scheme"] == "https"


@pytest.mark.parametrize("is_in_fields", [False, True])
async def test_subprotocols_are_told_once(*, is_in_fields: bool) -> None:
    relay = Relay([*REFUSAL])
    fields = ((b"sec-websocket-protocol", b"chat, v2"),) if is_in_fields else ()
    async with served(relay, handshake(*fields, subprotocols=["chat", "v2"])) as server:
        server.says(gone())
    lines = [value for name, value in relay.scope["headers"] if name == b"sec-websocket-protocol"]
    assert lines == [b"chat, v2"]


async def test_without_a_connect_nothing_is_served() -> None:
    server = Server()
    server.says(gone())
    relay = Relay()
    await WebSocket(handshake(), server.receive, server.send).serve(relay)
    assert (relay.scope, server.sent) == ({}, [])


async def test_an_upgrade_is_an_accept_with_what_the_app_adds() -> None:
    fields = (
        (b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-accept", b"x"),
        (b"sec-websocket-protocol", b"chat"), (b"set-cookie", b"a"), (b"set-cookie", b"b"),
    )  # fmt: skip
    async with served(Relay([upgrade(*fields)])) as server:
        server.says(gone())
    assert server.sent == [
        {
            "type": "websocket.accept",
            "subprotocol": "chat",
            "headers": [(b"set-cookie", b"a"), (b"set-cookie", b"b")],
        }
    ]


async def test_a_refusal_is_a_response_where_the_server_can() -> None:
    async with served(Relay([*REFUSAL]), handshake(extensions={DENIAL: {}})) as server:
        pass
    assert server.sent == [
        {**REFUSAL[0], "type": "websocket.http.response.start"},
        {**REFUSAL[1], "type": "websocket.http.response.body"},
    ]


async def test_a_refusal_is_a_close_where_it_can_t() -> None:
    async with served(Relay([*REFUSAL])) as server:
        pass
    assert server.sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


# What passes.


async def test_messages_become_frames_of_a_client_in_their_order() -> None:
    relay = Relay([upgrade()])
    async with served(relay) as server:
        server.says(
            text("é"),
            {"type": "websocket.receive", "bytes": b"\xff"},
            {"type": "websocket.receive", "text": None, "bytes": b""},
            {"type": "websocket.receive", "text": "", "bytes": None},
            gone(4001, "bye"),
        )
    assert relay.heard == [
        Text("é".encode()), Binary(b"\xff"), Binary(b""), Text(b""), Closing(4001, "bye")
    ]  # fmt: skip
    assert relay.ended == "well"


async def test_frames_become_messages_in_their_order() -> None:
    first = text_frame("é")
    said = [
        raw(first[:2]),
        raw(first[2:] + binary_frame(b"\xff")),
        raw(close_frame(4002, "over")),
    ]
    async with served(Relay([upgrade(), *said])) as server:
        pass
    assert server.sent[1:] == [
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "bytes": b"\xff"},
        {"type": "websocket.close", "code": 4002, "reason": "over"},
    ]


async def test_a_ping_of_the_app_is_answered_here() -> None:
    relay = Relay([upgrade(), raw(b"\x89\x02hi"), raw(close_frame(1000, ""))])
    pongs: list[bytes] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            message = await receive()
            pongs.extend([message["data"]] if message["type"] == RAW else [])
            return message

        await relay(scope, heard, send)

    async with served(noting) as server:
        pass
    assert [message["type"] for message in server.sent] == ["websocket.accept", "websocket.close"]
    assert pongs[0][:2] == b"\x8a\x82"


async def test_an_app_that_pings_and_doesn_t_read_gets_the_pong_to_the_latest() -> None:
    takes = asyncio.Event()
    got: list[Message] = []

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send(upgrade())
        for at in range(1000):
            await send(raw(b"\x89\x04%04d" % at))
        await takes.wait()
        got.append(await receive())
        await send(raw(b"\x89\x04last" + close_frame(1000, "")))
        while got[-1]["more"]:
            got.append(await receive())

    async with served(deaf):
        await turns()
        takes.set()
    frames = [message["data"] for message in got]
    assert [frame[:1] for frame in frames] == [b"\x8a", b"\x8a", b"\x88", b""]
    assert [_unmasked(frame) for frame in frames[:2]] == [b"0999", b"last"]


def _unmasked(frame: bytes) -> bytes:
    mask, data = frame[2:6], frame[6:]
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


async def test_a_client_isn_t_read_ahead_of_what_is_taken() -> None:
    takes = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send(upgrade())
        await takes.wait()
        while (await receive())["more"]:
            pass

    async with served(slow) as server:
        server.says(text("1"), text("2"), text("3"), gone())
        await turns()
        assert server.asked <= 3  # with the connect
        takes.set()
    assert server.asked == 5


# Its end.


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (close_frame(1000, ""), 1000),
        (close_frame(1005, ""), 1000),
        (close_frame(1011, ""), 1011),
        (close_frame(4999, ""), 4999),
        (b"\x81\x01\xff", 1007),
    ],
    ids=["normal", "no code", "failed", "its own", "no UTF-8"],
)
async def test_an_app_s_end_is_the_code_of_the_close(frame: bytes, code: int) -> None:
    relay = Relay([upgrade(), raw(frame + text_frame("behind it"))])
    async with served(relay) as server:
        server.says(text("too late"))
    assert server.sent[1:] == [{"type": "websocket.close", "code": code, "reason": ""}]
    assert relay.heard[-1] == Closing(code, "")
    assert relay.ended == "well"


async def test_an_app_that_breaks_off_is_1014() -> None:
    async with served(Relay([upgrade(), raw(b"", more=False)])) as server:
        pass
    assert server.sent[1:] == [{"type": "websocket.close", "code": 1014, "reason": ""}]


async def test_a_connection_to_the_app_that_fails_is_1014() -> None:
    async with served(Relay([upgrade(), UpstreamFailed("reset")])) as server:
        pass
    assert server.sent[1:] == [{"type": "websocket.close", "code": 1014, "reason": ""}]


async def test_a_mistake_of_ours_is_the_server_s_to_know() -> None:
    with pytest.raises(ZeroDivisionError):
        async with served(Relay([ZeroDivisionError()])):
            pass


async def test_a_client_that_broke_off_leaves_no_close_behind() -> None:
    relay = Relay([upgrade()])
    async with served(relay) as server:
        server.says(text("hello"), gone())
    assert relay.heard == [Text(b"hello")]
    assert relay.ended == "well"


async def test_a_server_that_tells_no_code_tells_of_a_close_without() -> None:
    relay = Relay([upgrade()])
    async with served(relay) as server:
        server.says({"type": "websocket.disconnect"})
    assert relay.heard == [Closing(1005, "")]


async def test_a_client_that_leaves_before_the_decision_ends_it() -> None:
    ended: list[str] = []

    async def deciding(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with served(deciding) as server:
        server.says(gone())
    assert ended == ["cancelled"]


async def test_an_app_has_a_time_to_take_what_its_client_said_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEAVING", 0.02)
    ended: list[str] = []

    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send(upgrade())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with served(deaf) as server:
        server.says(text("hello"), gone())
    assert ended == ["cancelled"]


async def test_a_server_that_can_t_send_any_more_ends_it() -> None:
    endless = [raw(text_frame("x"))] * 3
    relay = Relay([upgrade(), *endless])
    server = Server(error=ConnectionResetError())
    server.says(CONNECT)
    async with asyncio.timeout(10):
        await WebSocket(handshake(), server.receive, server.send).serve(relay)
    assert relay.ended == "cancelled"


async def test_a_server_that_cancels_isn_t_taken_for_a_client_that_left() -> None:
    server = Server()
    server.says(CONNECT)
    relay = Relay([upgrade()])
    before = asyncio.all_tasks()
    serving = asyncio.create_task(WebSocket(handshake(), server.receive, server.send).serve(relay))
    await turns()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert relay.ended == "cancelled"
    assert asyncio.all_tasks() == before
