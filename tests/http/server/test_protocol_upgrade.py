"""A connection that leaves HTTP: what the app gets behind its 101, and what nobody gets without."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
import uvicorn

from proxy.http.scope import RAW, STOP, UPGRADE
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.tcp_keepalive import PATIENCE as KERNEL_PATIENCE
from proxy.http.tls.opening import connect
from tests.http.ends import (
    LOOPBACK,
    App,
    Link,
    Message,
    Receive,
    Recorder,
    Send,
    config_for,
    connected,
    listening,
    protocol_with,
    respond,
    settled,
    unchanged_tasks,
)
from tests.http.tls.sides import Notes

_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_GET = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
Talk = Callable[[Receive, Send], Awaitable[None]]


def _switching(talk: Talk) -> App:
    """Return an app that answers 101, then talks."""

    async def app(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": UPGRADE, "headers": [(b"upgrade", b"websocket")]})
        await talk(receive, send)

    return app


def _raw(data: bytes, *, more: bool = True) -> Message:
    return {"type": RAW, "data": data, "more": more}


async def _echo(receive: Receive, send: Send) -> None:
    """Send back what comes, up to its end."""
    while (message := await receive())["type"] == RAW:
        await send(message)
        if not message["more"]:
            return


async def test_behind_the_101_bytes_go_both_ways_as_they_are() -> None:
    async with listening(_switching(_echo)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        assert await link.head() == _SWITCHED
        for data in (b"\x00\xff", _GET, b"x" * 300_000):
            await link.send(data)
            assert await link.exactly(len(data)) == data
        link.end()
        assert await link.is_ended()


@pytest.mark.parametrize("at", range(1, len(_GET)))
async def test_what_was_sent_ahead_of_the_101_is_the_stream_s(at: int) -> None:
    go_on, asked = asyncio.Event(), 0

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += 1
        await go_on.wait()
        await _switching(_echo)(scope, receive, send)

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE + _GET[:at])
        await settled(lambda: asked)
        go_on.set()
        await link.send(_GET[at:])
        assert await link.head() == _SWITCHED
        assert await link.exactly(len(_GET)) == _GET
        assert asked == 1
        link.end()


async def test_much_that_was_sent_ahead_makes_the_client_wait_and_isn_t_lost() -> None:
    go_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await go_on.wait()
        await _switching(_echo)(scope, receive, send)

    ahead = bytes(range(256)) * 100_000
    async with listening(app) as listener, connected(listener.port) as link:
        sending = asyncio.create_task(link.send(_HANDSHAKE + ahead))
        await settled(lambda: listener.state.tasks)
        await asyncio.sleep(0.1)
        assert not sending.done()
        go_on.set()
        assert await link.head() == _SWITCHED
        assert await link.exactly(len(ahead)) == ahead
        await sending


@pytest.mark.parametrize("later", [False, True])
async def test_behind_a_handshake_that_was_refused_nothing_is_a_request(later: bool) -> None:  # noqa: FBT001
    app = Recorder()
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE + (b"" if later else _GET))
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (200, b"close")
        if later:
            await link.send(_GET)
        assert await link.is_ended()
    assert [target for target, _, _ in app.seen] == [b"/ws"]


@pytest.mark.parametrize(
    "line", [b"Upgrade: h2c", b"Upgrade: websockets", b"Connection: x\r\nUpgrade: websocket"]
)
async def test_behind_what_asks_for_no_websocket_the_next_request_has_its_turn(line: bytes) -> None:
    app = Recorder()
    ordinary = b"GET /plain HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(ordinary + _GET)
        assert (await link.response())[0] == 200
        assert (await link.response())[0] == 200
    assert [target for target, _, _ in app.seen] == [b"/plain", b"/smuggled"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        _HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        _HANDSHAKE[:-2] + b"Content-Length: 5\r\n\r\n",
        _HANDSHAKE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_only_a_whole_request_of_http_1_1_can_be_upgraded(request_bytes: bytes) -> None:
    async with listening(_switching(_echo)) as listener, connected(listener.port) as link:
        await link.send(request_bytes)
        assert (await link.response())[0] == 500
        assert await link.is_ended()


async def test_a_response_that_has_begun_can_t_turn_into_a_101() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await _switching(_echo)(scope, receive, send)

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        with pytest.raises(ConnectionError):
            await link.until(b"101")


async def test_http_can_t_be_spoken_behind_a_101() -> None:
    async def talk(_receive: Receive, send: Send) -> None:
        await respond(send)

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        with pytest.raises(ConnectionError):
            await link.until(b"200")


# Its ends.


async def test_each_way_has_its_own_end() -> None:
    async def talk(receive: Receive, send: Send) -> None:
        assert await receive() == _raw(b"", more=False)
        assert await receive() == _raw(b"", more=False)  # again and again
        for _ in range(3):
            await send(_raw(b"still here"))
        await send(_raw(b".", more=False))

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        link.end()
        assert await link.rest() == _SWITCHED + b"still here" * 3 + b"."


async def test_a_client_is_heard_after_our_end() -> None:
    heard = b""

    async def talk(receive: Receive, send: Send) -> None:
        nonlocal heard
        await send(_raw(b"", more=False))
        while (message := await receive())["more"]:
            heard += message["data"]

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        assert await link.rest() == _SWITCHED
        await link.send(b"one more thing")
        link.end()
        await settled(lambda: heard)
        await settled(lambda: not listener.state.connections, 1)
    assert heard == b"one more thing"


async def test_over_tls_a_client_s_last_words_are_heard_though_it_listens_no_more(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    heard = b""

    async def talk(receive: Receive, send: Send) -> None:
        nonlocal heard
        await asyncio.sleep(0.2)
        while (message := await receive())["more"]:
            heard += message["data"]
        await send(_raw(b"to nobody"))
        await send(_raw(b"", more=False))

    with unchanged_tasks():
        async with listening(_switching(talk), tls=serving) as listener:
            reader, writer = await asyncio.open_connection(
                LOOPBACK, listener.port, ssl=trusting, server_hostname="app.example"
            )
            link = Link(reader, writer)
            await link.send(_HANDSHAKE)
            assert await link.head() == _SWITCHED
            await link.send(_PIECE + b"last words")
            link.close()
            with suppress(ssl.SSLError):  # it takes what comes behind its end for an error
                await writer.wait_closed()
            await settled(lambda: not listener.state.tasks)
    assert heard == _PIECE + b"last words"


async def test_over_tls_each_way_has_its_own_end(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    heard = b""

    async def talk(receive: Receive, send: Send) -> None:
        nonlocal heard
        await send(_raw(b"bye", more=False))
        while (message := await receive())["more"]:
            heard += message["data"]

    async with listening(_switching(talk), tls=serving) as listener:
        sock = socket.create_connection((LOOPBACK, listener.port))
        sock.setblocking(False)  # noqa: FBT003 - the socket API
        ours = await connect(sock, trusting, "app.example", lambda: Notes(keeps_open=True))
        ours.transport.write(_HANDSHAKE)
        await settled(lambda: ours.told == ["eof"])
        assert ours.got == _SWITCHED + b"bye"
        ours.transport.write(b"still here")
        ours.transport.close()
        await settled(lambda: not listener.state.tasks)
    assert heard == b"still here"


async def test_over_tls_a_stream_that_somebody_cut_hasn_t_ended(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    told: list[object] = []

    async def talk(receive: Receive, _send: Send) -> None:
        try:
            told.append(await receive())
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async with listening(_switching(talk), tls=serving) as listener:
        sock = socket.create_connection((LOOPBACK, listener.port))
        sock.setblocking(False)  # noqa: FBT003 - the socket API
        ours = await connect(sock, trusting, "app.example", Notes)
        ours.transport.write(_HANDSHAKE)
        await settled(lambda: ours.got)
        sock.shutdown(socket.SHUT_WR)
        await settled(lambda: told)
    assert told == ["cancelled"]


async def test_over_tls_a_client_hears_our_end(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def talk(_receive: Receive, send: Send) -> None:
        await send(_raw(b"bye", more=False))

    async with listening(_switching(talk), tls=serving) as listener:
        reader, writer = await asyncio.open_connection(
            LOOPBACK, listener.port, ssl=trusting, server_hostname="app.example"
        )
        link = Link(reader, writer)
        await link.send(_HANDSHAKE)
        assert await link.rest() == _SWITCHED + b"bye"
        link.close()
        await writer.wait_closed()


async def test_an_app_that_stops_without_an_end_breaks_the_stream_visibly() -> None:
    async def talk(_receive: Receive, send: Send) -> None:
        await send(_raw(b"part"))

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        with pytest.raises(ConnectionError):
            await link.rest()


async def test_a_client_that_breaks_off_cancels_the_app() -> None:
    cancelled = asyncio.Event()

    async def talk(receive: Receive, _send: Send) -> None:
        try:
            await receive()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with unchanged_tasks():
        async with listening(_switching(talk)) as listener, connected(listener.port) as link:
            await link.send(_HANDSHAKE)
            await link.head()
            link.reset()
            await settled(cancelled.is_set)
            await settled(lambda: not listener.state.connections)


async def test_nothing_is_due_on_a_stream_however_long_it_is_silent() -> None:
    timeouts = ConnectionTimeouts(head=0.05, idle=0.05, window=0.05, linger=0.05)
    async with listening(_switching(_echo), timeouts) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        assert await link.head() == _SWITCHED
        await asyncio.sleep(0.3)
        await link.send(b"hello")
        assert await link.exactly(5) == b"hello"
        link.end()


async def test_the_kernel_looks_whether_a_silent_client_is_still_there() -> None:
    seen: list[tuple[int, int]] = []

    class Watching(protocol_with(ConnectionTimeouts())):  # type: ignore[misc]
        def switch_protocols(self) -> None:
            super().switch_protocols()
            sock = self._transport.get_extra_info("socket")
            seen.append(
                (
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                )
            )

    listens = listening(_switching(_echo), base=Watching)
    async with listens as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        link.end()
        await link.rest()
    assert seen == [(1, KERNEL_PATIENCE * 1000)]


# Pace.

_PIECE = b"x" * 65536


async def _pushed(link: Link) -> int:
    """Send until the other side takes nothing more; return how many bytes."""
    pushed = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(0.4):
            while True:
                link.writer.write(_PIECE)
                pushed += len(_PIECE)
                await link.writer.drain()
    return pushed


async def _flood(send: Send, sent: list[int]) -> None:
    while True:
        await send(_raw(_PIECE))
        sent.append(len(_PIECE))


async def test_a_client_that_takes_nothing_makes_the_app_wait_and_is_given_up() -> None:
    sent: list[int] = []

    async def talk(_receive: Receive, send: Send) -> None:
        await _flood(send, sent)

    timeouts = replace(ConnectionTimeouts(), send=0.5)
    listens = listening(_switching(talk), timeouts)
    async with listens as listener, connected(listener.port, buffer=4096) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        link.stop_reading()
        await settled(lambda: sent)
        await settled(lambda: not listener.state.tasks, 5)
    assert sum(sent) < 16 * 1024 * 1024


async def test_a_client_that_takes_something_now_and_then_is_kept() -> None:
    sent: list[int] = []

    async def talk(_receive: Receive, send: Send) -> None:
        await _flood(send, sent)

    timeouts = replace(ConnectionTimeouts(), send=1)
    listens = listening(_switching(talk), timeouts)
    async with listens as listener, connected(listener.port, buffer=4096) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.5
        while loop.time() < until:
            assert await link.exactly(200_000)
            await asyncio.sleep(0.05)
        assert listener.state.tasks
        link.reset()


async def test_an_app_that_takes_nothing_makes_the_client_wait() -> None:
    async def talk(receive: Receive, _send: Send) -> None:
        await asyncio.sleep(1)
        await _echo(receive, _send)

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        pushed = await _pushed(link)
        assert pushed < 16 * 1024 * 1024
        assert len(await link.exactly(pushed)) == pushed
        link.reset()


async def test_a_client_that_broke_off_while_it_was_made_to_wait_is_noticed() -> None:
    cancelled = asyncio.Event()

    async def talk(_receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        await _pushed(link)
        link.reset()
        await settled(cancelled.is_set)


async def test_a_client_that_ended_while_it_was_made_to_wait_is_heard_to_its_end() -> None:
    heard = 0

    async def talk(receive: Receive, send: Send) -> None:
        nonlocal heard
        await asyncio.sleep(1.2)  # longer than it takes to look for a client that has left
        while (message := await receive())["more"]:
            heard += len(message["data"])
        await send(_raw(b"", more=False))

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        data = _PIECE * 10
        await link.send(data)
        link.end()
        assert await link.is_ended()
    assert heard == len(data)


# The server's end.


async def test_what_a_client_said_last_is_waited_for_though_its_connection_is_gone() -> None:
    """It isn't idle before the app has taken it: a listener that ends waits for that."""
    is_reading, go_on, heard = asyncio.Event(), asyncio.Event(), b""

    async def talk(receive: Receive, _: Send) -> None:
        nonlocal heard
        is_reading.set()
        await go_on.wait()
        while (message := await receive())["type"] == RAW and message["more"]:
            heard += message["data"]

    async with listening(_switching(talk)) as listener, connected(listener.port) as link:
        await link.send(_HANDSHAKE)
        await link.head()
        await is_reading.wait()
        await link.send(b"last words")
        link.end()
        (connection,) = listener.state.connections
        await settled(lambda: _exchange_of(connection).has_client_ended)
        cast(Any, connection)._transport.abort()
        await settled(lambda: cast(Any, connection)._is_lost)
        assert connection in listener.state.connections
        go_on.set()
        await settled(lambda: not listener.state.connections)
    assert heard == b"last words"


def _exchange_of(connection: object) -> Any:
    return cast(Any, connection)._requests._exchange


@pytest.mark.parametrize("early", [False, True])
async def test_a_stream_is_told_that_the_server_stops(early: bool) -> None:  # noqa: FBT001
    go_on, started = asyncio.Event(), asyncio.Event()
    got: list[str] = []

    async def app(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        started.set()
        if early:
            await go_on.wait()
        await send({"type": UPGRADE, "headers": []})
        got.append((await receive())["type"])
        await send(_raw(b"bye", more=False))
        got.append((await receive())["type"])

    config = config_for(app)
    config.http_protocol_class = protocol_with(ConnectionTimeouts())  # type: ignore[assignment]
    server = uvicorn.Server(config)
    sock = socket.create_server((LOOPBACK, 0))
    with unchanged_tasks():
        serving = asyncio.create_task(server._serve([sock]))
        await settled(lambda: server.started)
        async with connected(sock.getsockname()[1]) as link:
            await link.send(_HANDSHAKE)
            await started.wait()
            server.should_exit = True
            await settled(lambda: server.servers and not server.servers[0].is_serving())
            go_on.set()
            await link.head()
            assert await link.rest() == b"bye"
            link.end()
            await serving
    assert got == [STOP, RAW]
