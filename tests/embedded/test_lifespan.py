"""A Portal's life under another server, and that of the app behind it, one inside the other."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxy.embedded import lifespan as module
from proxy.embedded.lifespan import Lifespan
from proxy.embedded.middleware import open_for, open_portal
from proxy.server.follower import Step
from proxy.state.files import Busy
from tests.embedded.server import living
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from proxy.server.running import Running
    from tests.cli.conftest import Home

STARTED, STOPPED = "lifespan.startup.complete", "lifespan.shutdown.complete"


class App:
    """An app that notes what it is told, and does as it is scripted."""

    def __init__(self, at_startup: object = STARTED, at_shutdown: object = STOPPED) -> None:
        self.script = {"lifespan.startup": at_startup, "lifespan.shutdown": at_shutdown}
        self.told: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        scope["state"]["pool"] = "opened"
        while "lifespan.shutdown" not in self.told:
            self.told.append((await receive())["type"])
            answer = self.script[self.told[-1]]
            if isinstance(answer, Exception):
                raise answer
            if answer == "returns":
                return
            await send({"type": answer, "message": "as the script says"})


def types(sent: list[Message]) -> list[str]:
    return [message["type"] for message in sent]


async def lived(home: Home, app: ASGIApp | None) -> tuple[list[str], list[bool]]:
    """Live a whole life; return what the server heard, and whether the Portal was open then."""
    lifespan = Lifespan(partial(open_portal, home.config), app)
    is_open = [lifespan.running is not None]
    async with living(lifespan) as sent:
        is_open.append(lifespan.running is not None)
    is_open.append(lifespan.running is not None)
    return types(sent), is_open


async def test_a_portal_is_open_from_startup_to_shutdown(home: Home) -> None:
    before = asyncio.all_tasks()
    assert await lived(home, None) == ([STARTED, STOPPED], [False, True, False])
    assert asyncio.all_tasks() == before


async def test_it_can_be_opened_again(home: Home) -> None:
    for _ in range(2):
        assert (await lived(home, None))[0] == [STARTED, STOPPED]


async def test_what_is_wrong_with_the_files_ends_the_start_with_every_mistake(home: Home) -> None:
    (home.state / "contacts.yaml").write_text("peers: 3\nmore: 1\n")
    lifespan = Lifespan(partial(open_portal, home.config), None)
    async with living(lifespan) as sent:
        (message,) = sent
        assert message["type"] == "lifespan.startup.failed"
        assert "contacts.yaml" in message["message"]
        assert "peers" in message["message"]
        assert "more" in message["message"]
        assert lifespan.running is None


@pytest.mark.parametrize("error", [OSError("no disk"), Busy("locked")])
async def test_other_faults_that_are_foreseen_end_the_start_too(error: Exception) -> None:
    def failing() -> Running:
        raise error

    async with living(Lifespan(failing, None)) as sent:
        assert sent == [{"type": "lifespan.startup.failed", "message": str(error)}]


async def test_a_mistake_of_our_own_is_the_server_s_to_know() -> None:
    def failing() -> Running:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with living(Lifespan(failing, None)):
            pass


# The app behind.


async def test_an_app_lives_within_its_portal_s_life(home: Home) -> None:
    app = App()
    assert await lived(home, app) == ([STARTED, STOPPED], [False, True, False])
    assert app.told == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(
    "at_startup", [ZeroDivisionError(), "returns"], ids=["raising", "returning"]
)
async def test_an_app_that_knows_no_lifespan_has_none(home: Home, at_startup: object) -> None:
    assert await lived(home, App(at_startup)) == ([STARTED, STOPPED], [False, True, False])


async def test_an_app_that_fails_to_start_is_told_of_and_opens_no_portal(home: Home) -> None:
    failed = "lifespan.startup.failed"
    assert await lived(home, App(failed)) == ([failed], [False, False, False])


async def test_an_app_that_fails_to_stop_is_told_of(home: Home) -> None:
    failed = "lifespan.shutdown.failed"
    assert (await lived(home, App(at_shutdown=failed)))[0] == [STARTED, failed]


@pytest.mark.parametrize(
    "at_shutdown", [ZeroDivisionError(), "returns"], ids=["raising", "returning"]
)
async def test_an_app_that_just_ends_has_stopped(home: Home, at_shutdown: object) -> None:
    assert (await lived(home, App(at_shutdown=at_shutdown)))[0] == [STARTED, STOPPED]


async def test_an_app_that_never_returns_is_cancelled(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETURN_WAIT", 0.01)
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        try:
            await receive()
            await send({"type": STARTED})
            await receive()
            await send({"type": STOPPED})
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    assert (await lived(home, app))[0] == [STARTED, STOPPED]
    assert ended == ["cancelled"]


async def test_an_app_s_state_is_the_server_s(home: Home) -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"])
        await App()(scope, receive, send)
        seen.append(dict(scope["state"]))

    await lived(home, app)
    assert seen == [{"pool": "opened"}, {"pool": "opened"}]


async def test_what_an_app_still_does_is_waited_for_before_it_is_stopped(home: Home) -> None:
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await App()(scope, receive, send)
            order.append("stopped")
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
        await asyncio.sleep(0.05)
        order.append("done")

    lifespan = Lifespan(partial(open_for, app, "guestbook", home.config), app)
    async with living(lifespan):
        running = lifespan.running
        assert running is not None
        upstream = running.upstream
        from tests.http.in_process.messages import ask  # noqa: PLC0415 - a request, for this alone

        async with upstream.send(ask()) as response:
            assert [piece async for piece in response.pieces()] == []
    assert order == ["done", "stopped"]


async def test_a_portal_whose_files_are_followed_no_more_serves_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Step) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Step, "begin", fail)
    lifespan = Lifespan(partial(open_portal, home.config), None)
    async with living(lifespan) as sent, asyncio.timeout(PATIENCE):
        while lifespan.running is not None:  # noqa: ASYNC110 - of the follower
            await asyncio.sleep(0.01)
    assert types(sent) == [STARTED, STOPPED]
    assert "nothing is followed any more" in caplog.text
