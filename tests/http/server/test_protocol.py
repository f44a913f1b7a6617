"""The way in: bytes of a client on one side, a small ASGI app on the other."""

import asyncio
import json
import logging
import socket
from contextlib import suppress
from typing import Any, cast

import pytest
import uvicorn

from proxy.http.scope import socket_address
from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import (
    LOOPBACK,
    App,
    Message,
    Receive,
    Recorder,
    Send,
    Unhurried,
    config_for,
    connected,
    listening,
    protocol_with,
    respond,
    settled,
    unchanged_tasks,
)

_GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
_OLD = b"GET /x HTTP/1.0\r\n\r\n"
_EXPECT = (
    b"POST /x HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
)
_QUICK = ConnectionTimeouts(
    head=0.2, idle=0.2, body=0.2, send=0.2, window=0.2, rate=500, unread=1000, linger=0.2
)
_BIG = 32 * 1024 * 1024
Scope = dict[str, Any]


def _post(body: bytes, *fields: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = (b"POST /x HTTP/1.1", b"Host: a.example", b"Content-Length: %d" % size, *fields)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _start(*fields: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def _body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _ok(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(send)


# What the app sees.


async def test_the_app_sees_the_target_as_it_stood_on_the_wire() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await respond(send)

    targets = [b"/a%2f..//b?x=%zz&y", b"/a?", b"http://evil.example/x?y", b"*", b"/a%C3%A9;p?q?r"]
    async with listening(app) as listener, connected(listener.port) as link:
        for target in targets:
            await link.send(
                b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-b:2\r\n\r\n"
            )
            assert (await link.response())[0] == 200
    assert [scope["state"]["portal.target"] for scope in scopes] == targets
    assert [scope["raw_path"] for scope in scopes] == [t.partition(b"?")[0] for t in targets]
    assert [scope["query_string"] for scope in scopes] == [t.partition(b"?")[2] for t in targets]
    assert scopes[0]["path"] == "/a/..//b"
    assert scopes[4]["path"] == "/aé;p"
    assert list(scopes[0]["headers"]) == [(b"host", b"a"), (b"x-b", b"1"), (b"x-b", b"2")]
    assert scopes[0]["method"] == "OPTIONS"
    assert scopes[0]["client"][0] == LOOPBACK
    assert scopes[0]["server"] == (LOOPBACK, listener.port)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("9.9.9.9", 80), ("9.9.9.9", 80)),
        (("fe80::1%eth0", 80, 0, 2), ("fe80::1%eth0", 80)),
        ("/run/public.sock", ("/run/public.sock", None)),
        ("", None),  # a client of a unix socket
        (None, None),  # a client that is gone
    ],
)
def test_a_unix_socket_is_never_taken_for_another_nor_the_other_way_round(
    name: object, address: object
) -> None:
    assert socket_address(name) == address


@pytest.mark.parametrize("together", [True, False])
async def test_trailers_never_become_fields(together: bool) -> None:  # noqa: FBT001
    app = Recorder()
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    rest = b"2\r\nok\r\n0\r\nX-Ptl-Client-Id: evil\r\nContent-Length: 7\r\n\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        if together:
            await link.send(head + rest)
        else:
            await link.send(head)
            await settled(lambda: app.started)
            await link.send(rest)
        assert (await link.response())[2] == b"ok"
    fields = [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    assert app.seen == [(b"/x", fields, b"ok")]


async def test_pipelined_requests_are_answered_in_turn() -> None:
    app = Recorder()
    bodies = [b"", b"one", b"x" * 300_000, b"two"] * 5
    async with listening(app) as listener, connected(listener.port) as link:
        sending = asyncio.create_task(link.send(b"".join(map(_post, bodies))))
        assert [(await link.response())[2] for _ in bodies] == bodies
        await sending
    assert [body for _, _, body in app.seen] == bodies


async def test_requests_that_come_faster_than_they_are_answered_wait_with_the_client() -> None:
    waiting: list[int] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        (connection,) = listener.state.connections
        waiting.append(cast("Any", connection)._requests.unparsed)
        await respond(send)

    async with listening(app) as listener, connected(listener.port) as link:

        async def flood() -> None:
            while True:
                await link.send(_GET * 5000)

        flooding = asyncio.create_task(flood())
        for _ in range(200):
            assert (await link.response())[0] == 200
        flooding.cancel()
        await asyncio.wait((flooding,))
    assert max(waiting) <= 2 * ConnectionTimeouts().buffered


async def test_a_forged_request_behind_a_good_one_is_refused_behind_its_response() -> None:
    app = Recorder()
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_post(b"one") + b"GET /y HTTP/1.1\r\nHost : a\r\n\r\n" + _GET)
        assert (await link.response())[2] == b"one"
        assert (await link.response())[0] == 400
        assert await link.is_ended()
    assert len(app.seen) == 1


async def test_a_body_that_turns_out_malformed_cancels_the_app_and_is_refused() -> None:
    app = Recorder()
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(head)
        await settled(lambda: app.started)
        await link.send(b"-1\r\n")
        assert (await link.response())[0] == 400
        assert await link.is_ended()
    assert app.seen == []


async def test_a_body_that_turns_out_malformed_breaks_the_response_that_began() -> None:
    began = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start())
        await send(_body(b"part", more=True))
        began.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(head)
        await began.wait()
        await link.until(b"part\r\n")
        await link.send(b"-1\r\n")
        with pytest.raises(ConnectionError):
            await link.rest()


# Keeping connections.


async def test_http_1_0_is_closed_or_kept_as_the_client_says() -> None:
    async with listening(_ok) as listener:
        async with connected(listener.port) as link:
            await link.send(_OLD)
            status, fields, body = await link.response()
            assert (status, fields[b"connection"], body) == (200, b"close", b"ok")
            assert await link.is_ended()
        async with connected(listener.port) as link:
            for _ in range(2):
                await link.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
                status, fields, body = await link.response()
                assert (status, fields[b"connection"], body) == (200, b"keep-alive", b"ok")


async def test_connection_close_is_honoured() -> None:
    async with listening(_ok) as listener, connected(listener.port) as link:
        await link.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + _GET)
        assert (await link.response())[1][b"connection"] == b"close"
        assert await link.is_ended()


async def test_an_app_may_ask_for_the_end_but_not_write_the_framing() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(
            _start((b"connection", b"close"), (b"transfer-encoding", b"gzip"), (b"x-a", b"b"))
        )
        await send(_body(b"ok"))

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_GET)
        fields = (await link.response())[1]
        assert fields == {
            b"x-a": b"b", b"transfer-encoding": b"chunked", b"connection": b"close"
        }  # fmt: skip
        assert await link.is_ended()


@pytest.mark.parametrize("request_bytes", [_GET, _OLD])
async def test_a_body_without_a_length_is_chunked_or_ends_with_the_connection(
    request_bytes: bytes,
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start())
        for piece in (b"one", b"", b"two"):
            await send(_body(piece, more=True))
        await send(_body(b""))

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(request_bytes)
        _, fields, body = await link.response()
        assert body == b"onetwo"
        assert (b"transfer-encoding" in fields) == (request_bytes is _GET)
        assert (fields.get(b"connection") == b"close") == (request_bytes is _OLD)


async def test_head_and_204_have_no_body() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await respond(send, b"hello")
        else:
            await send(_start(status=204))
            await send(_body(b""))

    head = b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        for _ in range(2):
            await link.send(head)
            assert (await link.response(bodiless=True))[:2] == (200, {b"content-length": b"5"})
            await link.send(_GET)
            assert await link.response() == (204, {}, b"")


async def test_interim_responses_go_out_before_the_final_one_but_not_to_http_1_0() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.interim", "status": 103, "headers": [(b"link", b"x")]})
        await respond(send)

    async with listening(app) as listener:
        async with connected(listener.port) as link:
            await link.send(_GET)
            assert await link.response() == (103, {b"link": b"x"}, b"")
            assert (await link.response())[0] == 200
        async with connected(listener.port) as link:
            await link.send(_OLD)
            assert (await link.response())[0] == 200


# Expect, and bodies that nobody reads.


async def test_100_is_sent_when_the_app_wants_the_body() -> None:
    app = Recorder()
    async with listening(app) as listener, connected(listener.port) as link:
        for _ in range(2):
            await link.send(_EXPECT)
            assert await link.response() == (100, {}, b"")
            await link.send(b"hello")
            assert (await link.response())[2] == b"hello"


async def test_without_100_the_final_response_ends_the_connection() -> None:
    async with listening(_ok) as listener, connected(listener.port) as link:
        await link.send(_EXPECT)
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (200, b"close")
        assert await link.is_ended()


@pytest.mark.parametrize(
    "request_bytes",
    [
        _EXPECT + b"hello",
        _GET.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        _EXPECT.replace(b"100", b"y100") + b"hello",
        _EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello",
    ],
)
async def test_no_100_where_nobody_waits_for_it(request_bytes: bytes) -> None:
    async with listening(Recorder()) as listener, connected(listener.port) as link:
        await link.send(request_bytes)
        assert (await link.response())[0] == 200


async def test_no_100_where_the_body_has_begun_to_come() -> None:
    app = Recorder()

    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02)
        await app(scope, receive, send)

    async with listening(slowly) as listener, connected(listener.port) as link:
        await link.send(_EXPECT + b"he")
        await settled(lambda: app.started)
        await link.send(b"llo")
        assert await link.response() == (200, {b"content-length": b"5"}, b"hello")


async def test_a_small_body_that_nobody_reads_is_read_past() -> None:
    async with listening(_ok) as listener, connected(listener.port) as link:
        for _ in range(3):
            await link.send(_post(b"", length=50_000))
            assert (await link.response())[2] == b"ok"
            await link.send(b"x" * 50_000)
        await link.send(_GET)
        assert (await link.response())[2] == b"ok"


async def test_a_large_body_that_nobody_reads_ends_the_connection_after_the_response() -> None:
    async with listening(_ok) as listener:
        for _ in range(5):
            async with connected(listener.port) as link:
                link.writer.write(_post(b"x" * 3_000_000))
                assert (await link.response())[2] == b"ok"  # no reset has overtaken it
                assert await link.is_ended()


async def test_a_body_read_past_that_turns_out_malformed_gets_no_second_response() -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with listening(_ok) as listener, connected(listener.port) as link:
        await link.send(head)
        assert (await link.response())[2] == b"ok"
        await link.send(b"-1\r\n\r\n" + _GET)
        assert await link.is_ended()


async def test_a_client_with_a_body_that_never_comes_is_not_kept() -> None:
    async with listening(_ok, _QUICK) as listener, connected(listener.port) as link:
        await link.send(_post(b"", length=100))
        assert (await link.response())[2] == b"ok"
        assert await link.is_ended()
        await settled(lambda: not listener.state.connections)


# Time.


@pytest.mark.parametrize("sent", [b"G", _GET[:-2], b"\r\n" + _GET[:-2]])
async def test_a_head_that_doesn_t_end_is_answered_408(sent: bytes) -> None:
    async with listening(_ok, _QUICK) as listener, connected(listener.port) as link:
        await link.send(sent)
        assert (await link.response())[0] == 408
        assert await link.is_ended()


async def test_a_byte_now_and_then_doesn_t_prolong_a_head() -> None:
    async with listening(_ok, _QUICK) as listener, connected(listener.port) as link:

        async def trickle() -> None:
            for byte in _GET[:-2] * 10:
                await link.send(bytes((byte,)))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert (await link.response())[0] in (400, 408)
        trickling.cancel()
        await asyncio.wait((trickling,))


async def test_a_head_begun_behind_another_request_has_its_time_too() -> None:
    timeouts = ConnectionTimeouts(head=0.2, idle=30)
    async with listening(_ok, timeouts) as listener, connected(listener.port) as link:
        await link.send(_GET + b"GET")
        assert (await link.response())[0] == 200
        assert (await link.response())[0] == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n", _GET, b"\r\n" + _GET])
async def test_a_connection_without_a_request_is_closed_without_a_word(sent: bytes) -> None:
    async with listening(_ok, _QUICK) as listener, connected(listener.port) as link:
        await link.send(sent)
        if b"GET" in sent:
            assert (await link.response())[0] == 200
        assert await link.is_ended()
        await settled(lambda: not listener.state.connections)


async def test_an_app_may_take_its_time() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(5):
            await asyncio.sleep(0.15)
            await receive()
        await respond(send)

    timeouts = ConnectionTimeouts(body=0.2, window=0.2, buffered=1000)
    async with listening(app, timeouts) as listener, connected(listener.port) as link:
        sending = asyncio.create_task(link.send(_post(b"x" * 1_000_000)))
        assert (await link.response())[0] == 200
        sending.cancel()
        await asyncio.wait((sending,))


async def test_a_client_that_is_made_to_wait_is_not_slow() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await receive()
        await receive()
        await respond(send)

    timeouts = ConnectionTimeouts(body=0.2, window=0.2, buffered=10)
    async with listening(app, timeouts) as listener, connected(listener.port) as link:
        await link.send(_post(b"x" * 50, length=60))
        await asyncio.sleep(0.55)
        await link.send(b"x" * 10)
        assert (await link.response())[0] == 200


async def test_a_client_that_takes_its_response_too_slowly_is_cut_off() -> None:
    cancelled = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start())
        try:
            while True:
                await send(_body(b"x" * 65536, more=True))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with listening(app, _QUICK) as listener, connected(listener.port, buffer=4096) as link:
        await link.send(_GET)
        link.stop_reading()
        await settled(cancelled.is_set)
        await settled(lambda: not listener.state.connections)


@pytest.mark.parametrize("request_bytes", [_GET, _OLD], ids=["kept", "closed"])
async def test_the_rest_of_a_response_that_nobody_takes_is_given_up(request_bytes: bytes) -> None:
    """All of it was written, less than the app would have to wait for: still it must end."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, b"x" * 3_000_000)

    async with listening(app, _QUICK) as listener:
        for _ in range(3):
            async with connected(listener.port, buffer=4096) as link:
                link.stop_reading()
                await link.send(request_bytes)
                await settled(lambda: listener.state.connections)
                await settled(lambda: not listener.state.connections)


async def test_the_rest_of_a_response_is_given_up_for_a_client_that_left_but_stays() -> None:
    """It has ended its side, and reads nothing: closing waits for it, but not for ever."""
    answering, ended = asyncio.Event(), []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        answering.set()  # who waits for it has a turn when all is written
        try:
            await respond(send, b"x" * 20_000_000)
        except asyncio.CancelledError:
            ended.append("given up")
            raise

    timeouts = ConnectionTimeouts(send=0.2)
    async with (
        listening(app, timeouts, Unhurried) as listener,
        connected(listener.port, buffer=4096) as link,
    ):
        link.stop_reading()
        await link.send(_GET)
        await answering.wait()
        link.end()
        await settled(lambda: not listener.state.connections)
    assert ended == ["given up"]


async def test_a_slow_client_still_gets_all_of_a_response_that_ends_the_connection() -> None:
    size = 6_000_000

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start())
        await send(_body(b"x" * size))

    timeouts = ConnectionTimeouts(send=0.3, linger=0.1)
    async with (
        listening(app, timeouts, Unhurried) as listener,
        connected(listener.port, buffer=65536) as link,
    ):
        await link.send(_OLD)
        await link.head()
        got = 0
        while piece := await link.reader.read(120_000):
            got += len(piece)
            await asyncio.sleep(0.01)
        assert got == size


# Clients that leave, apps that fail.


@pytest.mark.parametrize("way", ["closes", "resets", "ends its side"])
async def test_a_client_that_leaves_cancels_the_app(way: str) -> None:
    cancelled, cleaned = asyncio.Event(), asyncio.Event()
    started = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.sleep(0.01)  # its own clean-up isn't cancelled again
            cleaned.set()
            raise

    with unchanged_tasks():
        async with listening(app) as listener:
            async with connected(listener.port) as link:
                await link.send(_GET)
                await started.wait()
                {"closes": link.close, "resets": link.reset, "ends its side": link.end}[way]()
                await settled(cancelled.is_set)
            await settled(lambda: not listener.state.connections)
            await settled(lambda: not listener.state.tasks)
    assert cleaned.is_set()


async def test_a_part_of_a_response_never_looks_whole_to_who_ended_its_side_and_reads_on() -> None:
    """Where no length was told, and no chunks are, the connection's end is the response's."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start())
        await send(_body(b"part", more=True))
        await asyncio.Event().wait()

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_OLD)
        await link.head()
        assert await link.exactly(4) == b"part"
        link.end()
        with pytest.raises(ConnectionResetError):
            await link.rest()


async def test_an_app_that_waits_for_the_client_to_leave_hears_of_the_end_of_its_response() -> None:
    heard = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        watching = asyncio.create_task(_listen(receive))
        await asyncio.sleep(0)
        await respond(send)
        heard.append((await watching)["type"])

    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_GET)
        await link.response()
        await settled(lambda: heard == ["http.disconnect"])
        await link.send(_GET)
        assert (await link.response())[0] == 200


async def _listen(receive: Receive) -> Message:
    return await receive()


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


async def _raising(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ZeroDivisionError


async def _bad_length(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start((b"content-length", b"-1")))
    await send(_body(b"x"))


async def _two_lengths(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start((b"content-length", b"1"), (b"content-length", b"1")))
    await send(_body(b"x"))


async def _line_break(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start((b"location", b"/\r\nSet-Cookie: evil=1")))
    await send(_body(b"x"))


@pytest.mark.parametrize("app", [_nothing, _raising, _bad_length, _two_lengths, _line_break])
async def test_an_app_that_fails_before_its_response_is_a_500(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(_GET)
        status, fields, body = await link.response()
        assert (status, json.loads(body)["code"]) == (500, "internal")
        assert fields[b"connection"] == b"close"
        assert await link.is_ended()


async def _too_little(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start((b"content-length", b"5")))
    await send(_body(b"hell"))


async def _too_much(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start((b"content-length", b"5")))
    await send(_body(b"hell", more=True))
    await send(_body(b"o, and more"))


async def _breaking_off(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start())
    await send(_body(b"hell", more=True))
    await asyncio.sleep(0.02)
    raise ZeroDivisionError


async def _no_end(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start())
    await send(_body(b"hell", more=True))


async def _no_body(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(_start())


@pytest.mark.parametrize("request_bytes", [_GET, _OLD], ids=["1.1", "1.0"])
@pytest.mark.parametrize("app", [_too_little, _too_much, _breaking_off, _no_end, _no_body])
async def test_an_app_that_fails_in_its_response_breaks_it_visibly(
    app: App, request_bytes: bytes
) -> None:
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(request_bytes)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await link.response()


async def test_a_slow_client_makes_the_app_wait() -> None:
    sent = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(_start((b"content-length", b"%d" % _BIG)))
        while sent < _BIG:
            sent += 65536
            await send(_body(b"x" * 65536, more=sent < _BIG))

    async with listening(app) as listener, connected(listener.port, buffer=65536) as link:
        await link.send(_GET)
        await link.head()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 12 * 1024 * 1024
        await link.exactly(_BIG)


async def test_a_slow_app_makes_the_client_wait() -> None:
    go_on = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        size = 0
        while (message := await receive())["more_body"]:
            size += len(message["body"])
        await respond(send, b"%d" % (size + len(message["body"])))

    async with listening(app) as listener, connected(listener.port) as link:
        sent = 0

        async def upload() -> None:
            nonlocal sent
            await link.send(_post(b"", length=_BIG))
            while sent < _BIG:
                await link.send(b"x" * 65536)
                sent += 65536

        uploading = asyncio.create_task(upload())
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 12 * 1024 * 1024
        go_on.set()
        assert (await link.response())[2] == b"%d" % _BIG
        await uploading


async def test_a_flood_of_tiny_chunks_comes_in_few_pieces() -> None:
    pieces = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        await respond(send)

    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(head + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        assert (await link.response())[0] == 200
    assert b"".join(pieces) == b"x" * 100_000
    assert len(pieces) < 5000


# The end.


async def test_shutting_down_lets_requests_finish() -> None:
    go_on, started = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        started.set()
        await go_on.wait()
        await respond(send)

    config = config_for(app)
    config.http_protocol_class = protocol_with(ConnectionTimeouts())  # type: ignore[assignment]
    server = uvicorn.Server(config)
    sock = socket.create_server((LOOPBACK, 0))
    port = sock.getsockname()[1]
    with unchanged_tasks():
        serving = asyncio.create_task(server._serve([sock]))
        await settled(lambda: server.started)
        async with connected(port) as idle, connected(port) as link, connected(port) as half:
            await idle.send(_GET[:5])
            await half.send(_post(b"", length=10))
            await link.send(_GET)
            await started.wait()
            server.should_exit = True
            await settled(lambda: not server.servers[0].is_serving())
            await idle.send(_GET[5:])
            go_on.set()
            assert (await idle.response())[2] == b"ok"
            status, fields, body = await link.response()
            assert (status, fields[b"connection"], body) == (200, b"close", b"ok")
            assert await link.is_ended()
            assert (await half.response())[2] == b"ok"
        await serving


async def test_shutting_down_has_an_end_where_a_request_has_none() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    config = config_for(app)
    config.timeout_graceful_shutdown = 0
    config.http_protocol_class = protocol_with(ConnectionTimeouts())  # type: ignore[assignment]
    server = uvicorn.Server(config)
    sock = socket.create_server((LOOPBACK, 0))
    serving = asyncio.create_task(server._serve([sock]))
    await settled(lambda: server.started)
    async with connected(sock.getsockname()[1]) as link:
        await link.send(_GET)
        await settled(lambda: server.server_state.tasks)
        server.should_exit = True
        with pytest.raises(ConnectionError):
            await link.rest()
    await serving


async def test_a_client_that_leaves_while_nobody_reads_from_it_cancels_the_app() -> None:
    cancelled = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    piece = b"x" * 65536
    with unchanged_tasks():
        async with listening(app) as listener:
            async with connected(listener.port) as link:
                await link.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        while True:
                            await link.send(piece)
                link.reset()
                await settled(cancelled.is_set)
            await settled(lambda: not listener.state.connections)
