"""Who may use a connection again that carried a body, and what is done about a surplus response."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from proxy.core.http.headers import Field
from proxy.http.client import pool
from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import (
    ANYBODY,
    NOBODY,
    BytesBody,
    Destination,
    UpstreamFailed,
    UpstreamRequest,
)
from tests.http.ends import Link, scripted, settled
from tests.patience import soon

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _request(
    to: Destination, method: bytes, caller: str, body: bytes | None, *, streams: bool = False
) -> UpstreamRequest:
    fields: tuple[Field, ...] = ((b"host", b"a"),)
    pieces: AsyncIterator[bytes] | None = None
    if body is not None and streams:
        fields, pieces = (*fields, (b"transfer-encoding", b"chunked")), _pieces(body)
    elif body is not None:
        fields, pieces = (*fields, (b"content-length", b"%d" % len(body))), BytesBody(body)
    return UpstreamRequest(to, method, b"/", fields, pieces, caller=caller)


async def _fetch(engine: Http1Upstream, request: UpstreamRequest) -> bytes:
    async with engine.send(request) as response:
        return b"".join([piece async for piece in response.pieces()])


async def _reading(link: Link) -> None:
    """Answer each request once all of it is there, as a server should."""
    while head := await link.head():
        if b"chunked" in head:
            await link.until(b"0\r\n\r\n")
        elif b"content-length: " in head:
            await link.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        await link.send(_OK)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "connections"),
    [
        ((b"POST", "ada", b"{}"), (b"POST", "ada", b"{}"), 1),
        ((b"POST", "ada", b"{}"), (b"GET", "ada", None), 1),
        ((b"PUT", "ada", b"{}"), (b"PATCH", "ada", b"{}"), 1),
        ((b"PROPFIND", "ada", b"{}"), (b"GET", "ada", None), 1),
        ((b"POST", ANYBODY, b"{}"), (b"POST", ANYBODY, b"{}"), 1),
        ((b"GET", "ada", None), (b"GET", "bob", None), 1),
        ((b"GET", NOBODY, None), (b"POST", "ada", b"{}"), 1),
        ((b"GET", NOBODY, None), (b"POST", NOBODY, b"{}"), 1),
        ((b"POST", "ada", b"{}"), (b"POST", "bob", b"{}"), 2),
        ((b"POST", "ada", b"{}"), (b"GET", "bob", None), 2),
        ((b"POST", "ada", b"{}"), (b"GET", NOBODY, None), 2),
        ((b"POST", "ada", b"{}"), (b"GET", ANYBODY, None), 2),
        ((b"POST", NOBODY, b"{}"), (b"GET", NOBODY, None), 2),
        ((b"POST", NOBODY, b"{}"), (b"POST", NOBODY, b"{}"), 2),
        ((b"GET", "ada", b"{}"), (b"GET", "ada", None), 2),
        ((b"DELETE", "ada", b"{}"), (b"GET", "ada", None), 2),
        ((b"OPTIONS", "ada", b"{}"), (b"GET", "ada", None), 2),
        ((b"GET", ANYBODY, b"{}"), (b"GET", ANYBODY, None), 2),
        ((b"BREW", "ada", b"{"), (b"GET", "ada", None), 2),
        # What could be a request isn't followed by anything, not even of its sender's.
        ((b"POST", "ada", b"GET /private HTTP/1.1\r\n\r\n"), (b"GET", "ada", None), 2),
        ((b"POST", "ada", b'{"a": "\r\nGET /private HTTP/1.1"}'), (b"GET", "ada", None), 2),
    ],
)
async def test_a_connection_that_carried_a_body_is_its_sender_s(
    http1: Http1Upstream,
    first: tuple[bytes, str, bytes | None],
    second: tuple[bytes, str, bytes | None],
    connections: int,
    *,
    streams: bool,
) -> None:
    async with scripted(_reading) as server:
        for method, caller, body in (first, second):
            request = _request(server.to, method, caller, body, streams=streams)
            assert await _fetch(http1, request) == b"ok"
        assert server.connections == connections


async def test_a_connection_stays_its_sender_s_behind_requests_without_a_body(
    http1: Http1Upstream,
) -> None:
    async with scripted(_reading) as server:
        for caller, body in (("ada", b"{}"), ("ada", None), ("bob", None), ("ada", None)):
            method = b"GET" if body is None else b"POST"
            await _fetch(http1, _request(server.to, method, caller, body))
        assert server.connections == 2


async def test_as_many_connections_are_kept_as_ran_at_once(
    http1: Http1Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd's next requests, all at once again, need no new ones."""
    monkeypatch.setattr(pool, "IDLE_SECONDS", 600.0)
    crowd = pool.RESERVED_CONNECTIONS + 44
    arrived = 0
    all_arrived = asyncio.Event()

    async def script(link: Link) -> None:
        nonlocal arrived
        while await link.head():
            arrived += 1
            if arrived == crowd:
                all_arrived.set()
            await all_arrived.wait()
            await link.send(_OK)

    async with scripted(script) as server:
        request = _request(server.to, b"GET", "ada", None)
        await asyncio.gather(*(_fetch(http1, request) for _ in range(crowd)))
        arrived = 0
        all_arrived.clear()
        await asyncio.gather(*(_fetch(http1, request) for _ in range(crowd)))
        assert server.connections == crowd


async def test_few_connections_are_kept_for_those_whose_bodies_they_carried(
    http1: Http1Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was used longest ago goes."""
    monkeypatch.setattr(pool, "IDLE_SECONDS", 600.0)
    monkeypatch.setattr(pool, "RESERVED_CONNECTIONS", 2)
    made = []
    async with scripted(_reading) as server:
        for caller in ("ada", "bob", "cyd", "cyd", "ada", "cyd", "bob"):
            await _fetch(http1, _request(server.to, b"POST", caller, b"{}"))
            made.append(server.connections)
    assert made == [1, 2, 3, 3, 4, 4, 5]


async def test_an_answer_that_is_whole_before_the_body_ends_the_connection(
    http1: Http1Upstream,
) -> None:
    """Though the rest of the body went out before anybody had read the answer."""
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await answered.wait()
        await asyncio.sleep(0.02)  # the answer arrives
        yield b"two"

    async def script(link: Link) -> None:
        while await link.head():
            await link.send(_OK)
            answered.set()
            await link.until(b"0\r\n\r\n")

    async with scripted(script) as server:
        fields = ((b"host", b"a"), (b"transfer-encoding", b"chunked"))
        request = UpstreamRequest(server.to, b"POST", b"/", fields, body(), caller=ANYBODY)
        async with http1.send(request) as response:
            await answered.wait()
            await asyncio.sleep(0.05)  # the body goes out
            assert [piece async for piece in response.pieces()] == [b"ok"]
        answered.clear()
        await _fetch(http1, _request(server.to, b"GET", ANYBODY, None))
        assert server.connections == 2


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_a_surplus_response_reaches_nobody_and_is_told(
    pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Destination] = []
    engine = Http1Upstream(on_surplus_response=told.append)

    async def script(link: Link) -> None:
        while head := await link.head():
            await link.send(_OK)
            if b"POST" in head:
                await asyncio.sleep(pause)
                await link.send(_SECOND)

    async with scripted(script) as server:
        with suppress(UpstreamFailed):  # where both come at once, the first can't be believed
            await _fetch(engine, _request(server.to, b"POST", "ada", b"GET /private HTTP/1.1"))
        await settled(lambda: told)
        assert await _fetch(engine, _request(server.to, b"GET", "ada", None)) == b"ok"
        assert server.connections == 2
        assert told == [server.to]
    assert "answered twice" in caplog.text
    await engine.close()


async def test_a_408_behind_a_silence_is_no_surplus_response(
    http1: Http1Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(_OK)
        await asyncio.sleep(0.02)
        await link.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")

    caplog.set_level(logging.WARNING)
    async with scripted(script) as server:
        for _ in range(2):
            assert await _fetch(http1, _request(server.to, b"GET", "ada", None)) == b"ok"
            await asyncio.sleep(0.05)
    assert "answered twice" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "minor"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.0 501 Unsupported\r\n\r\n", 0),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", 0),
        # The server itself refuses the question: nothing is said of what is behind it.
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n", 0),
        (b"garbage\r\n\r\n", 0),
        (b"", 0),
    ],
)
async def test_a_server_is_asked_what_it_speaks(
    http1: Http1Upstream, answer: bytes, minor: int
) -> None:
    heads = []

    async def script(link: Link) -> None:
        heads.append(await link.head())
        await link.send(answer)

    async with scripted(script) as server:
        request = _request(server.to, b"POST", "ada", b"x", streams=True)
        both = (http1.minor_version(request), http1.minor_version(request))
        assert list(await asyncio.gather(*both)) == [minor, minor]
        assert await http1.minor_version(request) == minor
        assert heads == [b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"]


async def test_an_answer_tells_what_its_server_speaks(http1: Http1Upstream) -> None:
    answers = [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]

    async def script(link: Link) -> None:
        assert await link.head() == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
        await link.send(answers.pop())

    async with scripted(script) as server:
        asked = _request(server.to, b"GET", "ada", None)
        for minor in (1, 0):
            await _fetch(http1, asked)
            assert await http1.minor_version(asked) == minor


async def test_a_server_that_doesn_t_say_what_it_speaks_is_waited_for_a_while(
    http1: Http1Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.http.client.engine.ASKING", 0.1)

    async def script(link: Link) -> None:
        await link.rest()

    async with scripted(script) as server, asyncio.timeout(soon(5)):
        request = _request(server.to, b"POST", "ada", b"x", streams=True)
        assert await http1.minor_version(request) == 0


async def test_no_body_waits_for_a_server_that_let_another_wait_in_vain(
    http1: Http1Upstream,
) -> None:
    async def script(link: Link) -> None:
        while await link.head():
            await link.exactly(2)
            await link.send(_OK)

    fields = ((b"host", b"a"), (b"expect", b"100-continue"), (b"content-length", b"2"))
    async with scripted(script) as server:
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, BytesBody(b"ok"))
        await _fetch(http1, asked)
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, BytesBody(b"ok"))
        async with asyncio.timeout(soon(0.7)):
            await _fetch(http1, asked)
