"""What every engine (``Upstream``) must do, against a server that follows a script."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.core.http.headers import Field
from proxy.core.http.origin import Origin
from proxy.http.client.engine import Http1Upstream
from proxy.http.client.pool import REST
from proxy.http.read_buffer import LARGEST
from proxy.http.upstream import (
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamTimeouts,
)
from tests.http.ends import LOOPBACK, Link, Script, scripted, settled
from tests.patience import PATIENCE, soon

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_CHUNKED = (b"transfer-encoding", b"chunked")
_SOON = UpstreamTimeouts(5.0, 5.0, 5.0)
_SHORT = UpstreamTimeouts(0.15, 0.15, 0.15)
_BIG = 64 * 1024 * 1024


def _ask(
    to: Destination,
    *fields: Field,
    method: bytes = b"GET",
    target: bytes = b"/",
    body: AsyncIterator[bytes] | None = None,
    timeouts: UpstreamTimeouts = _SOON,
    **more: Any,
) -> UpstreamRequest:
    head = ((b"host", b"app.example"), *fields)
    return UpstreamRequest(to, method, target, head, body, timeouts, **more)


async def _fetch(engine: Upstream, request: UpstreamRequest) -> tuple[int, bytes]:
    async with engine.send(request) as response:
        return response.status, b"".join([piece async for piece in response.pieces()])


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _ok(link: Link) -> None:
    while True:
        await link.head()
        await link.send(_OK)


def _once(*pieces: bytes) -> Script:
    """Answer one request with these pieces, then close."""

    async def script(link: Link) -> None:
        await link.head()
        for piece in pieces:
            await link.send(piece)

    return script


# What goes out and comes back.


async def test_target_and_fields_go_out_byte_for_byte_and_in_order(engine: Upstream) -> None:
    heads = []

    async def script(link: Link) -> None:
        heads.append(await link.head())
        await link.send(_OK)

    fields = ((b"X-B", b"2"), (b"x-a", b"1"), (b"X-B", b"\xe9  ,"), (b"empty", b""))
    async with scripted(script) as server:
        request = _ask(server.to, *fields, method=b"PrOpFiNd", target=b"/a/../b//%2e?x=%zz&?|")
        assert await _fetch(engine, request) == (200, b"ok")
    (head,) = heads
    assert head == (
        b"PrOpFiNd /a/../b//%2e?x=%zz&?| HTTP/1.1\r\nhost: app.example\r\n"
        b"X-B: 2\r\nx-a: 1\r\nX-B: \xe9  ,\r\nempty: \r\n\r\n"
    )


async def test_fields_come_back_in_order_with_repetition(engine: Upstream) -> None:
    answered = (
        b"HTTP/1.1 299 \r\nSet-Cookie: a\r\nX-A:b  \t\r\nset-cookie: \xff, b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with scripted(_once(answered)) as server, engine.send(_ask(server.to)) as response:
        assert response.status == 299
        assert response.fields == (
            (b"set-cookie", b"a"),
            (b"x-a", b"b"),
            (b"set-cookie", b"\xff, b"),
            (b"content-length", b"0"),
        )


async def test_content_is_never_decoded(engine: Upstream) -> None:
    answered = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    )
    async with scripted(_once(answered)) as server:
        assert await _fetch(engine, _ask(server.to)) == (200, b"\x1f\x8b\x08\x00")


async def test_a_redirect_is_a_response_like_any_other(engine: Upstream) -> None:
    answered = b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n"
    async with scripted(_once(answered)) as server:
        assert await _fetch(engine, _ask(server.to)) == (302, b"")
        assert server.connections == 1


@pytest.mark.parametrize("length", [True, False])
async def test_a_body_goes_out_in_its_framing(engine: Upstream, length: bool) -> None:  # noqa: FBT001
    bodies = []

    async def script(link: Link) -> None:
        await link.head()
        bodies.append(await (link.exactly(10) if length else link.until(b"0\r\n\r\n")))
        await link.send(_OK)

    framing = (b"content-length", b"10") if length else _CHUNKED
    async with scripted(script) as server:
        body = _pieces(b"hello", b"", b"world")
        await _fetch(engine, _ask(server.to, framing, method=b"POST", body=body))
    assert bodies == [b"helloworld" if length else b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"]


async def test_trailers_are_dropped(engine: Upstream) -> None:
    answered = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: forged\r\n\r\n"
    )
    async with scripted(_once(answered)) as server, engine.send(_ask(server.to)) as response:
        assert [piece async for piece in response.pieces()] == [b"ok"]
        assert response.fields == ((b"transfer-encoding", b"chunked"),)


async def test_interim_responses_are_passed_on_but_for_100(engine: Upstream) -> None:
    interims = []

    async def note(status: int, fields: list[Field]) -> None:
        interims.append((status, fields))

    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answered = b"HTTP/1.1 100 Continue\r\n\r\n" + hints + b"HTTP/1.1 102 \r\n\r\n"
    async with scripted(_once(answered, _OK)) as server:
        assert await _fetch(engine, _ask(server.to, on_interim=note)) == (200, b"ok")
    assert interims == [(103, [(b"link", b"</a>")]), (102, [])]


async def test_an_endless_row_of_interim_responses_is_not_piled_up(http1: Http1Upstream) -> None:
    sent = 0

    async def script(link: Link) -> None:
        nonlocal sent
        await link.head()
        while True:
            await link.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
            sent += 28 * 1000

    async def slowly(*_: object) -> None:
        await asyncio.Event().wait()

    async with scripted(script) as server:
        fetching = asyncio.create_task(_fetch(http1, _ask(server.to, on_interim=slowly)))
        samples = [0]
        async with asyncio.timeout(PATIENCE):
            while not samples[0] or len(set(samples[-5:])) > 1:
                samples.append(sent)
                samples = samples[-5:]
                await asyncio.sleep(0.15)
        fetching.cancel()
        await asyncio.wait((fetching,))


# Both ways at once.


async def test_the_response_may_begin_before_the_request_ends(engine: Upstream) -> None:
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        yield b"two"

    async def script(link: Link) -> None:
        await link.head()
        assert await link.until(b"one\r\n") == b"3\r\none\r\n"
        await link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
        await link.until(b"0\r\n\r\n")
        await link.send(b"3\r\nTWO\r\n0\r\n\r\n")

    async with scripted(script) as server, asyncio.timeout(soon(2)):
        request = _ask(server.to, _CHUNKED, method=b"POST", body=body())
        async with engine.send(request) as response:
            pieces = response.pieces()
            assert await anext(pieces) == b"ONE"
            answered.set()
            assert [piece async for piece in pieces] == [b"TWO"]


async def test_the_response_may_end_without_the_request_s_body(engine: Upstream) -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with scripted(_ok) as server, asyncio.timeout(soon(2)):
        request = _ask(server.to, _CHUNKED, method=b"POST", body=body())
        assert await _fetch(engine, request) == (200, b"ok")
        assert closed.is_set()
        await settled(lambda: server.broken)  # the connection was given up


async def test_an_upload_that_is_refused_early_gets_its_response(engine: Upstream) -> None:
    """The server answers, closes with most of the upload unread, and so resets the connection."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b"x" * 65536

    answered = (
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch"
    )
    for _ in range(10):
        async with scripted(_once(answered)) as server:
            request = _ask(server.to, _CHUNKED, method=b"POST", body=body())
            assert await _fetch(engine, request) == (413, b"much")


async def test_a_response_that_came_before_a_reset_is_read_though_our_write_fails(
    http1: Http1Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop stands still until both are there, so that the next write meets the reset first."""
    answered = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch"
    reset = threading.Event()

    def serve() -> None:
        accepted, _ = listener.accept()
        accepted.recv(65536)
        accepted.sendall(answered)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        reset.set()

    async def body() -> AsyncIterator[bytes]:
        reset.wait(PATIENCE)
        for _ in range(1000):
            yield b"x" * 65536

    with socket.create_server((LOOPBACK, 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        to = Destination(Origin("http", "app.example", 80), connect=listener.getsockname())
        request = _ask(to, _CHUNKED, method=b"POST", body=body())
        assert await _fetch(http1, request) == (413, b"much")
        serving.join()
    assert not caplog.records


async def test_a_long_upload_is_not_a_slow_response(engine: Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.1)
            yield b"x"

    async def script(link: Link) -> None:
        await link.head()
        await link.until(b"0\r\n\r\n")
        await link.send(_OK)

    timeouts = UpstreamTimeouts(5, 0.3, 5)
    async with scripted(script) as server:
        request = _ask(server.to, _CHUNKED, method=b"POST", body=body(), timeouts=timeouts)
        assert await _fetch(engine, request) == (200, b"ok")


# Backpressure.


async def test_a_slow_reader_makes_the_server_wait(engine: Upstream) -> None:
    sent = 0

    async def script(link: Link) -> None:
        nonlocal sent
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _BIG)
        while sent < _BIG:
            await link.send(b"x" * 65536)
            sent += 65536

    async with scripted(script) as server, engine.send(_ask(server.to)) as response:
        pieces = response.pieces()
        got = len(await anext(pieces))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 16 * 1024 * 1024 + 2 * LARGEST  # the sockets' own buffers, and ours
        async for piece in pieces:
            got += len(piece)
        assert got == sent == _BIG


async def test_a_slow_server_stops_the_request_s_body(engine: Upstream) -> None:
    taken, go_on = 0, asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(_BIG // 65536):
            taken += 65536
            yield b"x" * 65536

    async def script(link: Link) -> None:
        await link.head()
        await go_on.wait()
        await link.exactly(_BIG)
        await link.send(_OK)

    async with scripted(script) as server:
        length = (b"content-length", b"%d" % _BIG)
        request = _ask(server.to, length, method=b"POST", body=body())
        fetching = asyncio.create_task(_fetch(engine, request))
        before = -1
        while before != taken or not taken:
            before = taken
            await asyncio.sleep(0.1)
        assert taken < 16 * 1024 * 1024
        go_on.set()
        assert await fetching == (200, b"ok")
        assert taken == _BIG


# Connections.


async def test_a_connection_is_used_again(engine: Upstream) -> None:
    async with scripted(_ok) as server:
        for _ in range(5):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        assert server.connections == 1


async def test_a_connection_is_used_again_after_a_response_without_a_body(engine: Upstream) -> None:
    async def script(link: Link) -> None:
        while head := await link.head():
            if head.startswith(b"HEAD"):
                await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            else:
                await link.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with scripted(script) as server:
        for method in (b"HEAD", b"DELETE", b"HEAD"):
            async with engine.send(_ask(server.to, method=method)):
                pass  # nothing is read, since there is nothing
            await asyncio.sleep(1.5 * REST)
        assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_a_connection_that_the_server_ends_is_not_used_again(
    engine: Upstream, head: bytes
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(head + b"ok")
        await link.rest()

    async with scripted(script) as server:
        for _ in range(2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        assert server.connections == 2


async def test_a_connection_of_http_1_0_is_kept_where_the_server_says_so(engine: Upstream) -> None:
    async def script(link: Link) -> None:
        while await link.head():
            await link.send(
                b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
            )

    async with scripted(script) as server:
        for _ in range(2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        assert server.connections == 1


@pytest.mark.parametrize("way", ["closes", "resets", "speaks"])
async def test_a_connection_that_went_stale_while_idle_is_not_used(
    engine: Upstream, way: str
) -> None:
    go_on = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(_OK)
        await go_on.wait()
        go_on.clear()
        if way == "resets":
            link.reset()
        elif way == "speaks":
            await link.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            await link.rest()

    async with scripted(script) as server:
        for _ in range(2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
            go_on.set()
            await asyncio.sleep(0.02)
        assert server.connections == 2


async def test_a_connection_closed_right_behind_the_response_is_not_used(engine: Upstream) -> None:
    async with scripted(_once(_OK)) as server:
        for count in range(1, 31):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
            assert server.connections == count


async def test_a_response_that_wasn_t_read_gives_the_connection_up(engine: Upstream) -> None:
    async with scripted(_ok) as server:
        for count in (1, 2):
            async with engine.send(_ask(server.to)) as response:
                assert response.status == 200
            assert server.connections == count


async def test_nothing_is_ever_sent_twice(engine: Upstream) -> None:
    heads = []

    async def script(link: Link) -> None:
        heads.append(await link.head())
        if len(heads) > 1:
            return  # dies without a response, on a connection that worked before
        await link.send(_OK)
        heads.append(await link.head())

    async with scripted(script) as server:
        await _fetch(engine, _ask(server.to))
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(server.to))
        assert failure.value.sent
        assert len(heads) == 2


async def test_what_nobody_listens_at_was_not_sent(engine: Upstream) -> None:
    async with scripted(_ok) as server:
        pass
    with pytest.raises(UpstreamFailed) as failure:
        await _fetch(engine, _ask(server.to))
    assert not failure.value.sent
    assert not failure.value.timeout


async def test_a_body_until_the_end_of_the_stream_is_whole(engine: Upstream) -> None:
    answered = (b"HTTP/1.1 200 OK\r\n\r\n", b"hel", b"lo")
    async with scripted(_once(*answered)) as server:
        for count in (1, 2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"hello")
            assert server.connections == count


async def test_a_body_until_the_end_of_the_stream_that_is_reset_fails(engine: Upstream) -> None:
    begun = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await begun.wait()
        link.reset()

    async with scripted(script) as server, engine.send(_ask(server.to)) as response:
        pieces = response.pieces()
        assert await anext(pieces) == b"hel"
        begun.set()
        with pytest.raises(UpstreamFailed):
            await anext(pieces)


async def test_connections_over_a_unix_socket(engine: Upstream, tmp_path: Path) -> None:
    async with scripted(_ok, unix=str(tmp_path / "app.sock")) as server:
        for _ in range(2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        assert server.connections == 1


# Upgrades.


async def test_an_upgrade_makes_a_raw_stream(engine: Upstream) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello")
        while data := await link.reader.read(100):
            await link.send(data.upper())

    fields = ((b"connection", b"upgrade"), (b"upgrade", b"echo"))
    async with scripted(script) as server, engine.send(_ask(server.to, *fields)) as response:
        assert response.status == 101
        pieces = response.pieces()
        assert await anext(pieces) == b"hello"
        for data in (b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"abc"):
            await response.write(data)
            assert await anext(pieces) == data.upper()


async def test_an_upgrade_in_the_middle_of_the_request_fails(http1: Http1Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    fields = (_CHUNKED, (b"connection", b"upgrade"), (b"upgrade", b"x"))
    answered = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    async with scripted(_once(answered)) as server:
        with pytest.raises(UpstreamFailed):
            await _fetch(http1, _ask(server.to, *fields, method=b"POST", body=body()))


async def test_a_raw_stream_ends_with_its_server_s_end(http1: Http1Upstream) -> None:
    fields = ((b"connection", b"upgrade"), (b"upgrade", b"x"))
    answered = b"HTTP/1.1 101 Switching Protocols\r\n\r\nbye"
    async with scripted(_once(answered)) as server:
        assert await _fetch(http1, _ask(server.to, *fields)) == (101, b"bye")


async def test_nothing_can_be_written_but_on_a_raw_stream(http1: Http1Upstream) -> None:
    async with scripted(_ok) as server:
        async with http1.send(_ask(server.to)) as response:
            with pytest.raises(UpstreamFailed):
                await response.write(b"GET /smuggled HTTP/1.1\r\n\r\n")
            pieces = response.pieces()
            assert await anext(pieces) == b"ok"
            assert [piece async for piece in pieces] == []
        # The connection may be another request's by now.
        async with http1.send(_ask(server.to)) as second:
            with pytest.raises(UpstreamFailed):
                await response.write(b"GET /smuggled HTTP/1.1\r\n\r\n")
            assert [piece async for piece in response.pieces()] == []
            assert [piece async for piece in second.pieces()] == [b"ok"]
        assert server.connections == 1


# Bodies that aren't what they say.


@pytest.mark.parametrize("pieces", [(b"hell",), (b"hello!",), (b"hello", b"!"), ()])
async def test_a_body_that_is_not_its_length_is_not_passed_on(
    engine: Upstream, pieces: Iterable[bytes]
) -> None:
    received = []

    async def script(link: Link) -> None:
        await link.head()
        received.append(await link.rest())

    length = (b"content-length", b"5")
    async with scripted(script) as server:
        body = _pieces(*pieces)
        async with asyncio.timeout(soon(2)):
            with pytest.raises(UpstreamFailed):
                await _fetch(engine, _ask(server.to, length, method=b"POST", body=body))
        await settled(lambda: received or server.broken)
        assert b"!" not in b"".join(received)


async def test_a_body_that_raises_ends_the_exchange_with_it(engine: Upstream) -> None:
    class GoneError(Exception):
        pass

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        raise GoneError

    async def script(link: Link) -> None:
        await link.head()
        assert b"0\r\n" not in await link.rest()

    async with scripted(script) as server:
        with pytest.raises(GoneError):
            await _fetch(engine, _ask(server.to, _CHUNKED, method=b"POST", body=body()))
        assert server.connections == 1


@pytest.mark.parametrize("field", [(b"x-a", b"b\r\nX-C: d"), (b"x-a", b"b\n"), (b"x\0", b"b")])
async def test_a_line_break_in_what_goes_out_is_our_bug(http1: Http1Upstream, field: Field) -> None:
    async with scripted(_ok) as server:
        with pytest.raises(ValueError, match="line break"):
            await _fetch(http1, _ask(server.to, field))


# Time.


async def test_a_server_that_says_nothing_is_given_up(engine: Upstream) -> None:
    async def script(link: Link) -> None:
        await link.rest()

    async with scripted(script) as server:
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(server.to, timeouts=_SHORT))
        assert failure.value.timeout
        assert failure.value.sent
        await settled(server.links[0].reader.at_eof)


@pytest.mark.parametrize("first", [_SOON, _SHORT], ids=["long", "short"])
async def test_each_request_on_a_kept_connection_has_its_own_patience(
    engine: Upstream, first: UpstreamTimeouts
) -> None:
    """One that waited longer or shorter before it neither lengthens nor shortens it."""

    async def script(link: Link) -> None:
        await link.head()
        await link.send(_OK)
        await link.head()
        await asyncio.sleep(0.3)
        await link.send(_OK)

    async with scripted(script) as server:
        assert await _fetch(engine, _ask(server.to, timeouts=first)) == (200, b"ok")
        if first is _SHORT:
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        else:
            with pytest.raises(UpstreamFailed) as failure:
                await _fetch(engine, _ask(server.to, timeouts=_SHORT))
            assert failure.value.timeout
        assert server.connections == 1


async def test_a_server_that_stops_in_its_body_is_given_up(engine: Upstream) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")
        await link.rest()

    async with scripted(script) as server:
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(server.to, timeouts=_SHORT))
        assert failure.value.timeout


async def test_a_server_that_takes_nothing_is_given_up(engine: Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def script(link: Link) -> None:
        link.stop_reading()
        await asyncio.Event().wait()

    async with scripted(script) as server:
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(
                engine,
                _ask(server.to, _CHUNKED, method=b"POST", body=body(), timeouts=_SHORT),
            )
        assert failure.value.timeout


async def test_a_server_that_doesn_t_accept_is_given_up(engine: Upstream) -> None:
    """Nothing answers at this address of a network that is for documents (RFC 5737)."""
    to = Destination(Origin("http", "app.example", 80), connect=("192.0.2.1", 81))
    with pytest.raises(UpstreamFailed) as failure:
        await _fetch(engine, _ask(to, timeouts=_SHORT))
    assert not failure.value.sent


async def test_a_slow_handshake_is_given_up(engine: Upstream) -> None:
    async def script(_link: Link) -> None:
        await asyncio.Event().wait()

    async with scripted(script) as server:
        assert server.to.connect is not None
        to = Destination(Origin("https", "app.example", 443), connect=server.to.connect)
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(to, timeouts=_SHORT))
        assert failure.value.timeout
        assert not failure.value.sent


# TLS.


async def test_tls_verifies_the_name_and_not_the_address(engine: Upstream, serving: Any) -> None:
    async with scripted(_ok, tls=serving) as server:
        for _ in range(2):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
        assert server.connections == 1


async def test_tls_with_another_name_is_refused(engine: Upstream, serving: Any) -> None:
    async with scripted(_ok, tls=serving) as server:
        to = Destination(Origin("https", "other.example", 443), connect=server.to.connect)
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(to))
        assert not failure.value.sent


async def test_tls_that_nobody_vouches_for_is_refused(serving: Any) -> None:
    engine = Http1Upstream()
    async with scripted(_ok, tls=serving) as server:
        with pytest.raises(UpstreamFailed) as failure:
            await _fetch(engine, _ask(server.to))
        assert not failure.value.sent
    await engine.close()


async def test_a_body_until_the_end_is_whole_where_tls_says_so(
    engine: Upstream, serving: Any
) -> None:
    async with scripted(_once(b"HTTP/1.1 200 OK\r\n\r\nhello"), tls=serving) as server:
        assert await _fetch(engine, _ask(server.to)) == (200, b"hello")


async def test_a_body_until_the_end_fails_where_tls_doesn_t_say_so(
    engine: Upstream, serving: Any
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        link.writer.transport.abort()  # the stream ends without a close_notify

    async with scripted(script, tls=serving) as server:
        with pytest.raises(UpstreamFailed):
            await _fetch(engine, _ask(server.to))


async def test_a_tls_connection_that_ended_is_not_used(engine: Upstream, serving: Any) -> None:
    async with scripted(_once(_OK), tls=serving) as server:
        for count in range(1, 6):
            assert await _fetch(engine, _ask(server.to)) == (200, b"ok")
            assert server.connections == count
            await asyncio.sleep(0.01)


async def test_closing_the_engine_closes_its_connections(engine: Upstream) -> None:
    async with scripted(_ok) as server:
        await _fetch(engine, _ask(server.to))
        await engine.close()
        await settled(lambda: server.broken)


async def test_an_exchange_that_outlives_its_engine_leaves_nothing(http1: Http1Upstream) -> None:
    async with scripted(_ok) as server:
        async with http1.send(_ask(server.to)) as response:
            await http1.close()
            assert [piece async for piece in response.pieces()] == [b"ok"]
        await settled(lambda: server.broken, within=2)


async def test_an_address_is_used_instead_of_the_name(engine: Upstream) -> None:
    async with scripted(_ok) as server:
        assert server.to.connect is not None
        to = Destination(Origin("http", "no-such-host.invalid", 1), server.to.connect)
        assert await _fetch(engine, _ask(to)) == (200, b"ok")
        assert server.to.connect[0] == LOOPBACK


async def test_a_server_that_closes_behind_its_responses_isnt_kept_for_a_while(
    http1: Http1Upstream,
) -> None:
    connections = 0

    async def script(link: Link) -> None:
        nonlocal connections
        connections += 1
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(script) as server:
        async with http1.send(_ask(server.to)) as response:
            assert b"".join([piece async for piece in response.pieces()]) == b"ok"
        await asyncio.sleep(0.1)  # the end arrives
        for _ in range(20):
            async with http1.send(_ask(server.to)) as response:
                assert b"".join([piece async for piece in response.pieces()]) == b"ok"
    assert connections == 21


@pytest.mark.parametrize("responses", [b"HTTP/1.1 100 Continue\r\n\r\n", b""])
async def test_a_body_waits_for_its_invitation_but_not_for_ever(
    http1: Http1Upstream, responses: bytes
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"ok"

    async def script(link: Link) -> None:
        head = await link.head()
        assert b"expect: 100-continue" in head
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                pytest.fail(f"it sent {await link.reader.read(100)!r}")
        await link.send(responses)
        assert await link.reader.readexactly(2) == b"ok"
        await link.send(b"HTTP/1.1 204 OK\r\n\r\n")

    fields = ((b"host", b"a"), (b"expect", b"100-continue"), (b"content-length", b"2"))
    async with scripted(script) as server:
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, body())
        async with http1.send(asked) as response:
            assert response.status == 204


async def test_an_uninvited_body_stays_unsent(http1: Http1Upstream) -> None:
    taken = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        taken = True
        yield b"ok"

    async def script(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    fields = ((b"host", b"a"), (b"expect", b"100-continue"), (b"content-length", b"2"))
    async with scripted(script) as server:
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, body())
        async with http1.send(asked) as response:
            assert response.status == 401
    assert not taken
