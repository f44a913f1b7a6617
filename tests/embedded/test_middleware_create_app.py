"""``create_app``: the public listener of a Portal, for any server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

import proxy
from proxy.embedded.middleware import create_app
from tests.embedded.server import Server, http, living, request

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from tests.cli.conftest import Home


def test_it_is_public_and_opens_nothing_by_itself(tmp_path: Path) -> None:
    assert proxy.create_app is create_app
    create_app(tmp_path / "nosuch")


async def test_a_folder_without_a_portal_ends_the_start(tmp_path: Path) -> None:
    async with living(create_app(tmp_path)) as sent:
        assert sent[0]["type"] == "lifespan.startup.failed"
        assert "portal.yaml" in sent[0]["message"]


async def test_by_default_it_is_the_folder_config(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.path)
    async with living(create_app()) as sent:
        assert sent[0]["type"] == "lifespan.startup.complete"


async def test_it_serves_the_portal_s_own_host_and_its_apps_where_they_are(
    home: Home, host: str
) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    public = json.dumps({"v": "3.2", "port": port, "paths": {"": {"access": "public"}}})
    home.add_app("blog", public)
    (home.config / "apps" / "blog" / "proxy.yaml").write_text(
        f"upstream: http://127.0.0.1:{port}\n"
    )

    app = create_app(home.config)
    async with living(app), listener:
        own = await _ask(app, host, b"/.well-known/portal-identity")
        blog = await _ask(app, f"blog.{host}", b"/a%2Fb?c")
        other = await _ask(app, f"nosuch.{host}", b"/")
        foreign = await _ask(app, "evil.example", b"/")
    assert json.loads(own.body)["id"] == home.own_id()
    assert (blog.status, blog.body) == (200, b"hello")
    assert seen[0].startswith(b"GET /a%2Fb?c HTTP/1.1\r\n")
    assert other.fields[b"portal-refusal"] == b"no_such_app"
    assert foreign.status == 421


async def _ask(app: ASGIApp, host: str, target: bytes) -> Server:
    server = Server()
    server.says(request())
    await server.serve(app, http(host, target))
    return server
