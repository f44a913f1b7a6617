"""A WebSocket at an app in this process: our side has frames, the app's has messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

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
from proxy.http.in_process.websocket import SocketExchange
from proxy.http.upstream import UpstreamFailed
from tests.http.in_process.messages import LENGTH, ask, start
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from proxy.core.http.headers import Field

App = Callable[["Scope", "Receive", "Send"], Awaitable[None]]
MASK = b"mask"
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Those of RFC 6455, section 1.3."""
CONNECT, TAKE = {"type": "websocket.connect"}, {"type": "websocket.accept"}
PING = b"\x89\x82mask" + bytes(a ^ b for a, b in zip(b"hi", b"ma", strict=True))


def denial(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "websocket.http.response.body", "body": piece, "more_body": more}


def denying(*fields: Field, status: int = 401) -> Message:
    return {**start(*fields, status=status), "type": "websocket.http.response.start"}


@dataclass
class Socket:
    """Our side of one, and what the app heard."""

    exchange: SocketExchange
    heard: list[Message] = field(default_factory=list)
    _reader: MessageReader = field(default_factory=MessageReader)

    async def events(self, *frames: bytes) -> list[Event]:
        """Send these frames, and return all that the app says meanwhile until its end."""
        sending = asyncio.create_task(self._send(frames))
        said: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            async for piece in self.exchange.pieces():
                said += self._reader.feed(piece)
            await sending
        return said

    async def _send(self, frames: tuple[bytes, ...]) -> None:
        for frame in frames:
            await self.exchange.write(frame)

    async def rest(self) -> bytes:
        return b"".join([piece async for piece in self.exchange.pieces()])


@asynccontextmanager
async def opened(app: App, *fields: Field, read: float = 10.0) -> AsyncIterator[Socket]:
    """Begin a WebSocket at ``app``, which is told of the end and returns."""
    request = ask(
        (b"upgrade", b"websocket"), (b"sec-websocket-key", KEY), *fields, target=b"/talk", read=read
    )
    socket = Socket(SocketExchange(request))

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            socket.heard.append(await receive())
            return socket.heard[-1]

        await app(scope, heard, send)

    running = asyncio.create_task(socket.exchange.run(noting))
    try:
        await socket.exchange.begin()
        yield socket
    finally:
        await socket.exchange.finish()
        async with asyncio.timeout(PATIENCE):
            await running


def saying(*messages: Message | Exception) -> App:
    """Return an app that hears the connect, says all this, and returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        assert await receive() == CONNECT
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    return app


async def listening(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, and listen until the end."""
    del scope
    await receive()
    await send(TAKE)
    while (await receive())["type"] != "websocket.disconnect":
        pass


# The handshake.


async def test_an_accept_is_a_101_with_what_the_app_adds() -> None:
    accept = {
        "type": "websocket.accept",
        "subprotocol": "chat",
        "headers": [
            (b"X-App", b"1"),
            (b"Connection", b"close"),
            (b"Upgrade", b"evil"),
            (b"Sec-WebSocket-Accept", b"evil"),
        ],
    }
    async with opened(saying(accept), (b"sec-websocket-protocol", b"chat")) as socket:
        assert socket.exchange.status == 101
        assert socket.exchange.fields == (
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-accept", ACCEPT),
            (b"x-app", b"1"),
            (b"sec-websocket-protocol", b"chat"),
        )


async def test_a_close_before_the_accept_is_a_403() -> None:
    async with opened(saying({"type": "websocket.close", "code": 4000})) as socket:
        assert (socket.exchange.status, await socket.rest()) == (403, b"")
        with pytest.raises(UpstreamFailed):
            await socket.exchange.write(text_frame("hello", MASK))
        with pytest.raises(UpstreamFailed):
            socket.exchange.write_end()


async def test_an_app_may_refuse_with_a_response_of_its_own() -> None:
    app = saying(denying((LENGTH, b"4")), denial(b"no", more=True), denial(b"!!"))
    async with opened(app) as socket:
        assert (socket.exchange.status, await socket.rest()) == (401, b"no!!")


BREAKS: dict[str, tuple[list[Message | Exception], str]] = {
    "nothing": ([], "returned without"),
    "a refusal without its end": ([denying(), denial(b"no", more=True)], "returned without"),
    "a refusal that is too short": ([denying((LENGTH, b"9")), denial(b"no")], "ValueError"),
    "a refusal without a head": ([denial(b"no")], "RuntimeError"),
    "two heads": ([denying(), denying()], "RuntimeError"),
    "an interim status": ([denying(status=103)], "ValueError"),
    "a 101 as a refusal": ([denying(status=101)], "ValueError"),
    "a message before the accept": ([{"type": "websocket.send", "text": "x"}], "RuntimeError"),
    "a response without the extension": ([start()], "RuntimeError"),
    "raising": ([ZeroDivisionError()], "ZeroDivisionError"),
    "a field that is two": (
        [{"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]}],
        "ValueError",
    ),
}


@pytest.mark.parametrize("row", BREAKS)
async def test_what_is_no_handshake_fails(row: str) -> None:
    messages, why = BREAKS[row]
    with pytest.raises(UpstreamFailed, match=why):
        async with opened(saying(*messages)) as socket:
            await socket.rest()


async def test_an_app_that_doesn_t_decide_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await receive()
        await receive()

    with pytest.raises(UpstreamFailed) as failed:
        async with opened(app, read=0.01):
            pass
    assert failed.value.timeout


# What passes.


async def test_messages_become_frames() -> None:
    said: list[Message] = [
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "bytes": b"\xff\0"},
        {"type": "websocket.send", "text": "", "bytes": None},
        {"type": "websocket.send", "bytes": b"b", "text": None},
        {"type": "websocket.close", "code": 4001, "reason": "over"},
    ]
    async with opened(saying(TAKE, *said)) as socket:
        assert await socket.events() == [
            Text("é".encode()), Binary(b"\xff\0"), Text(b""), Binary(b"b"), Closing(4001, "over")
        ]  # fmt: skip


async def test_frames_become_messages_in_their_order_and_a_close_is_answered() -> None:
    async with opened(listening) as socket:
        text = text_frame("é", MASK)
        behind = text[3:] + binary_frame(b"\xff", MASK)
        close = close_frame(4002, "bye", MASK)
        assert await socket.events(text[:3], behind, close) == [Closing(4002, "")]
    assert socket.heard == [
        CONNECT,
        {"type": "websocket.receive", "text": "é"},
        {"type": "websocket.receive", "bytes": b"\xff"},
        {"type": "websocket.disconnect", "code": 4002, "reason": "bye"},
    ]


async def test_a_ping_is_answered_for_the_app() -> None:
    async with opened(listening) as socket:
        pieces = socket.exchange.pieces()
        await socket.exchange.write(PING)
        assert await anext(pieces) == b"\x8a\x02hi"
    assert [message["type"] for message in socket.heard[:-1]] == ["websocket.connect"]


async def test_a_client_is_held_back_by_an_app_that_takes_nothing() -> None:
    takes = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await listening(scope, _after(takes, receive), send)

    async with opened(app) as socket:
        await socket.exchange.write(text_frame("1", MASK))
        second = asyncio.create_task(socket.exchange.write(text_frame("2", MASK)))
        await asyncio.sleep(0.01)
        assert not second.done()
        takes.set()
        await second


async def test_silence_is_no_failure_once_it_is_open() -> None:
    async with opened(listening, read=0.02) as socket:
        next_piece = asyncio.ensure_future(anext(socket.exchange.pieces()))
        await asyncio.sleep(0.06)
        await socket.exchange.write(PING)
        assert await next_piece == b"\x8a\x02hi"


async def test_text_that_isn_t_utf_8_ends_it_with_1007() -> None:
    broken = b"\x81" + binary_frame(b"\xff\xfe", MASK)[1:]
    async with opened(listening) as socket:
        behind = text_frame("behind it", MASK)
        assert await socket.events(broken + behind) == [Closing(1007, "")]
    assert socket.heard == [CONNECT, {"type": "websocket.disconnect", "code": 1007, "reason": ""}]


# Its end.


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], 1000),
        ([{"type": "websocket.close"}], 1000),
        ([{"type": "websocket.close", "code": 1001, "reason": None}], 1001),
        ([{"type": "websocket.close", "code": 1005}], 1005),
        ([{"type": "websocket.close", "code": 999}], 1005),
        ([ZeroDivisionError()], 1011),
        ([{"type": "websocket.accept"}], 1011),
        ([{"type": "websocket.close", "code": 3000}, {"type": "websocket.close"}], 3000),
    ],
)
async def test_how_an_app_ends_is_the_code_of_its_close(
    messages: list[Message | Exception], code: int
) -> None:
    async with opened(saying(TAKE, *messages)) as socket:
        assert await socket.events() == [Closing(code, "")]


@pytest.mark.parametrize("ends", ["end", "leave"])
async def test_an_end_without_a_close_is_1006_again_and_again(ends: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await listening(scope, receive, send)
        await receive()

    async with opened(app) as socket:
        if ends == "end":
            socket.exchange.write_end()
            await asyncio.sleep(0.01)
    gone = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert socket.heard == [CONNECT, gone, gone]


@pytest.mark.parametrize(
    ("raised", "is_logged"), [(ConnectionError(), False), (ZeroDivisionError(), True)]
)
async def test_who_sends_to_nobody_is_told_and_may_raise_that(
    raised: Exception, caplog: pytest.LogCaptureFixture, *, is_logged: bool
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await listening(scope, receive, send)
        with pytest.raises(OSError):  # noqa: PT011 - ASGI asks for no more than that
            await send({"type": "websocket.send", "text": "x"})
        raise raised

    with caplog.at_level(logging.ERROR, "proxy.upstream"):
        async with opened(app):
            pass
    assert bool(caplog.records) == is_logged


async def test_who_leaves_while_an_app_ends_is_no_mistake() -> None:
    """Nothing that an app said last is raised where nobody waits for it."""
    async with opened(saying(TAKE)):
        await asyncio.sleep(0.01)  # the app has returned, and its Close isn't taken


async def test_after_its_close_an_app_can_say_no_more() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send(TAKE)
        await send({"type": "websocket.close"})
        with pytest.raises(OSError):  # noqa: PT011 - as above
            await send({"type": "websocket.send", "text": "x"})

    async with opened(app) as socket:
        assert await socket.events() == [Closing(1000, "")]


def _after(event: asyncio.Event, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the connect at once, and all else after ``event``."""
    is_first = True

    async def later() -> Message:
        nonlocal is_first
        if not is_first:
            await event.wait()
        is_first = False
        return await receive()

    return later
