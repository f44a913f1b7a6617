"""Opening a Portal from its files, for somebody else's sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.config.portal_yaml import load_config
from proxy.core.errors import Invalid
from proxy.embedded.middleware import Settings, open_for, open_portal
from proxy.http.client.engine import Http1Upstream
from proxy.http.in_process.engine import AsgiUpstream

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from proxy.server.running import Running
    from tests.cli.conftest import Home


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing."""


@asynccontextmanager
async def closing(running: Running) -> AsyncIterator[Running]:
    try:
        yield running
    finally:
        await running.close()


def _text(folder: Path) -> Settings:
    return str(folder)


def _path(folder: Path) -> Settings:
    return folder


@pytest.mark.parametrize("settings", [_text, _path, load_config])
async def test_settings_are_a_folder_or_what_was_read_from_one(
    home: Home, settings: Callable[[Path], Settings]
) -> None:
    async with closing(open_portal(settings(home.config))) as running:
        assert running.portal.id == home.own_id()
        assert set(running.portal.apps) == {"guestbook"}
        assert isinstance(running.upstream, Http1Upstream)


async def test_of_several_apps_one_is_served(home: Home) -> None:
    home.add_app("other", '{"v": "3.2", "port": 1, "paths": {"": {"access": "public"}}}')
    async with closing(open_for(app, "guestbook", home.config)) as running:
        assert set(running.portal.apps) == {"guestbook"}
        assert isinstance(running.upstream, AsgiUpstream)


async def test_tls_is_the_server_s(home: Home) -> None:
    yaml = home.config / "portal.yaml"
    tls = "tls:\n  certificate: missing.pem\n  key: missing.pem\n"
    yaml.write_text(yaml.read_text("utf-8") + tls, encoding="utf-8")
    async with closing(open_portal(home.config)) as running:
        assert running.certificate is None


def test_a_folder_without_a_portal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"portal\.yaml"):
        open_portal(tmp_path)


async def test_without_its_app_s_file_there_is_nothing_to_serve(home: Home) -> None:
    with pytest.raises(Invalid, match="there is no such app") as refused:
        open_for(app, "nosuch", home.config)
    (problem,) = refused.value.problems
    assert problem.file.endswith("apps/nosuch")
    # What was opened meanwhile is closed again: another process may have it.
    async with closing(open_for(app, "guestbook", home.config)):
        pass


async def test_what_is_wrong_with_its_file_is_told_and_not_what_is_wrong_with_others(
    home: Home,
) -> None:
    home.add_app("wrong", '{"v": "3.2", "port": 1, "paths": {"": {"access": "everybody"}}}')
    home.add_app("worse", "{")
    with pytest.raises(Invalid) as refused:
        open_for(app, "wrong", home.config)
    assert {problem.file.rpartition("apps/")[2] for problem in refused.value.problems} == {
        "wrong/app.json"
    }
    async with closing(open_for(app, "guestbook", home.config)):
        pass
