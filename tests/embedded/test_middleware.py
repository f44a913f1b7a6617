"""``PortalMiddleware``: no request reaches the app but one that was admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy import PortalMiddleware
from tests.embedded.server import Server, http, living, request

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tests.cli.conftest import Home


class App:
    """Notes the scopes of requests, and answers with the body that came."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.seen.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def asked(
    home: Home, *scopes: Scope, body: bytes = b"", changed: dict[str, Any] | None = None
) -> tuple[App, list[Server]]:
    """Ask an app behind the middleware; return it and what the server was told each time."""
    app, servers = App(), []
    wrapped = PortalMiddleware(app, home.config, name="guestbook")
    async with living(wrapped) as sent:
        assert sent[0]["type"] == "lifespan.startup.complete"
        for scope in scopes:
            servers.append(Server())
            servers[-1].says(request(body))
            await servers[-1].serve(wrapped, {**scope, **(changed or {})})
    return app, servers


async def test_what_is_public_reaches_the_app_with_what_its_file_says(
    home: Home, host: str
) -> None:
    fields = ((b"X-Own", b"evil"), (b"X-Ptl-Client-Type", b"terminal"), (b"accept", b"*/*"))
    scope = http(f"guestbook.{host}", b"/public/a%2Fb?c", *fields)
    app, (server,) = await asked(home, scope)
    assert server.status == 200
    (seen,) = app.seen
    told = dict(seen["headers"])
    assert (seen["raw_path"], seen["path"], seen["query_string"]) == (
        b"/public/a%2Fb",
        "/public/a/b",
        b"c",
    )
    assert told[b"x-own"] == b"yes"
    assert told[b"x-ptl-client-type"] == b"anonymous"
    assert told[b"accept"] == b"*/*"
    assert seen["client"] == ("192.0.2.7", 0)
    assert seen["scheme"] == "https"  # as public_url has it


async def test_no_field_moves_a_request_of_an_app_in_this_process(home: Home, host: str) -> None:
    evil = (b"SCRIPT_NAME", b"Path-Info", b"x.script.name", b"my_field", b"Daphne-Root-Path")
    fields = (*((name, b"evil") for name in evil), (b"X-HTTP-Method-Override", b"DELETE"))
    app, (server,) = await asked(home, http(f"guestbook.{host}", b"/public/x", *fields))
    assert server.status == 200
    (seen,) = app.seen
    assert b"evil" not in dict(seen["headers"]).values()
    assert dict(seen["headers"])[b"x-http-method-override"] == b"DELETE"
    assert (seen["path"], seen["root_path"]) == ("/public/x", "")


async def test_a_body_arrives_as_it_came(home: Home, host: str) -> None:
    length = (b"content-length", b"3")
    scope = http(f"guestbook.{host}", b"/public/x", length, method="POST")
    _, (server,) = await asked(home, scope, body=b"abc")
    assert (server.status, server.body) == (200, b"abc")


@pytest.mark.parametrize(
    ("app_host", "target", "status", "code"),
    [
        ("guestbook.{}", b"/", 401, b"proof_required"),
        ("guestbook.{}", b"/private", 401, b"proof_required"),
        ("guestbook.{}", b"/public/../private", 400, b"bad_target"),
        ("guestbook.{}", b"//private", 401, b"proof_required"),
        ("other.{}", b"/public/x", 421, b"misdirected"),
        ("evil.example", b"/public/x", 421, b"misdirected"),
        ("127.0.0.1:8000", b"/public/x", 421, b"misdirected"),
    ],
)
async def test_what_isn_t_for_strangers_doesn_t_reach_the_app(
    home: Home, host: str, app_host: str, target: bytes, status: int, code: bytes
) -> None:
    app, (server,) = await asked(home, http(app_host.format(host), target))
    assert app.seen == []
    assert server.status == status
    assert server.fields[b"portal-refusal"] == code


@pytest.mark.parametrize(
    "changed",
    [{"root_path": "/below"}, {"raw_path": None}, {"path": "/private"}, {"path": "/public/../x"}],
)
async def test_what_nobody_can_judge_doesn_t_reach_the_app(
    home: Home, host: str, changed: dict[str, Any]
) -> None:
    app, (server,) = await asked(home, http(f"guestbook.{host}", b"/public/x"), changed=changed)
    assert app.seen == []
    assert (server.status, server.fields[b"portal-refusal"]) == (500, b"internal")


async def test_the_portal_s_own_host_is_answered_for_the_app(home: Home, host: str) -> None:
    app, (server,) = await asked(home, http(host, b"/.well-known/portal-identity"))
    assert app.seen == []
    assert server.status == 200
    assert home.own_id().encode() in server.body


async def test_an_app_that_has_no_file_ends_the_start(home: Home) -> None:
    async with living(PortalMiddleware(App(), home.config, name="nosuch")) as sent:
        assert sent[0]["type"] == "lifespan.startup.failed"
        assert "there is no such app" in sent[0]["message"]


async def test_before_the_start_nothing_reaches_the_app(home: Home, host: str) -> None:
    app, server = App(), Server()
    server.says(request())
    with pytest.raises(RuntimeError, match="isn't open"):
        await server.serve(
            PortalMiddleware(app, home.config, name="guestbook"),
            http(f"guestbook.{host}", b"/public/x"),
        )
    assert app.seen == []
