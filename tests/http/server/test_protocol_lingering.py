"""Connections that end while their client still sends: what it gets to read, and for how long."""

import asyncio
import http.client
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.http.server.last_response import Refusing, last_response
from proxy.http.server.protocol import ServerConnection
from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import (
    LOOPBACK,
    App,
    Crowded,
    Link,
    Listening,
    Receive,
    Send,
    accepting,
    connected,
    listening,
    respond,
    settled,
)
from tests.patience import PATIENCE, soon

Scope = dict[str, Any]
Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]
_TIMES = ConnectionTimeouts(
    unread=1000, linger=0.2, linger_most=0.8, linger_bytes=10_000_000, ending=0.1
)
_FOR_LONG = replace(_TIMES, linger_most=PATIENCE)
_FOR_THE_SLOW = replace(_FOR_LONG, linger=PATIENCE)
"""For clients that a busy machine makes slower than they mean to be."""
_HEAD = b"PUT /private HTTP/1.1\r\nHost: a\r\n"
_NEXT = b"PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=["plain", "tls"])
def contexts(
    request: pytest.FixtureRequest, serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> Contexts:
    """Give the contexts of both sides, None for plain connections."""
    return (serving, trusting) if request.param == "tls" else (None, None)


Opened = Callable[..., Any]


@pytest.fixture
def opened(contexts: Contexts) -> Opened:
    """Give what serves an app and connects to it."""

    @asynccontextmanager
    async def make(
        app: App,
        timeouts: ConnectionTimeouts = _TIMES,
        base: type[ServerConnection] = ServerConnection,
    ) -> AsyncIterator[tuple[Listening, Link]]:
        async with (
            listening(app, timeouts, base, tls=contexts[0]) as listener,
            connected(listener.port, tls=contexts[1]) as link,
        ):
            yield listener, link

    return make


class _Refuser:
    """An app that refuses without reading, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked.append(scope["raw_path"])
        await respond(send, b"no", 413)


def _slowly(pieces: int) -> Iterator[bytes]:
    for _ in range(pieces):
        time.sleep(0.05)
        yield b"x" * 1000


def _upload(
    port: int, tls: ssl.SSLContext | None, length: int, pieces: int
) -> tuple[int, str | None]:
    """Send all of a body as Python's own client does, and read only then."""
    with closing(http.client.HTTPConnection("app.example", port, timeout=PATIENCE)) as client:
        client.sock = _connected(port, tls)
        fields = {"Content-Length": str(length)} if length else {}
        client.request("PUT", "/x", _slowly(pieces), fields, encode_chunked=not length)
        response = client.getresponse()
        assert response.read() == b"no"
        return response.status, response.getheader("connection")


@pytest.mark.parametrize("length", [20_000, 0], ids=["length", "chunked"])
async def test_who_sends_slowly_still_reads_an_early_refusal(
    contexts: Contexts, length: int
) -> None:
    app = _Refuser()
    async with listening(app, _FOR_THE_SLOW, tls=contexts[0]) as listener:
        told = await asyncio.to_thread(_upload, listener.port, contexts[1], length, 20)
    assert told == (413, "close")
    assert app.asked == [b"/x"]


def _connected(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    """Connect as most clients do: asyncio's own would close at the first sign of TLS's end."""
    sock = socket.create_connection((LOOPBACK, port), timeout=PATIENCE)
    return sock if tls is None else tls.wrap_socket(sock, server_hostname="app.example")


def _told(port: int, tls: ssl.SSLContext | None, head: bytes) -> bytes:
    """Send ``head`` and a body by and by; read all that comes only then."""
    with _connected(port, tls) as sock:
        sock.sendall(head)
        for piece in _slowly(20):
            sock.sendall(piece)
        told = b""
        while piece := sock.recv(65536):
            told += piece
        return told


async def test_who_sends_slowly_still_reads_that_its_request_is_malformed(
    contexts: Contexts,
) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +9\r\n\r\n"
    async with listening(_Refuser(), _FOR_THE_SLOW, tls=contexts[0]) as listener:
        told = await asyncio.to_thread(_told, listener.port, contexts[1], head)
        await settled(lambda: not listener.state.connections)
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in told


async def test_a_client_hears_of_the_end_at_once(opened: Opened) -> None:
    async with opened(_Refuser(), _FOR_LONG) as (_, link):
        start = time.monotonic()
        await link.send(_HEAD + b"Content-Length: 9999\r\n\r\n")
        assert (await link.response())[0] == 413
        assert await link.is_ended()
        assert time.monotonic() - start < soon(_FOR_LONG.linger + 1)


def _sends_on(port: int, tls: ssl.SSLContext | None, size: int, pause: float) -> float:
    """Get a refusal and send on; tell how many seconds it takes from the question to the cut."""
    with _connected(port, tls) as sock:
        start = time.monotonic()
        sock.sendall(_HEAD + b"Content-Length: 999999999\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        with suppress(OSError):
            while time.monotonic() - start < PATIENCE:
                sock.sendall(b"x" * size)
                time.sleep(pause)
        return time.monotonic() - start


@pytest.mark.parametrize(
    ("size", "pause", "times", "base", "least"),
    [
        (10, 0.02, replace(_TIMES, linger=PATIENCE), ServerConnection, 0.5),
        (10, 0.4, _FOR_LONG, ServerConnection, 0),
        (10, 0.02, _FOR_LONG, Crowded, 0.05),
        (1_000_000, 0, replace(_FOR_LONG, linger=PATIENCE), ServerConnection, 0),
    ],
    ids=["all the time", "after a pause", "while connections are short", "too much"],
)
async def test_a_client_that_sends_on_behind_a_refusal_is_cut_off(
    contexts: Contexts,
    size: int,
    pause: float,
    times: ConnectionTimeouts,
    base: type[ServerConnection],
    least: float,
) -> None:
    app = _Refuser()
    async with listening(app, times, base, tls=contexts[0]) as listener:
        taken = await asyncio.to_thread(_sends_on, listener.port, contexts[1], size, pause)
        await settled(lambda: not listener.state.connections)
    assert least < taken < PATIENCE
    assert app.asked == [b"/private"]


async def test_a_listener_that_ends_waits_for_nobody_who_was_refused(contexts: Contexts) -> None:
    async with listening(_Refuser(), _FOR_LONG, tls=contexts[0]) as listener:
        sending = asyncio.to_thread(_sends_on, listener.port, contexts[1], 10, 0.02)
        task = asyncio.create_task(sending)
        await settled(lambda: listener.state.total_requests)
        for connection in list(listener.state.connections):
            connection.shutdown()
        assert await task < PATIENCE / 2


_BOUND = ConnectionTimeouts().unread
_SIZES = [*range(_BOUND - 2, _BOUND + 3), 262_145, 265_000, 270_000, 280_000, 299_999, 300_000]


@pytest.mark.parametrize("together", [True, False], ids=["together", "after the response"])
@pytest.mark.parametrize("size", _SIZES)
async def test_what_follows_a_refused_body_is_carried_out_and_answered_or_neither(
    opened: Opened, size: int, *, together: bool
) -> None:
    app = _Refuser()
    async with opened(app, replace(_FOR_LONG, unread=_BOUND)) as (_, link):
        head = _HEAD + b"Content-Length: %d\r\n\r\n" % size
        await link.send(head + b"x" * size + _NEXT if together else head)
        status, fields, _ = await link.response()
        is_last = fields.get(b"connection") == b"close"
        if not together:
            assert is_last is (size > _BOUND)
            await link.send(b"x" * size + _NEXT)
        assert status == 413
        if is_last:
            assert await link.is_ended()
        else:
            assert (await link.response())[0] == 413
    assert app.asked == ([b"/private"] if is_last else [b"/private", b"/up"])


@pytest.mark.parametrize("size", [999, 1000, 1001, 5000])
@pytest.mark.parametrize("cut", [1, 700])
async def test_nothing_behind_chunks_that_nobody_read_is_carried_out(
    opened: Opened, size: int, cut: int
) -> None:
    app = _Refuser()
    async with opened(app, _FOR_LONG) as (_, link):
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
        await link.send(_CHUNKED + body[:cut])
        assert (await link.response())[1][b"connection"] == b"close"
        await link.send(body[cut:] + _NEXT)
        assert await link.is_ended()
    assert app.asked == [b"/private"]


async def test_nothing_is_carried_out_behind_a_body_that_was_too_long_to_be_read_past(
    opened: Opened,
) -> None:
    """Its response had said that the connection stays: it had begun before its end was known."""
    asked = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        asked.append(scope["raw_path"])
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"2")]})  # fmt: skip
        await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"ok"})

    async with opened(app, _FOR_LONG) as (_, link):
        await link.send(_HEAD + b"Content-Length: 5000\r\n\r\n")
        assert b"connection" not in (await link.response())[1]
        await link.send(b"x" * 5000 + _NEXT)
        assert await link.is_ended()
    assert asked == [b"/private"]


async def test_a_small_rest_of_chunks_that_has_come_keeps_the_connection(opened: Opened) -> None:
    app = _Refuser()
    async with opened(app, _FOR_LONG) as (_, link):
        await link.send(_CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + _NEXT)
        assert b"connection" not in (await link.response())[1]
        assert (await link.response())[0] == 413
    assert app.asked == [b"/private", b"/up"]


async def test_a_connection_that_is_one_too_many_may_send_slowly_and_still_reads_why(
    contexts: Contexts,
) -> None:
    full = last_response(Refusal(Code.TOO_MANY_CONNECTIONS))
    made: list[Refusing] = []

    def refusing() -> Refusing:
        made.append(Refusing(full, _FOR_LONG))
        return made[-1]

    async with accepting(refusing, contexts[0]) as port:
        head = _HEAD + b"Content-Length: 20000\r\n\r\n"
        told = await asyncio.to_thread(_told, port, contexts[1], head)
        async with asyncio.timeout(PATIENCE):
            await made[0].over
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"too_many_connections" in told
