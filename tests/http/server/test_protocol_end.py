"""The end of a listener: who is asked to go, who is answered first, and who gets a moment."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from uvicorn.server import ServerState

from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import (
    LOOPBACK,
    App,
    Link,
    Listening,
    config_for,
    connected,
    listening,
    protocol_with,
    respond,
    settled,
)
from tests.http.tls.sides import full
from tests.patience import PATIENCE, soon

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_LIMITS = ConnectionTimeouts(last_call=0.2)


async def _app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    await respond(send, scope["raw_path"])


def _end(listener: Listening) -> None:
    """End it as a server does: every connection is told."""
    for connection in list(listener.state.connections):
        connection.shutdown()


@asynccontextmanager
async def _used(app: App = _app) -> AsyncIterator[tuple[Listening, Link]]:
    """Give a listener, and a connection on which a request was answered."""
    async with listening(app, _LIMITS) as listener, connected(listener.port) as link:
        await link.send(_GET)
        assert (await link.response())[2] == b"/"
        yield listener, link


async def test_an_idle_connection_is_closed_at_once() -> None:
    async with _used() as (listener, link):
        start = time.monotonic()
        _end(listener)
        assert await link.is_ended()
        assert time.monotonic() - start < soon(_LIMITS.last_call)


async def test_a_request_that_had_come_unread_is_answered_and_is_the_last() -> None:
    async with listening(_app, _LIMITS) as listener:
        with socket.create_connection((LOOPBACK, listener.port), timeout=PATIENCE) as client:
            client.sendall(_GET)
            await settled(lambda: listener.state.total_requests)
            assert b"close" not in client.recv(1000)
            client.sendall(_GET)  # in the kernel: the loop hasn't run since
            _end(listener)
            client.setblocking(False)  # noqa: FBT003 - the socket API
            response = await asyncio.get_running_loop().sock_recv(client, 1000)
            assert response.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close\r\n" in response
            assert await asyncio.get_running_loop().sock_recv(client, 1000) == b""


@pytest.mark.parametrize("cut", range(0, len(_GET), 5))
async def test_a_new_client_gets_a_moment_to_ask(cut: int) -> None:
    async with listening(_app, _LIMITS) as listener, connected(listener.port) as link:
        await link.send(_GET[:cut])
        await settled(lambda: listener.state.connections)
        _end(listener)
        await link.send(_GET[cut:])
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (200, b"close")


async def test_a_new_client_that_doesnt_ask_is_closed_soon() -> None:
    async with listening(_app, _LIMITS) as listener, connected(listener.port) as link:
        await settled(lambda: listener.state.connections)
        start = time.monotonic()
        _end(listener)
        assert await link.is_ended()
        assert _LIMITS.last_call * 0.9 < time.monotonic() - start < PATIENCE / 2


async def test_a_request_that_had_begun_is_waited_for() -> None:
    async with _used() as (listener, link):
        await link.send(_GET[:9])
        await settled(lambda: not _only(listener)._requests.is_between)
        _end(listener)
        await asyncio.sleep(_LIMITS.last_call * 1.5)
        await link.send(_GET[9:])
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (200, b"close")
        assert await link.is_ended()


def _only(listener: Listening) -> Any:
    (connection,) = listener.state.connections
    return cast(Any, connection)


async def test_what_is_pipelined_behind_a_promise_is_answered_too() -> None:
    go_on, started = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
        path = scope["raw_path"]
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"2")]})  # fmt: skip
        await send({"type": "http.response.body", "body": path[:1], "more_body": True})
        started.set()
        await go_on.wait()
        await send({"type": "http.response.body", "body": path[1:]})

    async with listening(app, _LIMITS) as listener, connected(listener.port) as link:
        await link.send(b"".join(_GET.replace(b"/", b"/%d" % n, 1) for n in (1, 2, 3)))
        await started.wait()
        _end(listener)
        go_on.set()
        _, fields, body = await link.response()
        assert (body, b"connection" in fields) == (b"/1", False)  # said before the end was known
        _, fields, body = await link.response()
        assert (body, fields[b"connection"]) == (b"/2", b"close")
        assert await link.is_ended()  # of the third no client hears more than that it wasn't read


async def test_the_rest_of_a_refused_body_isnt_waited_for() -> None:
    async with _used() as (listener, link):
        await link.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        assert (await link.response())[2] == b"/x"
        await settled(lambda: _only(listener)._requests.is_reading_past)
        _end(listener)
        assert await link.is_ended()


async def test_one_that_has_nothing_to_say_but_its_end_ends_whatever_the_client_takes(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """TLS says its end, and there may be no space for it: as where the client reads nothing."""
    state = ServerState()
    timeouts = ConnectionTimeouts(send=0.1)
    connection = protocol_with(timeouts)(config_for(_app), state, {})
    async with full(connection, serving, trusting) as fill:
        assert state.connections
        fill()
        connection.end()
        await settled(lambda: not state.connections)
