"""The ASGI app that a server is given: what it serves, and what it answers where it can't."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proxy.embedded.middleware import open_for, open_portal
from proxy.embedded.portal_app import PortalApp
from proxy.http.in_process.scope import server_scope
from proxy.http.upstream import UpstreamFailed
from tests.embedded.server import Server, http, living, request, turns

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from tests.cli.conftest import Home

IDENTITY = b"/.well-known/portal-identity"


@pytest.fixture
def portal_app(home: Home) -> PortalApp:
    return PortalApp(partial(open_portal, home.config))


@pytest.mark.parametrize("kind", ["webtransport", "tcp"])
async def test_other_protocols_are_not_served(portal_app: PortalApp, kind: str) -> None:
    server = Server()
    with pytest.raises(RuntimeError, match=kind):
        await server.serve(portal_app, {"type": kind})


async def test_before_it_is_open_nothing_is_answered(portal_app: PortalApp) -> None:
    server = Server()
    server.says(request())
    with pytest.raises(RuntimeError, match="isn't open"):
        await server.serve(portal_app, http())
    assert server.sent == []


async def test_it_answers_while_it_is_open_and_not_afterwards(
    portal_app: PortalApp, host: str
) -> None:
    async with living(portal_app):
        server = await _ask(portal_app, http(host, IDENTITY))
        assert (server.status, server.fields[b"content-type"]) == (200, b"application/json")
    with pytest.raises(RuntimeError, match="isn't open"):
        await _ask(portal_app, http(host, IDENTITY))


async def test_opened_again_it_serves_the_portal_that_is_open_now(
    portal_app: PortalApp, host: str
) -> None:
    for _ in range(2):
        async with living(portal_app):
            assert (await _ask(portal_app, http(host, IDENTITY))).status == 200


@pytest.mark.parametrize(
    ("version", "is_closed"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)]
)
async def test_where_a_body_s_end_is_unclear_the_connection_isn_t_used_again(
    portal_app: PortalApp, host: str, version: str, *, is_closed: bool
) -> None:
    lengths = ((b"content-length", b"1"), (b"content-length", b"2"))
    async with living(portal_app):
        server = await _ask(portal_app, http(host, IDENTITY, *lengths, version=version))
    assert (server.status, server.fields[b"portal-refusal"]) == (400, b"bad_request")
    assert (server.fields.get(b"connection") == b"close") == is_closed


async def test_a_refusal_of_head_has_no_body(portal_app: PortalApp, host: str) -> None:
    async with living(portal_app):
        server = await _ask(portal_app, http(host, IDENTITY, method="HEAD", root_path="/below"))
    assert (server.status, server.body) == (500, b"")


async def test_each_request_is_a_line_of_the_log_refused_or_not(
    portal_app: PortalApp, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(portal_app):
        with caplog.at_level(logging.INFO, "proxy.requests"):
            await _ask(portal_app, http(host, IDENTITY))
            await _ask(portal_app, http(host, IDENTITY, root_path="/below"))
    lines = [record for record in caplog.records if record.name == "proxy.requests"]
    assert len(lines) == 2
    assert "root_path" in lines[1].getMessage()


async def test_the_server_s_scope_is_there_for_the_app_and_gone_afterwards(
    home: Home, host: str
) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.append((scope["server"], scope["state"].get("pool")))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    async with living(portal_app):
        state = {"pool": "opened"}
        server = await _ask(portal_app, http(f"guestbook.{host}", b"/public/x", state=state))
        assert server_scope.get(None) is None
    assert server.status == 204
    assert seen == [(("127.0.0.1", 8000), "opened")]


async def test_so_it_is_where_the_body_comes_before_the_app_is_asked(home: Home, host: str) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        seen.append((scope["server"], message["body"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Server()
    server.says(request(b"a", more=True), request(b"b"))
    chunked = (b"transfer-encoding", b"chunked")
    async with living(portal_app):
        scope = http(f"guestbook.{host}", b"/public/x", chunked, method="PUT")
        await server.serve(portal_app, scope)
    assert server.status == 204
    assert seen == [(("127.0.0.1", 8000), b"a")]


async def test_who_leaves_a_request_that_is_no_line_of_ours_yet_leaves_one_in_the_log(
    portal_app: PortalApp, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    scope = http(host, IDENTITY, method="POST", version="2")
    async with living(portal_app):
        with caplog.at_level(logging.INFO, "proxy.requests"):
            serving = asyncio.create_task(server.serve(portal_app, scope))
            while not server.asked:  # noqa: ASYNC110 - an attribute has no event
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait((serving,))
    assert _outcomes(caplog) == ["left"]
    assert server.sent == []


async def test_an_app_that_breaks_off_breaks_the_connection_and_is_one_line(
    home: Home, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Server()
    server.says(request())
    async with living(portal_app):
        with caplog.at_level(logging.INFO, "proxy.requests"), pytest.raises(UpstreamFailed):
            await server.serve(portal_app, http(f"guestbook.{host}", b"/public/x"))
    assert (server.status, server.body) == (200, b"part")
    assert _outcomes(caplog) == ["broken"]


async def test_a_client_that_leaves_an_app_that_waits_is_one_line(
    home: Home, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    is_called = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, send
        await receive()
        is_called.set()
        heard.append((await receive())["type"])

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Server()
    server.says(request())
    async with living(portal_app):
        with caplog.at_level(logging.INFO, "proxy.requests"):
            scope = http(f"guestbook.{host}", b"/public/x")
            serving = asyncio.create_task(server.serve(portal_app, scope))
            await is_called.wait()
            server.leaves()
            await serving
    assert (server.sent, heard, _outcomes(caplog)) == ([], ["http.disconnect"], ["left"])


async def test_an_app_says_no_more_than_its_client_takes(home: Home, host: str) -> None:
    said = 0
    is_stuck, takes = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal said
        del scope
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for said in range(1, 21):
            await send({"type": "http.response.body", "body": b"x", "more_body": said < 20})

    class Slow(Server):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message.get("body"):
                is_stuck.set()
                await takes.wait()

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Slow()
    server.says(request())
    async with living(portal_app):
        scope = http(f"guestbook.{host}", b"/public/x")
        serving = asyncio.create_task(server.serve(portal_app, scope))
        await is_stuck.wait()
        await turns()
        assert (server.body, said <= 5) == (b"x", True)
        takes.set()
        await serving
    assert (said, server.body) == (20, b"x" * 20)


async def test_a_client_sends_no_more_than_its_app_takes(home: Home, host: str) -> None:
    took: list[bytes] = []
    is_stuck, takes = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        while (message := await receive())["more_body"]:
            took.append(message["body"])
            is_stuck.set()
            await takes.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Server()
    server.says(*(request(b"x", more=at < 20) for at in range(1, 21)))
    chunked = (b"transfer-encoding", b"chunked")
    async with living(portal_app):
        scope = http(f"guestbook.{host}", b"/public/x", chunked, method="PUT")
        serving = asyncio.create_task(server.serve(portal_app, scope))
        await is_stuck.wait()
        await turns()
        assert (took, server.asked <= 6) == ([b"x"], True)
        takes.set()
        await serving
    assert (b"".join(took), server.status) == (b"x" * 20, 204)


class Strict(Server):
    """A server that raises at the end of a response whose body isn't its length."""

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == "http.response.body":
            raise RuntimeError("Response content shorter than Content-Length")


@pytest.mark.parametrize(("status", "is_forgiven"), [(304, True), (200, False)])
async def test_a_304_may_tell_the_length_of_what_isn_t_sent(
    home: Home, host: str, status: int, *, is_forgiven: bool
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await receive()
        fields = [(b"content-length", b"9" if status == 304 else b"0")]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body"})

    portal_app = PortalApp(partial(open_for, app, "guestbook", home.config))
    server = Strict()
    server.says(request())
    async with living(portal_app):
        scope = http(f"guestbook.{host}", b"/public/x")
        if is_forgiven:
            await server.serve(portal_app, scope)
        else:
            with pytest.raises(RuntimeError, match="shorter"):
                await server.serve(portal_app, scope)
    assert server.status == status


def _outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what became of each request, as the log has it."""
    lines = [record.getMessage() for record in caplog.records if record.name == "proxy.requests"]
    return [line.split()[1].rstrip(":") for line in lines]


async def _ask(portal_app: PortalApp, scope: Scope) -> Server:
    server = Server()
    server.says(request())
    await server.serve(portal_app, scope)
    return server
