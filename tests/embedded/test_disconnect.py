"""A client that leaves ends its request, wherever its app stands just then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.embedded.disconnect import watched
from tests.embedded.server import Server, http, request, turns

App = Callable[[Scope, Receive, Send], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": []}
LENGTH = (b"content-length", b"3")


def body(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


class Waiting:
    """An app that says ``messages``, waits, and tells how it ended."""

    def __init__(self, *messages: Message, receives: int = 0) -> None:
        self.messages = messages
        self.receives = receives
        self.ended = ""
        self.heard: list[Message] = []
        self.goes_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        try:
            for _ in range(self.receives):
                self.heard.append(await receive())
            for message in self.messages:
                await send(message)
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "well"


@pytest.mark.parametrize(
    "app",
    [Waiting(), Waiting(START), Waiting(START, body(b"a", more=True)), Waiting(receives=1)],
    ids=["waiting", "head", "piece", "received"],
)
async def test_an_app_is_cancelled_once_its_client_has_left(app: Waiting) -> None:
    app.goes_on = asyncio.Event()
    server = Server()
    server.says(request())
    serving = asyncio.create_task(_serve(server, app, http()))
    await turns()
    assert app.ended == ""
    server.leaves()
    await serving  # which ends well: the server is told of no mistake
    assert app.ended == "cancelled"
    assert serving.cancelling() == 0


async def test_behind_a_whole_response_the_app_goes_on() -> None:
    app = Waiting(START, body(b"a", more=True), body(b"b"))
    server = Server()
    server.says(request())
    serving = asyncio.create_task(_serve(server, app, http()))
    await turns()
    server.leaves()
    await turns()
    app.goes_on.set()
    await serving
    assert app.ended == "well"


async def test_a_client_that_waits_for_100_is_invited_by_the_app_alone() -> None:
    asks = asyncio.Event()
    server = Server()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await asks.wait()
        await receive()

    serving = asyncio.create_task(_serve(server, app, http("a.example", b"/", LENGTH)))
    await turns()
    assert server.asked == 0
    asks.set()
    await turns()
    assert server.asked == 1
    server.says(request(b"abc"))
    await serving


@pytest.mark.parametrize("name", [b"content-length", b"Transfer-Encoding"])
async def test_a_response_makes_it_listen_even_where_the_body_is_unread(name: bytes) -> None:
    app = Waiting(START)
    server = Server()
    serving = asyncio.create_task(_serve(server, app, http("a.example", b"/", (name, b"3"))))
    await turns()
    server.leaves()
    await serving
    assert app.ended == "cancelled"


async def test_the_body_comes_in_its_order_and_not_ahead() -> None:
    heard: list[bytes] = []
    goes_on = asyncio.Event()
    server = Server()
    server.says(request(b"a", more=True), request(b"b", more=True), request(b"c"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        heard.append((await receive())["body"])
        await goes_on.wait()
        heard.append((await receive())["body"])
        heard.append((await receive())["body"])
        await send(START)
        await send(body())

    serving = asyncio.create_task(_serve(server, app, http("a.example", b"/", LENGTH)))
    await turns()
    assert (heard, server.asked <= 3) == ([b"a"], True)
    goes_on.set()
    await serving
    assert heard == [b"a", b"b", b"c"]


async def test_who_left_has_left_however_often_one_asks() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send(START)
        await send(body())
        heard.extend([(await receive())["type"], (await receive())["type"]])

    server = Server()
    server.leaves()
    await _serve(server, app, http("a.example", b"/", LENGTH))
    assert heard == ["http.disconnect", "http.disconnect"]


async def test_a_server_that_can_t_send_any_more_ends_the_request_as_well() -> None:
    app = Waiting(START, body(b"a", more=True))
    server = Server(error=ConnectionResetError())
    await _serve(server, app, http())
    assert app.ended == "cancelled"


async def test_what_an_app_raises_is_the_server_s_to_know() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise ZeroDivisionError

    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        await _serve(Server(), app, http())
    assert asyncio.all_tasks() == before


async def test_a_server_that_cancels_isn_t_taken_for_a_client_that_left() -> None:
    app = Waiting()
    serving = asyncio.create_task(_serve(Server(), app, http()))
    await turns()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert app.ended == "cancelled"


async def _serve(server: Server, app: App, scope: Scope) -> None:
    async with asyncio.timeout(10):
        await watched(app, scope, server.receive, server.send)
