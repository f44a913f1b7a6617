"""A client of another ASGI server that leaves ends its request, wherever that stands just then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.core.http.forwarded import RemotePeer
from proxy.http.asgi_client import serve_by_callbacks
from proxy.http.asgi_handler import serve_asgi
from proxy.http.scope import connection_scope
from tests.embedded.server import Server, http, request, turns

App = Callable[[Scope, Receive, Send], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": []}
LENGTH = (b"content-length", b"3")
REMOTE = RemotePeer("192.0.2.7", is_unix=False, is_tls=False)


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


async def test_who_leaves_while_the_server_sends_the_end_has_been_answered() -> None:
    lets = asyncio.Event()

    class Slow(Server):
        async def send(self, message: Message) -> None:
            if not message.get("more_body", True):
                await lets.wait()
            await super().send(message)

    app, server = Waiting(START, body(b"a")), Slow()
    app.goes_on.set()
    server.says(request())
    serving = asyncio.create_task(_serve(server, app, http()))
    await turns()
    server.leaves()
    await turns()
    assert app.ended == ""
    lets.set()
    await serving
    assert app.ended == "well"


async def test_a_client_that_leaves_is_waited_for_by_no_server_that_sends() -> None:
    class Stuck(Server):
        async def send(self, message: Message) -> None:
            await super().send(message)
            await asyncio.Event().wait()

    app, server = Waiting(START, body(b"a")), Stuck()
    server.says(request())
    serving = asyncio.create_task(_serve(server, app, http()))
    await turns()
    server.leaves()
    await serving
    assert (app.ended, len(server.sent), serving.cancelling()) == ("cancelled", 1, 0)


async def test_a_client_that_waits_for_100_is_invited_by_the_app_alone() -> None:
    asks = asyncio.Event()
    server = Server()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await asks.wait()
        await receive()
        await send(START)
        await send(body())

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
    framing = (name.lower(), b"3")
    serving = asyncio.create_task(_serve(server, app, http("a.example", b"/", framing)))
    await turns()
    server.leaves()
    await serving
    assert app.ended == "cancelled"


async def test_behind_a_piece_that_nobody_takes_it_still_listens() -> None:
    app = Waiting(receives=1)
    server = Server()
    server.says(request(b"a", more=True), request(b"b", more=True))
    serving = asyncio.create_task(_serve(server, app, http("a.example", b"/", LENGTH)))
    await turns()
    server.leaves()
    await serving
    assert (len(app.heard), app.ended) == (1, "cancelled")


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


async def test_a_server_that_can_t_send_any_more_ends_the_request_as_well() -> None:
    app = Waiting(START, body(b"a", more=True))
    server = Server(error=ConnectionResetError())
    await _serve(server, app, http())
    assert app.ended == "cancelled"


async def test_a_server_that_cancels_ends_the_request_and_hears_that_it_did() -> None:
    app = Waiting()
    before = asyncio.all_tasks()
    serving = asyncio.create_task(_serve(Server(), app, http()))
    await turns()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await turns()
    assert app.ended == "cancelled"
    assert asyncio.all_tasks() == before


async def _serve(server: Server, app: App, scope: Scope) -> None:
    serve = serve_asgi(app, connection_scope((None, None), "http", {}), set())
    async with asyncio.timeout(10):
        await serve_by_callbacks(serve, REMOTE, scope, server.receive, server.send)
