"""A client that pauses: for how long it may, over plain connections and TLS alike."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.http.asgi_handler import AsgiHandler
from proxy.http.server.protocol import ServerConnection
from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import (
    App,
    Crowded,
    Link,
    Listening,
    Receive,
    Recorder,
    Send,
    connected,
    listening,
    respond,
    settled,
)
from tests.patience import soon

Scope = dict[str, Any]
_PATIENCE = 0.4
_TIMES = ConnectionTimeouts(body=_PATIENCE, send=_PATIENCE, window=0.1, linger=0.2)
_GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
_CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_LENGTH = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

Opened = Callable[..., Any]


@pytest.fixture(params=["plain", "tls"])
def opened(
    request: pytest.FixtureRequest, serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> Opened:
    """Give what serves an app and connects to it, with TLS and without."""
    ours, theirs = (serving, trusting) if request.param == "tls" else (None, None)

    @asynccontextmanager
    async def make(
        app: App, base: type[ServerConnection] = ServerConnection, buffer: int = 0
    ) -> AsyncIterator[tuple[Listening, Link]]:
        async with (
            listening(app, _TIMES, base, tls=ours) as listener,
            connected(listener.port, buffer=buffer, tls=theirs) as link,
        ):
            yield listener, link

    return make


@pytest.mark.parametrize("head", [_CHUNKED, _CHUNKED + b"5\r\nhel", _LENGTH, _LENGTH + b"hel"])
async def test_a_body_that_stays_away_too_long_is_answered_408(opened: Opened, head: bytes) -> None:
    app = Recorder()
    async with opened(app) as (_, link):
        start = time.monotonic()
        await link.send(head)
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (408, b"close")
        assert time.monotonic() - start > _PATIENCE * 0.9
        assert await link.is_ended()
    assert app.seen == []


async def test_a_body_may_pause_again_and_again(opened: Opened) -> None:
    app = Recorder()
    async with opened(app) as (_, link):
        await link.send(_CHUNKED)
        for _ in range(4):
            await asyncio.sleep(_PATIENCE / 2)
            await link.send(b"1\r\nx\r\n")
        await link.send(b"0\r\n\r\n")
        assert (await link.response())[2] == b"xxxx"


async def _trickle(send: Callable[[bytes], Awaitable[None]]) -> None:
    while True:
        await send(b"x")
        await asyncio.sleep(0.02)


async def test_a_body_by_the_byte_is_refused_where_connections_are_short(opened: Opened) -> None:
    app = Recorder()
    async with opened(app, Crowded) as (_, link):
        await link.send(_LENGTH)
        trickling = asyncio.create_task(_trickle(link.send))
        start = time.monotonic()
        assert (await link.response())[0] == 408
        assert time.monotonic() - start < soon(_PATIENCE)
        trickling.cancel()
        await asyncio.wait((trickling,))
    assert app.seen == []


async def test_so_is_one_whose_place_at_an_app_is_short(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Recorder()
    monkeypatch.setattr(AsgiHandler, "is_place_short", lambda _: True)
    async with opened(app) as (_, link):
        await link.send(_LENGTH)
        trickling = asyncio.create_task(_trickle(link.send))
        start = time.monotonic()
        assert (await link.response())[0] == 408
        assert time.monotonic() - start < soon(_PATIENCE)
        trickling.cancel()
        await asyncio.wait((trickling,))
    assert app.seen == []


async def test_a_body_by_the_byte_is_taken_where_they_are_not(opened: Opened) -> None:
    async with opened(Recorder()) as (_, link):
        await link.send(_LENGTH[:-8] + b"40\r\n\r\n")
        for _ in range(40):
            await link.send(b"x")
            await asyncio.sleep(0.02)
        assert (await link.response())[2] == b"x" * 40


async def test_who_listens_may_be_silent_in_a_body_of_its_own(opened: Opened) -> None:
    """Both ways at once: what the app has to say comes meanwhile."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(_PATIENCE / 4)
        message = await receive()
        await send({"type": "http.response.body", "body": message["body"]})

    async with opened(app) as (_, link):
        await link.send(_CHUNKED)
        reading = asyncio.create_task(link.response())
        await asyncio.sleep(_PATIENCE * 2)
        await link.send(b"3\r\nend\r\n0\r\n\r\n")
        assert (await reading)[2] == b"tick" * 10 + b"end"


async def test_who_waits_for_100_is_not_due_to_send(opened: Opened) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(_PATIENCE * 1.5)
        assert (await receive())["body"] == b"x" * 1000
        await respond(send)

    async with opened(app) as (_, link):
        await link.send(_LENGTH[:-2] + b"Expect: 100-continue\r\n\r\n")
        assert (await link.response())[0] == 100
        await asyncio.sleep(_PATIENCE / 2)
        await link.send(b"x" * 1000)
        assert (await link.response())[0] == 200


async def _endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


async def test_who_takes_nothing_is_cut_off(opened: Opened) -> None:
    async with opened(_endless, buffer=4096) as (listener, link):
        start = time.monotonic()
        await link.send(_GET)
        link.stop_reading()
        await settled(lambda: listener.state.tasks)
        await settled(lambda: not listener.state.connections)
        assert time.monotonic() - start > _PATIENCE * 0.9


async def test_who_takes_a_little_now_and_then_is_not(opened: Opened) -> None:
    size = 8_000_000

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, b"x" * size)

    async with opened(app, buffer=65536) as (listener, link):
        await link.send(_GET)
        await link.head()
        got, start = 0, time.monotonic()
        while time.monotonic() - start < _PATIENCE * 4:
            got += len(await link.reader.read(400_000))
            await asyncio.sleep(_PATIENCE / 3)
        assert listener.state.connections
        assert len(await link.exactly(size - got)) == size - got


async def test_where_connections_are_short_who_takes_nothing_is_cut_off_sooner(
    opened: Opened,
) -> None:
    async with opened(_endless, Crowded, buffer=4096) as (listener, link):
        await link.send(_GET)
        link.stop_reading()
        await settled(lambda: listener.state.tasks)
        start = time.monotonic()
        await settled(lambda: not listener.state.connections)
        assert time.monotonic() - start < soon(_PATIENCE * 0.9)
