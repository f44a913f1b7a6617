"""When a response is over: once the client's side of the socket has all of it, or never."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import (
    Link,
    Listening,
    Receive,
    Send,
    connected,
    listening,
    respond,
    settled,
)

_BODY = b"x" * (8 << 20)
_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_IMPATIENT = ConnectionTimeouts(send=0.3, linger=0.2, linger_most=0.4, ending=0.1)


class _Noting:
    """An app that answers with much at once, and notes how its sending ended."""

    def __init__(self) -> None:
        self.ended = ""

    async def __call__(self, _scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        try:
            await respond(send, _BODY)
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "answered"


Opened = Callable[..., Any]


@pytest.fixture(params=["plain", "tls"])
def opened(
    request: pytest.FixtureRequest, serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> Opened:
    """Give what serves an app and connects to it, with TLS and without."""
    ours, theirs = (serving, trusting) if request.param == "tls" else (None, None)

    @asynccontextmanager
    async def make(
        app: Any, timeouts: ConnectionTimeouts | None = None
    ) -> AsyncIterator[tuple[Listening, Link]]:
        async with (
            listening(app, timeouts, tls=ours) as listener,
            connected(listener.port, buffer=8192, tls=theirs) as link,
        ):
            yield listener, link

    return make


async def test_it_is_over_when_the_socket_has_all_of_it(opened: Opened) -> None:
    app = _Noting()
    async with opened(app) as (listener, link):
        await link.send(_GET)
        await link.head()
        await asyncio.sleep(0.1)
        assert app.ended == ""
        assert listener.state.tasks
        assert await link.exactly(len(_BODY)) == _BODY
        await settled(lambda: app.ended == "answered")
        await link.send(_GET)  # the connection is as good as before
        assert (await link.response())[2] == _BODY


@pytest.mark.more
async def test_one_that_nobody_took_wasn_t_answered(opened: Opened) -> None:
    app = _Noting()
    async with opened(app, _IMPATIENT) as (_, link):
        await link.send(_GET)
        await link.head()
        link.stop_reading()
        await settled(lambda: app.ended == "cancelled")


async def test_nor_one_whose_client_reset_the_connection(opened: Opened) -> None:
    app = _Noting()
    async with opened(app) as (listener, link):
        await link.send(_GET)
        await link.head()
        link.reset()
        await settled(lambda: not listener.state.tasks)
        assert app.ended == "cancelled"


async def test_a_client_that_is_slow_gets_all_before_the_end(opened: Opened) -> None:
    app = _Noting()
    async with opened(app, _IMPATIENT) as (_, link):
        await link.send(_GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await link.head()
        for _ in range(4):  # pauses that are longer than an end may take, in all
            await asyncio.sleep(_IMPATIENT.ending * 1.5)
            await link.exactly(len(_BODY) // 8)
        assert len(await link.rest()) == len(_BODY) // 2
        await settled(lambda: app.ended == "answered")


async def test_a_listener_that_ends_waits_for_it(opened: Opened) -> None:
    app = _Noting()
    async with opened(app, _IMPATIENT) as (listener, link):
        await link.send(_GET)
        await link.head()
        for connection in list(listener.state.connections):
            connection.shutdown()
        for _ in range(4):
            await asyncio.sleep(_IMPATIENT.ending * 1.5)
            await link.exactly(len(_BODY) // 8)
        assert len(await link.rest()) == len(_BODY) // 2
        assert app.ended == "answered"


async def test_an_app_that_never_waits_ends_with_its_client(opened: Opened) -> None:
    ended = []

    async def app(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})
        finally:
            ended.append(1)

    async with opened(app) as (listener, link):
        await link.send(_GET)
        await link.head()
        link.reset()
        await settled(lambda: ended and not listener.state.tasks)
