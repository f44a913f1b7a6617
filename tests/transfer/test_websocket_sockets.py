"""A WebSocket between an app behind a real connection and a client that only notes what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import pytest

from proxy.core.errors import Refusal
from proxy.core.http.headers import Fields
from proxy.core.websocket.handshake import fields_for_app
from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import Destination, UpstreamExchange, UpstreamFailed, UpstreamRequest
from proxy.transfer.websocket import WebSocketLimits, WebSocketRelay
from tests.core.websocket.framing import BINARY, MASK, TEXT, Frame, close, frames_of
from tests.http.ends import Link, scripted, settled
from tests.transfer.relay_sides import ASKED, KEY, SWITCHED, Side

LIMITS = WebSocketLimits(ending=60, closing=60)
HELLO = Frame(TEXT, b"hello")
PIECE = Frame(BINARY, b"x" * 65536)
_ASKED_FIELDS = (
    (b"host", b"a"),
    *fields_for_app(((b"sec-websocket-key", KEY), (b"sec-websocket-version", b"13"))),
)
_HEAD = b"HTTP/1.1 101 Switching Protocols\r\n" + b"".join(
    b"%s: %s\r\n" % pair for pair in SWITCHED
)  # fmt: skip


@dataclass
class Relayed:
    """The owner of a relay: who is told by both sides."""

    limits: WebSocketLimits
    client: Side = field(default_factory=Side)
    over: list[object] = field(default_factory=list)
    exchange: UpstreamExchange | None = None
    relay: WebSocketRelay | None = None

    def head_received(self, status: int, fields: Fields) -> None:
        assert status == 101
        assert self.exchange is not None
        self.relay = relay = WebSocketRelay(
            ASKED, fields, self.client, self.exchange, "chat", self.limits
        )
        self.client.on_block = relay.pause_to_client
        self.client.on_unblock = relay.resume_to_client
        relay.begin(self.be_over)

    def be_over(self, failure: Exception | None) -> None:
        self.over.append(failure)
        self.end()

    def end(self) -> None:
        assert self.exchange is not None
        self.exchange.finish()
        self.client.finish()

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        self.there.from_app(piece, ends=ends)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        self.there.app_failed(failure)

    def pause_body(self) -> None:
        self.there.pause_to_app()

    def resume_body(self) -> None:
        if self.relay is not None:
            self.relay.resume_to_app()

    def interim_received(self, status: int, fields: Fields) -> None:
        raise NotImplementedError

    def body_invited(self) -> None:
        raise NotImplementedError

    @property
    def there(self) -> WebSocketRelay:
        assert self.relay is not None
        return self.relay

    def says(self, data: bytes, *, ends: bool = False) -> None:
        self.there.from_client(data, ends=ends)


@asynccontextmanager
async def joined(limits: WebSocketLimits = LIMITS) -> AsyncIterator[tuple[Relayed, Link]]:
    apps: list[Link] = []
    over = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(_HEAD + b"\r\n")
        apps.append(link)
        await over.wait()

    upstream = Http1Upstream()
    async with scripted(script) as server:
        to: Destination = server.to
        relayed = Relayed(limits)
        request = UpstreamRequest(to, b"GET", b"/ws", _ASKED_FIELDS)
        relayed.exchange = upstream.begin(request, relayed)
        await settled(lambda: relayed.relay is not None and apps)
        try:
            yield relayed, apps[0]
        finally:
            relayed.end()
            over.set()
            await upstream.close()


async def test_frames_pass_both_ways() -> None:
    async with joined() as (relayed, app):
        relayed.says(HELLO.raw(MASK))
        assert await app.exactly(len(HELLO.raw(MASK))) == HELLO.raw(MASK)
        await app.send(HELLO.raw())
        await settled(lambda: relayed.client.got)
        assert bytes(relayed.client.got) == HELLO.raw()


async def test_both_ends_end_it() -> None:
    async with joined() as (relayed, app):
        relayed.says(close(1000).raw(MASK), ends=True)
        assert await app.rest() == close(1000).raw(MASK)
        await app.send(close(1000).raw())
        app.end()
        await settled(lambda: relayed.over)
        assert relayed.over == [None]
        assert bytes(relayed.client.got) == close(1000).raw()


async def test_an_app_that_resets_breaks_it_off() -> None:
    async with joined() as (relayed, app):
        app.reset()
        await settled(lambda: relayed.over)
        assert isinstance(relayed.over[0], UpstreamFailed)
        assert not relayed.client.has_end


async def test_an_app_s_last_words_arrive_though_the_client_goes_on_talking() -> None:
    async with joined() as (relayed, app):
        await app.send(close(1001, b"restart").raw())
        app.close()  # what the client says from now on breaks the app's connection
        for _ in range(20):
            relayed.says(HELLO.raw(MASK))
            await asyncio.sleep(0.001)
        await settled(lambda: relayed.client.has_end)
        assert bytes(relayed.client.got) == close(1001, b"restart").raw()
        assert not relayed.over
        await settled(lambda: not relayed.client.is_paused)
        relayed.says(b"", ends=True)
        await settled(lambda: relayed.over)
        assert relayed.over == [None]


async def test_an_app_that_takes_nothing_makes_the_client_wait() -> None:
    async with joined() as (relayed, app):
        app.stop_reading()
        sent = b""
        while not relayed.client.is_paused:
            relayed.says(PIECE.raw(MASK))
            sent += PIECE.raw(MASK)
            await asyncio.sleep(0)
        await app.send(HELLO.raw())
        await settled(lambda: relayed.client.got)
        cast(asyncio.Transport, app.writer.transport).resume_reading()
        assert await app.exactly(len(sent)) == sent
        await settled(lambda: not relayed.client.is_paused)


async def test_a_client_that_takes_nothing_makes_the_app_wait() -> None:
    async with joined() as (relayed, app):
        relayed.client.block()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await app.send(PIECE.raw())
        assert len(relayed.client.got) == 0
        relayed.client.unblock()
        await settled(lambda: len(relayed.client.got) > 10 * len(PIECE.raw()))


@pytest.mark.parametrize("how", ["revoked", "stopped"])
async def test_an_app_hears_why_it_ends(how: str) -> None:
    async with joined() as (relayed, app):
        if how == "revoked":
            assert relayed.there.revoke()
            relayed.end()
        else:
            relayed.there.stop()
            await app.send(close(1000).raw())
        frames, rest = frames_of(await app.rest())
        assert (frames, rest) == ([close(1008 if how == "revoked" else 1001)], b"")
        assert relayed.client.has_end


async def test_a_flood_of_empty_frames_arrives_whole() -> None:
    async with joined() as (relayed, app):
        flood = Frame(TEXT).raw() * 200_000
        sending = asyncio.create_task(app.send(flood))
        await settled(lambda: len(relayed.client.got) == len(flood))
        await sending
        assert bytes(relayed.client.got) == flood
