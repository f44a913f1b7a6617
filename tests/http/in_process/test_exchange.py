"""One request at an app that does as a test wants: what is said badly is no response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from proxy.http.in_process.exchange import Exchange
from proxy.http.upstream import UpstreamFailed
from tests.http.in_process.messages import LENGTH, ask, body, pieces, start

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from proxy.http.upstream import UpstreamRequest

App = Callable[["Scope", "Receive", "Send"], Awaitable[None]]


def saying(*messages: Message | Exception) -> App:
    """Return an app that sends these messages, and raises what is none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    return app


async def asked(app: App, request: UpstreamRequest | None = None) -> tuple[int, bytes]:
    """Return the status and the body of a response; raises what the exchange does."""
    exchange = Exchange(request or ask())
    running = asyncio.create_task(exchange.run(app))
    try:
        await exchange.begin()
        return exchange.status, b"".join([piece async for piece in exchange.pieces()])
    finally:
        await exchange.finish()
        await running


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([start(), body(b"ok")], (200, b"ok")),
        (
            [start(status=404), body(b"a", more=True), body(b"", more=True), body(b"b")],
            (404, b"ab"),
        ),
        ([start(), {"type": "http.response.body"}], (200, b"")),
        ([start((LENGTH, b"2")), body(b"ok", more=True), body()], (200, b"ok")),
    ],
)
async def test_what_an_app_says_in_its_order_is_the_response(
    messages: list[Message], expected: tuple[int, bytes]
) -> None:
    assert await asked(saying(*messages)) == expected


BREAKS: dict[str, tuple[list[Message | Exception], str]] = {
    "nothing": ([], "returned without a whole"),
    "no end": ([start(), body(b"a", more=True)], "returned without a whole"),
    "a head alone": ([start()], "returned without a whole"),
    "a body before the head": ([body(b"a")], "RuntimeError"),
    "two heads": ([start(), start()], "RuntimeError"),
    "a head after pieces": ([start(), body(b"a", more=True), start()], "RuntimeError"),
    "an unknown message": ([{"type": "http.response.push"}], "RuntimeError"),
    "a websocket's message": ([{"type": "websocket.accept"}], "RuntimeError"),
    "trailers": ([start(), body(more=True), {"type": "http.response.trailers"}], "RuntimeError"),
    "an interim status": ([start(status=103)], "ValueError"),
    "two lengths": ([start((LENGTH, b"1"), (LENGTH, b"1")), body(b"a")], "ValueError"),
    "a length in words": ([start((LENGTH, b"one")), body(b"a")], "ValueError"),
    "a field that is two": ([start((b"a", b"b\r\nc: d")), body(b"a")], "ValueError"),
    "too much": ([start((LENGTH, b"1")), body(b"ab")], "ValueError"),
    "too little": ([start((LENGTH, b"3")), body(b"ab")], "ValueError"),
    "raising at once": ([ZeroDivisionError()], "ZeroDivisionError"),
    "raising behind its head": ([start(), ZeroDivisionError()], "ZeroDivisionError"),
    "raising behind a piece": (
        [start(), body(b"a", more=True), ZeroDivisionError()],
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("row", BREAKS)
async def test_what_isn_t_a_whole_response_fails(row: str) -> None:
    messages, why = BREAKS[row]
    with pytest.raises(UpstreamFailed, match=why) as failed:
        await asked(saying(*messages))
    assert failed.value.sent  # the app may have done anything


@pytest.mark.parametrize(
    "behind", [ZeroDivisionError(), start(), body(b"more"), {"type": "http.response.push"}]
)
async def test_what_goes_wrong_behind_the_end_is_logged_and_harms_no_response(
    behind: Message | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "proxy.upstream"):
        assert await asked(saying(start(), body(b"ok"), behind)) == (200, b"ok")
    assert [record.message for record in caplog.records] == ["the app raised"]


async def test_an_app_may_answer_before_it_has_read_its_request() -> None:
    request = ask((LENGTH, b"3"), method=b"POST", body=pieces(b"abc"))
    assert await asked(saying(start(status=413), body(b"no")), request) == (413, b"no")


async def test_an_app_may_answer_piece_by_piece_as_it_reads() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "POST"
        await send(start())
        while (message := await receive())["more_body"]:
            await send(body(message["body"].upper(), more=True))
        await send(body())

    request = ask(method=b"POST", body=pieces(b"ab", b"c"))
    assert await asked(app, request) == (200, b"ABC")


@pytest.mark.parametrize("says_head", [False, True])
async def test_a_request_that_breaks_fails_the_response_with_its_own_reason(
    *, says_head: bool
) -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        if says_head:
            await send(start())
        heard.append(await receive())
        heard.append(await receive())
        raise ConnectionError("an app's way to say that its client is gone")

    request = ask((LENGTH, b"9"), method=b"POST", body=pieces(b"abc"))
    with pytest.raises(UpstreamFailed, match="6 bytes short"):
        await asked(app, request)
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"]


async def test_who_leaves_is_told_to_an_app_that_asks_and_to_one_that_sends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send(start())
        told.append(await receive())
        try:
            await send(body(b"to nobody", more=True))
        except OSError as error:
            told.append(type(error).__name__)
            raise

    exchange = Exchange(ask())
    with caplog.at_level(logging.ERROR, "proxy.upstream"):
        running = asyncio.create_task(exchange.run(app))
        await exchange.begin()
        await exchange.finish()
        await running
    assert told == [{"type": "http.disconnect"}, "ClientGone"]
    assert caplog.records == []
    with pytest.raises(UpstreamFailed):
        await anext(exchange.pieces())


async def test_what_an_app_does_behind_its_response_isn_t_cut_off() -> None:
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send(start())
        await send(body(b"ok"))
        await asyncio.sleep(0.02)
        done.set()

    assert await asked(app) == (200, b"ok")
    assert done.is_set()


async def test_an_app_that_is_cancelled_fails_its_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        await asyncio.Event().wait()

    exchange = Exchange(ask())
    running = asyncio.create_task(exchange.run(app))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(UpstreamFailed, match="cut off"):
        await exchange.begin()
    await exchange.finish()


async def test_an_app_that_is_slow_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await receive()
        await receive()

    with pytest.raises(UpstreamFailed) as failed:
        await asked(app, ask(read=0.01))
    assert failed.value.timeout


async def test_there_is_no_raw_stream() -> None:
    exchange = Exchange(ask())
    with pytest.raises(UpstreamFailed):
        await exchange.write(b"x")
    with pytest.raises(UpstreamFailed):
        exchange.write_end()
