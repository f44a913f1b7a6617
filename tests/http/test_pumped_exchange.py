"""Callbacks on top of engines that are awaited: an app in this process, httpx, a forged one."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from proxy.cli.http_client import HttpxUpstream, unverified_tls
from proxy.core.http.headers import Field
from proxy.core.http.origin import Origin
from proxy.http.in_process.engine import AsgiUpstream
from proxy.http.pumped_exchange import PumpedExchange
from proxy.http.upstream import (
    BytesBody,
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)
from tests.http.client.receivers import Recorder, finish
from tests.http.ends import Link, scripted, settled, tasks

_TO = Destination(Origin("http", "app.example", 80))
_CHUNKED = (b"transfer-encoding", b"chunked")


def _ask(
    to: Destination, *fields: Field, body: bytes | None = None, streams: bool = False
) -> UpstreamRequest:
    own = None if body is None else BytesBody(body)
    method = b"POST" if streams or own else b"GET"
    return UpstreamRequest(to, method, b"/", ((b"host", b"a"), *fields), own, streams=streams)


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, piece by piece."""
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


class Response:
    """A response of the forged engine."""

    def __init__(self, status: int, pieces: AsyncIterator[bytes]) -> None:
        self.status = status
        self.fields = ((b"x", b"y"),)
        self._pieces = pieces
        self.written: list[bytes] = []

    def pieces(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if data == b"bad":
            raise UpstreamFailed("it broke", timeout=True)
        self.written.append(data)

    def write_end(self) -> None:
        self.written.append(b"END")


def _begin(
    recorder: Recorder, response: Response | Exception, request: UpstreamRequest
) -> list[str]:
    """Begin an exchange with an engine that gives ``response``; returns what became of that."""
    became: list[str] = []

    @asynccontextmanager
    async def send(request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        if request.on_interim is not None:
            await request.on_interim(103, [])
        if isinstance(response, Exception):
            raise response
        try:
            yield response
        finally:
            await asyncio.sleep(0)
            became.append("left")

    recorder.exchange = PumpedExchange(send, request, recorder)
    assert recorder.told == []
    return became


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_an_app_in_this_process_is_called_back() -> None:
    engine = AsgiUpstream(_echo)
    sent = [b"one", b"two"]

    def go_on(one: Recorder) -> None:
        assert not one.exchange.is_blocked
        one.exchange.send(sent.pop(0), ends=len(sent) == 0)

    recorder = Recorder(resume=go_on)
    exchange = recorder.begin(engine, _ask(_TO, _CHUNKED, streams=True))
    assert exchange.is_blocked
    await recorder.over()
    assert recorder.content == b"onetwo"
    assert recorder.names.count("resume") == 2
    exchange.finish()
    assert engine.known_minor_version(_ask(_TO)) == 1
    await engine.close()


async def test_an_app_that_asks_for_its_body_invites_it() -> None:
    engine = AsgiUpstream(_echo)
    recorder = Recorder(invited=lambda one: one.exchange.send(b"body", ends=True))
    recorder.begin(engine, _ask(_TO, _CHUNKED, (b"expect", b"100-continue"), streams=True))
    await recorder.over()
    assert recorder.content == b"body"
    recorder.exchange.finish()
    await engine.close()


@pytest.mark.parametrize(
    ("length", "piece", "ends"), [(b"3", b"four", True), (b"3", b"2", True), (b"3", b"four", False)]
)
async def test_a_body_that_isn_t_what_was_announced_fails(
    length: bytes, piece: bytes, *, ends: bool
) -> None:
    engine = AsgiUpstream(_echo)
    recorder = Recorder(resume=lambda one: one.exchange.send(piece, ends=ends))
    recorder.begin(engine, _ask(_TO, (b"content-length", length), streams=True))
    await recorder.over()
    assert not recorder.has_ended
    recorder.exchange.finish()
    await engine.close()


async def test_more_than_was_said_to_be_all_fails() -> None:
    recorder = Recorder()
    _begin(recorder, Response(200, _pieces()), _ask(_TO))
    recorder.exchange.send(b"x")
    await recorder.over()
    assert recorder.names[-1] == "failed"
    assert "longer than it said" in recorder.failure.detail


@pytest.mark.more
async def test_httpx_is_called_back() -> None:
    async def script(link: Link) -> None:
        while await link.head():
            await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    engine: Upstream = HttpxUpstream(unverified_tls())
    async with scripted(script) as server:
        for _ in range(2):
            recorder = Recorder(content=lambda one: one.exchange.finish() if one.has_ended else 0)
            recorder.begin(engine, _ask(server.to))
            await recorder.over()
            assert recorder.content == b"ok"
            await asyncio.sleep(0.02)
        assert server.connections == 1
    await engine.close()


async def test_all_is_told_in_order_and_the_engine_left_before_the_end() -> None:
    recorder = Recorder()

    def note(one: Recorder) -> None:
        if one.has_ended:
            one.told.append(tuple(became))

    recorder.acts["content"] = note
    became = _begin(recorder, Response(200, _pieces(b"a", b"b")), _ask(_TO))
    await recorder.over()
    assert recorder.told == [
        ("interim", 103, ()),
        ("head", 200, ((b"x", b"y"),)),
        ("content", b"a", False),
        ("content", b"b", False),
        ("content", b"", True),
        ("left",),
    ]


@pytest.mark.parametrize("point", ["interim", "head", "content"])
async def test_who_is_paused_is_told_nothing_and_the_engine_isn_t_asked(point: str) -> None:
    asked: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"%d" % number

    recorder = Recorder(**{point: lambda one: one.exchange.pause()})
    _begin(recorder, Response(200, pieces()), _ask(_TO))
    for told in range(1, 8):
        await settled(lambda told=told: len(recorder.told) >= told)  # type: ignore[misc]
        if recorder.has_ended:
            break
        await asyncio.sleep(0.01)
        assert len(asked) <= recorder.names.count("content") + 1
        before = list(recorder.told)
        recorder.exchange.resume()
        assert recorder.told == before
    assert recorder.content == b"012"


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    ("error", "is_late"),
    [(UpstreamFailed("late", timeout=True, sent=False), True), (ZeroDivisionError(), False)],
)
async def test_a_failure_is_told_once(error: Exception, *, is_late: bool, is_paused: bool) -> None:
    pausing = {"interim": lambda one: one.exchange.pause()} if is_paused else {}
    recorder = Recorder(**pausing)
    _begin(recorder, error, _ask(_TO))
    if is_paused:
        await asyncio.sleep(0.01)
        assert recorder.names == ["interim"]
        recorder.exchange.resume()
    await recorder.over()
    assert recorder.names == ["interim", "failed"]
    assert recorder.failure.timeout is is_late
    recorder.exchange.finish()


@pytest.mark.parametrize("point", ["at once", "later", "interim", "head", "content"])
async def test_after_finish_nothing_is_told_and_the_engine_is_left(point: str) -> None:
    before = tasks()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    recorder = Recorder(**{point: finish})
    became = _begin(recorder, Response(200, pieces()), _ask(_TO, _CHUNKED, streams=True))
    if point == "later":
        await recorder.heard("content")
    if point in ("at once", "later"):
        recorder.exchange.finish()
    await settled(lambda: tasks() <= before)
    told = {"at once": [], "interim": ["interim"], "head": ["interim", "head"]}
    assert recorder.names == told.get(point, ["interim", "head", "content"])
    assert became == ([] if point in ("at once", "interim") else ["left"])
    recorder.exchange.finish()
    recorder.exchange.send(b"x")


async def test_a_raw_stream_is_written_while_it_is_read() -> None:
    theirs = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"hello"
        await theirs.wait()

    response = Response(101, pieces())
    recorder = Recorder()
    became = _begin(recorder, response, _ask(_TO))
    await recorder.heard("content")
    recorder.exchange.send(b"one")
    assert recorder.names[-1] == "pause"
    await settled(lambda: not recorder.exchange.is_blocked)
    theirs.set()
    await recorder.over()
    recorder.exchange.send(b"two")
    recorder.exchange.send(b"", ends=True)
    await settled(lambda: response.written == [b"one", b"two", b"END"])
    assert became == []
    recorder.exchange.finish()
    await settled(lambda: became)


async def test_a_raw_stream_that_can_t_be_written_has_failed() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    recorder = Recorder(head=lambda one: one.exchange.send(b"bad"))
    _begin(recorder, Response(101, pieces()), _ask(_TO))
    await recorder.over()
    assert recorder.failure.detail == "it broke"


@pytest.mark.parametrize("make", [lambda: Response(200, _pieces(b"a")), lambda: UpstreamFailed("")])
async def test_nothing_is_left_of_a_finished_exchange(
    make: Callable[[], Response | Exception],
) -> None:
    gc.collect()
    gc.disable()
    try:
        recorder = Recorder()
        _begin(recorder, make(), _ask(_TO))
        ref = weakref.ref(recorder.exchange)
        await recorder.over()
        recorder.exchange.finish()
        del recorder.exchange
        del recorder
        await asyncio.sleep(0.01)
        assert ref() is None
    finally:
        gc.enable()
