"""An exchange by callbacks over real sockets: what is told, in which order, and how it ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.core.http.headers import Field
from proxy.core.http.origin import Origin
from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import (
    ANYBODY,
    BytesBody,
    Destination,
    UpstreamExchange,
    UpstreamRequest,
    UpstreamTimeouts,
)
from tests.http.client.receivers import Recorder, finish
from tests.http.ends import Link, Script, Server, scripted, settled, tasks
from tests.patience import soon

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
_HEAD = ("head", 200, ((b"content-length", b"2"),))
_CHUNKED = (b"transfer-encoding", b"chunked")
_EXPECT = (b"expect", b"100-continue")
_UPGRADE = ((b"connection", b"upgrade"), (b"upgrade", b"x"))
_SOON = UpstreamTimeouts(5.0, 5.0, 5.0)
_BIG = bytes(64 * 1024)


def _short() -> UpstreamTimeouts:
    """Return a time to read that is over soon, though not before what comes at once is there."""
    return UpstreamTimeouts(5.0, soon(0.3), 5.0)


def _ask(
    to: Destination,
    *fields: Field,
    method: bytes = b"GET",
    body: bytes | None = None,
    streams: bool = False,
    timeouts: UpstreamTimeouts = _SOON,
) -> UpstreamRequest:
    head = ((b"host", b"a"), *fields)
    own = None if body is None else BytesBody(body)
    return UpstreamRequest(to, method, b"/", head, own, timeouts, caller=ANYBODY, streams=streams)


def _answering(*pieces: bytes) -> Script:
    """Answer one request by these pieces, each in a read of its own, then close."""

    async def script(link: Link) -> None:
        await link.head()
        for piece in pieces:
            await link.send(piece)
            await asyncio.sleep(0.002)

    return script


async def _ok(link: Link) -> None:
    while await link.head():
        await link.send(_OK)


# What is told.


async def test_the_first_request_waits_for_a_connection_the_next_goes_out_at_once(
    http1: Http1Upstream,
) -> None:
    async with scripted(_ok) as server:
        for is_first in (True, False):
            recorder = Recorder(content=finish)
            exchange = recorder.begin(http1, _ask(server.to))
            assert exchange.is_blocked is is_first
            assert await recorder.over() == [_HEAD, ("content", b"ok", True)]
        assert server.connections == 1


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (_OK, [_HEAD, ("content", b"ok", True)]),
        (_NO_CONTENT, [("head", 204, ()), ("content", b"", True)]),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + _OK,
            [("interim", 103, ((b"link", b"a"),)), _HEAD, ("content", b"ok", True)],
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            [("head", 200, (_CHUNKED,)), ("content", b"ok", True)],
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\nok",
            [("head", 200, ()), ("content", b"ok", False), ("content", b"", True)],
        ),
    ],
)
async def test_what_comes_in_one_read_is_told_in_one_turn(
    http1: Http1Upstream, response: bytes, told: list[tuple[Any, ...]]
) -> None:
    turns: list[int] = []
    turn = 0

    def count() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(count)

    recorder = Recorder(head=lambda _: turns.append(turn), content=lambda _: turns.append(turn))
    async with scripted(_answering(response)) as server:
        recorder.begin(http1, _ask(server.to))
        count()
        assert await recorder.over() == told
        recorder.exchange.finish()
    assert turns[0] == turns[1]


@pytest.mark.parametrize(
    "response",
    [_OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"],
)
async def test_byte_by_byte_it_is_the_same(http1: Http1Upstream, response: bytes) -> None:
    pieces = [response[at : at + 1] for at in range(len(response))]
    async with scripted(_answering(*pieces)) as server:
        recorder = Recorder()
        recorder.begin(http1, _ask(server.to))
        await recorder.over()
        assert recorder.content == b"ok"
        assert recorder.names[0] == "head"
        assert recorder.has_ended
        recorder.exchange.finish()


async def test_a_pause_at_the_head_holds_what_came_with_it(http1: Http1Upstream) -> None:
    recorder = Recorder(head=lambda one: one.exchange.pause())
    async with scripted(_answering(b"HTTP/1.1 200 OK\r\n\r\na", b"b", b"c")) as server:
        recorder.begin(http1, _ask(server.to))
        await recorder.heard("head")
        await asyncio.sleep(0.02)
        assert recorder.names == ["head"]
        recorder.exchange.resume()
        recorder.exchange.resume()
        assert recorder.names == ["head"]  # never from within it
        await recorder.over()
        assert recorder.content == b"abc"
        recorder.exchange.finish()


async def test_a_pause_at_each_piece_holds_the_rest(http1: Http1Upstream) -> None:
    recorder = Recorder(content=lambda one: one.exchange.pause())
    async with scripted(_answering(b"HTTP/1.1 200 OK\r\n\r\na", b"b", b"c")) as server:
        recorder.begin(http1, _ask(server.to))
        await recorder.heard("content")
        # Each piece pauses: whatever was sent meanwhile, no second one comes before a resume.
        while len(recorder.content) < 3:
            await asyncio.sleep(0.02)
            pieces = recorder.names.count("content")
            held = list(recorder.told)
            recorder.exchange.resume()
            recorder.exchange.resume()
            assert recorder.told == held  # never from within it
            await settled(lambda: recorder.names.count("content") > pieces)  # noqa: B023
            assert recorder.names.count("content") == pieces + 1
        recorder.exchange.resume()
        await recorder.over()
        assert recorder.content == b"abc"
        recorder.exchange.finish()


async def test_who_is_paused_takes_no_more_than_a_read(http1: Http1Upstream) -> None:
    sent = 0

    async def script(link: Link) -> None:
        nonlocal sent
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await link.send(_BIG)
            sent += len(_BIG)

    recorder = Recorder(head=lambda one: one.exchange.pause())
    async with scripted(script) as server:
        recorder.begin(http1, _ask(server.to, timeouts=_short()))
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.2)  # longer than the other side may be silent
        assert sent < 16 * 1024 * 1024
        assert recorder.names == ["head"]
        recorder.exchange.resume()
        await settled(lambda: len(recorder.content) > sent // 2)
        recorder.exchange.finish()


async def test_an_endless_row_of_interim_responses_leaves_others_their_turns(
    http1: Http1Upstream,
) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    recorder = Recorder()
    async with scripted(_answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2000 + _OK)) as server:
        recorder.begin(http1, _ask(server.to))
        count()
        await recorder.over()
        assert recorder.names == ["interim"] * 2000 + ["head", "content"]
        assert turns > 2000 // 16
        recorder.exchange.finish()


# Finishing.


@pytest.mark.parametrize(
    ("at", "told"),
    [("interim", ["interim"]), ("head", ["interim", "head"]), ("content", None)],
)
async def test_after_finish_nothing_is_told(
    http1: Http1Upstream, at: str, told: list[str] | None
) -> None:
    response = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nab"
    recorder = Recorder(**{at: finish})
    async with scripted(_answering(response, b"cd")) as server:
        recorder.begin(http1, _ask(server.to))
        await recorder.heard(at)
        await settled(lambda: server.links[0].reader.at_eof() or server.broken)
        assert recorder.names == (told or ["interim", "head", "content"])
        recorder.exchange.finish()
        recorder.exchange.send(b"x")
        recorder.exchange.resume()
        assert recorder.exchange.is_blocked


@pytest.mark.parametrize("when", ["at once", "a turn later", "when connected"])
async def test_an_exchange_may_end_before_it_has_begun(http1: Http1Upstream, when: str) -> None:
    before = tasks()
    async with scripted(_ok) as server:
        recorder = Recorder(resume=finish)
        exchange = recorder.begin(http1, _ask(server.to, _CHUNKED, streams=True))
        if when == "a turn later":
            await asyncio.sleep(0)
        if when == "when connected":
            await recorder.heard("resume")
        else:
            exchange.finish()
        await settled(lambda: tasks() <= before)
        assert recorder.names == (["resume"] if when == "when connected" else [])


async def test_a_connection_may_be_used_again_from_within_the_response_s_end(
    http1: Http1Upstream,
) -> None:
    second = Recorder(content=finish)

    def again(first: Recorder) -> None:
        first.exchange.finish()
        assert not second.begin(http1, _ask(server.to)).is_blocked

    async with scripted(_ok) as server:
        first = Recorder(content=again)
        first.begin(http1, _ask(server.to))
        await second.over()
        assert first.told == second.told == [_HEAD, ("content", b"ok", True)]
        assert server.connections == 1


async def test_what_comes_behind_the_end_is_never_the_next_response(http1: Http1Upstream) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    second = Recorder(content=finish)

    def again(first: Recorder) -> None:
        first.exchange.finish()
        second.begin(http1, _ask(server.to))

    async def script(link: Link) -> None:
        head = await link.head()
        await link.send(_NO_CONTENT + forged if b"HEAD" in head else _OK)
        await link.rest()

    async with scripted(script) as server:
        first = Recorder(content=again)
        first.begin(http1, _ask(server.to, method=b"HEAD"))
        await second.over()
        assert second.content == b"ok"
        assert server.connections == 2


async def test_nothing_is_left_of_a_finished_exchange(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        while head := await link.head():
            if b"expect" in head:
                await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"chunked" in head:
                await link.until(b"0\r\n\r\n")
            await link.send(_OK)

    def invited(one: Recorder) -> None:
        one.exchange.send(b"x", ends=True)

    async with scripted(script) as server:
        gc.disable()
        try:
            for request in (
                _ask(server.to),
                _ask(server.to),
                _ask(server.to, _CHUNKED, method=b"POST", body=b"x"),
                _ask(server.to, _CHUNKED, _EXPECT, method=b"POST", streams=True),
                _ask(Destination(Origin("http", "a", 80), unix="/nowhere")),
            ):
                recorder = Recorder(invited=invited)
                ref = weakref.ref(recorder.begin(http1, request))
                await recorder.over()
                recorder.exchange.finish()
                del recorder.exchange
                del recorder
                await asyncio.sleep(0.02)
                assert ref() is None
        finally:
            gc.enable()


# Failures.


def _reset(link: Link) -> bytes:
    link.reset()
    return b""


def _nothing(link: Link) -> bytes:
    del link
    return b""


_POINTS = {
    "before the head": (b"", []),
    "in the head": (_OK[:20], []),
    "behind an interim one": (b"HTTP/1.1 103 \r\n\r\n", ["interim"]),
    "behind the head": (_OK[:-2], ["head"]),
    "in the body": (_OK[:-1], ["head", "content"]),
}
_KINDS: dict[str, tuple[Callable[[Link], bytes], bool]] = {
    "end": (_nothing, False),
    "reset": (_reset, False),
    "silence": (_nothing, True),
}


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("point", _POINTS)
async def test_a_failure_is_told_once_behind_what_came(
    http1: Http1Upstream, point: str, kind: str, *, is_paused: bool
) -> None:
    sent, told = _POINTS[point]
    ends, stays = _KINDS[kind]

    async def script(link: Link) -> None:
        await link.head()
        await link.send(sent)
        await asyncio.sleep(0.02)
        ends(link)
        if stays:
            await link.rest()

    pausing = {told[-1]: lambda one: one.exchange.pause()} if is_paused and told else {}
    async with scripted(script) as server:
        recorder = Recorder(**pausing)
        timeouts = _short() if stays else _SOON
        recorder.begin(http1, _ask(server.to, timeouts=timeouts))
        if pausing:
            await recorder.heard(told[-1])
            await asyncio.sleep(0.3)
            assert recorder.names == told
            recorder.exchange.resume()
        assert [name for name, *_ in await recorder.over()] == [*told, "failed"]
        assert recorder.failure.timeout is stays
        assert recorder.failure.sent
        await asyncio.sleep(0.02)
        assert recorder.names == [*told, "failed"]
        recorder.exchange.finish()


async def test_behind_the_end_nothing_can_fail(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(_OK)
        await asyncio.sleep(0.01)
        link.reset()

    async with scripted(script) as server:
        recorder = Recorder()
        recorder.begin(http1, _ask(server.to, timeouts=_short()))
        await recorder.over()
        await asyncio.sleep(0.3)
        assert recorder.told == [_HEAD, ("content", b"ok", True)]
        recorder.exchange.finish()


async def test_who_can_t_be_reached_was_sent_nothing(http1: Http1Upstream) -> None:
    recorder = Recorder()
    recorder.begin(http1, _ask(Destination(Origin("http", "a", 80), unix="/nowhere")))
    await recorder.over()
    assert recorder.names == ["failed"]
    assert not recorder.failure.sent


async def test_a_failure_to_connect_waits_for_who_is_paused(http1: Http1Upstream) -> None:
    recorder = Recorder()
    exchange = recorder.begin(http1, _ask(Destination(Origin("http", "a", 80), unix="/nowhere")))
    exchange.pause()
    await asyncio.sleep(0.05)
    assert recorder.told == []
    exchange.resume()
    await recorder.over()
    exchange.finish()


async def test_a_head_that_can_t_be_sent_is_our_bug(http1: Http1Upstream) -> None:
    to = Destination(Origin("http", "a", 80), unix="/nowhere")
    with pytest.raises(ValueError, match="line break"):
        Recorder().begin(http1, _ask(to, (b"x", b"a\r\nb: c")))


# The request's body.


@asynccontextmanager
async def _taking(until: bytes, *before: bytes) -> AsyncIterator[tuple[Server, list[bytes]]]:
    """Serve requests; gives what came of their bodies. ``before`` is sent before one is read."""
    bodies: list[bytes] = []

    async def script(link: Link) -> None:
        while await link.head():
            for piece in before:
                await link.send(piece)
            bodies.append(await link.until(until))
            await link.send(_OK)

    async with scripted(script) as server:
        yield server, bodies


async def test_a_small_body_goes_out_in_one_write_with_its_head(http1: Http1Upstream) -> None:
    async with _taking(b"body") as (server, bodies):
        for _ in range(2):
            fields = (b"content-length", b"4")
            recorder = Recorder(content=finish)
            recorder.begin(http1, _ask(server.to, fields, method=b"POST", body=b"body"))
            assert await recorder.over() == [_HEAD, ("content", b"ok", True)]
        assert server.connections == 1
    assert bodies == [b"body"] * 2


@pytest.mark.parametrize("is_early", [False, True])
async def test_a_body_that_streams_begins_when_it_may(
    http1: Http1Upstream, *, is_early: bool
) -> None:
    """What is sent before there is a connection is kept, and stands behind the head."""

    def go_on(one: Recorder) -> None:
        assert not one.exchange.is_blocked
        one.exchange.send(b"" if is_early else b"one")
        one.exchange.send(b"two", ends=True)
        one.exchange.send(b"", ends=True)

    async with _taking(b"0\r\n\r\n") as (server, bodies):
        recorder = Recorder(resume=go_on, content=finish)
        exchange = recorder.begin(http1, _ask(server.to, _CHUNKED, method=b"PUT", streams=True))
        assert exchange.is_blocked
        if is_early:
            exchange.send(b"one")
        await recorder.over()
        assert recorder.names == ["resume", "head", "content"]
        # The next has a connection, and isn't told to begin.
        second = Recorder(content=finish)
        exchange = second.begin(http1, _ask(server.to, _CHUNKED, method=b"PUT", streams=True))
        assert not exchange.is_blocked
        exchange.send(b"three", ends=True)
        await second.over()
        assert server.connections == 1
    assert bodies == [b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", b"5\r\nthree\r\n0\r\n\r\n"]


async def test_a_server_that_takes_nothing_stops_the_body(http1: Http1Upstream) -> None:
    sent, go_on = 0, asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await go_on.wait()
        await link.exactly(sent)
        await link.send(_OK)

    def fill(one: Recorder) -> None:
        nonlocal sent
        while not one.exchange.is_blocked:
            one.exchange.send(_BIG)
            sent += len(_BIG)

    fields = (b"content-length", b"%d" % (1 << 30))
    async with scripted(script) as server:
        recorder = Recorder(resume=fill, content=finish)
        recorder.begin(http1, _ask(server.to, fields, method=b"POST", streams=True))
        await recorder.heard("pause")
        assert recorder.exchange.is_blocked
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 16 * 1024 * 1024
        recorder.acts.pop("resume")
        go_on.set()
        await recorder.over()
        assert recorder.names[-3:] == ["resume", "head", "content"]


async def test_a_server_that_takes_nothing_for_too_long_has_failed(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        link.stop_reading()
        await asyncio.Event().wait()

    def fill(one: Recorder) -> None:
        while not one.exchange.is_blocked:
            one.exchange.send(_BIG)

    timeouts = UpstreamTimeouts(5, 60, 0.2)
    async with scripted(script) as server:
        recorder = Recorder(resume=fill)
        request = _ask(server.to, _CHUNKED, method=b"POST", streams=True, timeouts=timeouts)
        recorder.begin(http1, request)
        await recorder.over()
        assert recorder.failure.timeout
        assert recorder.failure.detail.startswith("it takes no more")
        recorder.exchange.finish()


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize(
    ("length", "pieces", "detail"),
    [
        (b"3", [(b"1234", True)], "longer than it said"),
        (b"3", [(b"12", False), (b"34", False)], "longer than it said"),
        (b"3", [(b"12", True)], "1 bytes short"),
        (b"0", [(b"1", False)], "longer than it said"),
        (b"1", [(b"1", True), (b"2", False)], "longer than it said"),
        (None, [(b"1", False)], "no body was announced"),
    ],
)
async def test_a_body_that_isn_t_what_was_announced_fails_the_exchange(
    http1: Http1Upstream,
    length: bytes | None,
    pieces: list[tuple[bytes, bool]],
    detail: str,
    *,
    is_connected: bool,
) -> None:
    received: list[bytes] = []

    async def script(link: Link) -> None:
        while head := await link.head():
            if b"GET /first" in head:
                await link.send(_OK)
                continue
            received.append(await link.rest())
            return

    async with scripted(script) as server:
        if is_connected:
            before = Recorder(content=finish)
            before.begin(http1, UpstreamRequest(server.to, b"GET", b"/first", ((b"host", b"a"),)))
            await before.over()
        recorder = Recorder()
        fields = () if length is None else ((b"content-length", length),)
        asked = _ask(server.to, *fields, method=b"POST", streams=length is not None)
        recorder.begin(http1, asked)
        for piece, ends in pieces:
            recorder.exchange.send(piece, ends=ends)
        assert recorder.told == []  # never from within it
        await recorder.over()
        assert recorder.names == ["failed"]
        assert detail in recorder.failure.detail
        assert recorder.failure.sent is is_connected
        recorder.exchange.finish()
        assert not any(data.endswith(pieces[-1][0]) for data in received if length != b"1")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 100 Continue\r\n\r\n", b""])
async def test_a_body_is_invited_once(
    http1: Http1Upstream, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.http.client.request_body.INVITATION", 0.1)

    async def script(link: Link) -> None:
        while await link.head():
            await link.send(answer * 3)
            await link.until(b"0\r\n\r\n")
            await link.send(_OK)

    async with scripted(script) as server, asyncio.timeout(soon(3)):
        for _ in range(2):  # a server that let one wait in vain isn't waited for again

            def go_on(one: Recorder) -> None:
                one.exchange.send(b"body", ends=True)

            recorder = Recorder(invited=go_on, content=finish)
            fields = (_CHUNKED, _EXPECT)
            recorder.begin(http1, _ask(server.to, *fields, method=b"POST", streams=True))
            await recorder.over()
            assert [name for name in recorder.names if name != "resume"] == [
                "invited",
                "head",
                "content",
            ]


async def test_a_body_may_go_out_uninvited(http1: Http1Upstream) -> None:
    async with _taking(b"0\r\n\r\n") as (server, bodies):
        recorder = Recorder(
            resume=lambda one: one.exchange.send(b"body", ends=True), content=finish
        )
        fields = (_CHUNKED, _EXPECT)
        recorder.begin(http1, _ask(server.to, *fields, method=b"POST", streams=True))
        await recorder.over()
        assert recorder.names == ["resume", "head", "content"]
    assert bodies == [b"4\r\nbody\r\n0\r\n\r\n"]


async def test_an_early_response_ends_the_connection(http1: Http1Upstream) -> None:
    """Though the body is sent to its end behind it."""

    def go_on(one: Recorder) -> None:
        one.exchange.send(b"", ends=True)
        one.exchange.finish()

    async def script(link: Link) -> None:
        await link.head()
        await link.until(b"one\r\n")
        await link.send(_OK)
        await link.rest()

    async with scripted(script) as server:
        for count in (1, 2):
            recorder = Recorder(resume=lambda one: one.exchange.send(b"one"), content=go_on)
            recorder.begin(http1, _ask(server.to, _CHUNKED, method=b"POST", streams=True))
            await recorder.over()
            assert server.connections == count


# Raw streams.


async def test_a_raw_stream_has_two_ends(http1: Http1Upstream) -> None:
    heard: list[bytes] = []

    async def script(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED + b"hello")
        link.end()
        heard.append(await link.rest())

    async with scripted(script) as server:
        recorder = Recorder()
        recorder.begin(http1, _ask(server.to, *_UPGRADE, timeouts=_short()))
        await recorder.over()
        assert recorder.told[1:] == [("content", b"hello", False), ("content", b"", True)]
        await asyncio.sleep(0.3)  # silence is no failure
        recorder.exchange.send(b"and ")
        recorder.exchange.send(b"ours", ends=True)
        recorder.exchange.send(b"nothing behind it")
        recorder.exchange.finish()
        await settled(lambda: heard)
        assert recorder.names == ["head", "content", "content"]
    assert heard == [b"and ours"]


async def test_a_raw_stream_that_takes_nothing_fails_behind_their_end_too(
    http1: Http1Upstream,
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED)
        link.stop_reading()
        link.end()
        await asyncio.Event().wait()

    def fill(exchange: UpstreamExchange) -> None:
        while not exchange.is_blocked:
            exchange.send(_BIG)

    async with scripted(script) as server:
        recorder = Recorder(resume=lambda one: fill(one.exchange))
        timeouts = UpstreamTimeouts(5, 5, 0.2)
        recorder.begin(http1, _ask(server.to, *_UPGRADE, timeouts=timeouts))
        await recorder.over()
        fill(recorder.exchange)
        await recorder.heard("failed")
        assert recorder.failure.timeout
        recorder.exchange.finish()


async def test_an_upgrade_in_the_middle_of_a_body_fails(http1: Http1Upstream) -> None:
    async with scripted(_answering(_SWITCHED + b"raw")) as server:
        recorder = Recorder()
        fields = (*_UPGRADE, _CHUNKED)
        recorder.begin(http1, _ask(server.to, *fields, method=b"POST", streams=True))
        await recorder.over()
        assert recorder.names == ["resume", "failed"]
        recorder.exchange.finish()


async def test_a_body_can_t_ask_for_an_upgrade(http1: Http1Upstream) -> None:
    async with scripted(_answering(_SWITCHED)) as server:
        recorder = Recorder()
        body = b"x\r\nupgrade: x\r\n"
        recorder.begin(http1, _ask(server.to, _CHUNKED, method=b"POST", body=body))
        await recorder.over()
        assert recorder.names == ["failed"]
        recorder.exchange.finish()


# What is known of a server.


async def test_what_a_server_speaks_is_known_from_its_responses(http1: Http1Upstream) -> None:
    async with scripted(_ok) as server:
        assert http1.known_minor_version(_ask(server.to)) is None
        recorder = Recorder(content=finish)
        recorder.begin(http1, _ask(server.to))
        await recorder.over()
        assert http1.known_minor_version(_ask(server.to)) == 1
