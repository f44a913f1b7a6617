"""An app that serves a request: what it receives of a client, and what its words become."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import indexed
from proxy.core.http1.grammar import RequestHead
from proxy.http.asgi_handler import AsgiHandler, serve_asgi
from proxy.http.scope import INTERIM, RAW, STOP, TARGET, UPGRADE, connection_scope
from tests.embedded.server import turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.core.http.headers import Fields
    from proxy.http.downstream import RequestHandler

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

FIELDS = ((b"x", b"y"),)
START = {"type": "http.response.start", "status": 200, "headers": [*FIELDS]}
_GET = RequestHead(b"GET", b"/%61?b", 1, indexed(((b"host", b"a"),)))


def body(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


def request(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": piece, "more_body": more}


def raw(data: bytes, *, more: bool = True) -> Message:
    return {"type": RAW, "data": data, "more": more}


class Client:
    """A client's end that notes what it is told; it begins paused."""

    takes_interim = takes_upgrade = True
    bytes_in = bytes_out = 0

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.is_blocked = False
        self.is_paused = True
        self.is_finished = False
        self.invitations = 0
        self.mistake: Exception | None = None
        """What ``send`` raises."""

    def send_interim(self, status: int, fields: Fields) -> None:
        self._note("interim", status, *fields)

    def send_head(self, status: int, fields: Fields) -> None:
        self._note("head", status, *fields)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        if self.mistake is not None:
            raise self.mistake
        self._note(piece, ends)

    def switch_protocols(self, fields: Fields) -> None:
        self._note("switch", *fields)

    def pause(self) -> None:
        assert not self.is_finished
        self.is_paused = True

    def resume(self) -> None:
        assert not self.is_finished
        self.is_paused = False

    def invite(self) -> None:
        assert not self.is_finished
        self.invitations += 1

    def hand_over(self, handler: RequestHandler) -> None:
        raise NotImplementedError

    def break_off(self) -> None:
        self._note("broken")

    def finish(self) -> None:
        self._note("finished")
        self.is_finished = True

    def _note(self, *what: object) -> None:
        assert not self.is_finished
        self.got.append(what if len(what) > 1 else what[0])


class Script:
    """An app that does one thing after the other, when a test says so."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.ended = ""
        self.received: list[Message] = []
        self._steps: asyncio.Queue[Message | str | type[Exception]] = asyncio.Queue()

    def does(self, *steps: Message | str | type[Exception]) -> None:
        """Send a message, "receive", "return", or raise."""
        for step in steps:
            self._steps.put_nowait(step)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        try:
            while (step := await self._steps.get()) != "return":
                if isinstance(step, type):
                    raise step  # noqa: TRY301 - as an app does, far down
                if step == "receive":
                    self.received.append(await receive())
                elif not isinstance(step, str):
                    await send(step)
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        except Exception as error:
            self.ended = type(error).__name__
            raise
        self.ended = "well"


class Served:
    """A request that an app serves."""

    def __init__(self, app: App | None = None, **state: Any) -> None:
        self.client = Client()
        self.app = Script()
        self.tasks: set[asyncio.Task[None]] = set()
        shared = connection_scope((("192.0.2.7", 1), None), "http", state)
        serve = serve_asgi(app or self.app, shared, self.tasks)
        handler = serve(_GET, RemotePeer("192.0.2.7"), self.client)
        assert isinstance(handler, AsgiHandler)
        self.handler = handler

    async def does(self, *steps: Message | str | type[Exception]) -> None:
        self.app.does(*steps)
        await turns()


async def test_the_app_is_told_the_request_and_its_exact_target() -> None:
    served = Served(own="kept")
    await served.does(START, body(), "return")
    scope = served.app.scope
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("GET", "/a", b"/%61")
    assert scope["state"] == {"own": "kept", TARGET: b"/%61?b"}
    assert served.client.got == [("head", 200, *FIELDS), (b"", True), "finished"]
    assert (served.app.ended, served.tasks) == ("well", set())


# What the app sends.


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ([START, body(b"a", more=True), body(b"b")], [(b"a", False), (b"b", True)]),
        ([START, {"type": "http.response.body"}], [(b"", True)]),
        (
            [{"type": INTERIM, "status": 103, "headers": [*FIELDS]}, START, body()],
            [(b"", True)],
        ),
        (
            [{"type": UPGRADE, "headers": [*FIELDS]}, raw(b"a"), raw(b"b", more=False)],
            [(b"a", False), (b"b", True)],
        ),
    ],
    ids=["pieces", "bare", "interim", "stream"],
)
async def test_what_it_sends_is_said_in_its_order(sent: list[Message], got: list[Any]) -> None:
    served = Served()
    await served.does(*sent, "return")
    first = {INTERIM: ("interim", 103, *FIELDS), UPGRADE: ("switch", *FIELDS)}
    heads = [first.get(message["type"], ("head", 200, *FIELDS)) for message in sent[: -len(got)]]
    assert served.client.got == [*heads, *got, "finished"]


@pytest.mark.parametrize(
    "sent",
    [
        [body()],
        [START, START],
        [START, body(), body()],
        [START, {"type": INTERIM, "status": 103, "headers": []}],
        [START, {"type": UPGRADE, "headers": []}],
        [raw(b"a")],
        [{"type": UPGRADE, "headers": []}, body()],
        [{"type": UPGRADE, "headers": []}, raw(b"", more=False), raw(b"a")],
        [{"type": "websocket.accept"}],
    ],
)
async def test_what_comes_out_of_its_turn_is_a_mistake(sent: list[Message]) -> None:
    served = Served()
    await served.does(*sent)
    assert served.app.ended == "RuntimeError"
    assert served.client.got[len(sent) - 1 :] == ["finished"]


async def test_it_sends_on_only_when_the_client_takes_more() -> None:
    served = Served()
    served.client.is_blocked = True
    await served.does(START, body(b"a", more=True), body())
    assert len(served.client.got) == 1
    served.handler.pause_response()
    served.handler.resume_response()  # which it isn't to believe
    await turns()
    assert len(served.client.got) == 1
    served.client.is_blocked = False
    served.handler.resume_response()
    await turns()
    assert served.client.got[1:] == [(b"a", False), (b"", True)]


async def test_a_body_that_isn_t_what_was_announced_is_the_app_s_mistake() -> None:
    served = Served()
    served.client.mistake = ZeroDivisionError()
    await served.does(START, body(b"a"))
    assert served.app.ended == "ZeroDivisionError"
    assert served.client.got[1:] == ["finished"]


# What the app receives.


@pytest.mark.parametrize(
    ("pieces", "received"),
    [
        ([(b"", True)], [request()]),
        ([(b"a", True)], [request(b"a")]),
        ([(b"a", False), (b"", True)], [request(b"a", more=True), request()]),
        ([(b"a", False), (b"b", True)], [request(b"a", more=True), request(b"b")]),
        ([(b"", False), (b"a", True)], [request(b"a")]),
    ],
)
async def test_it_receives_the_body_piece_by_piece(
    pieces: list[tuple[bytes, bool]], received: list[Message]
) -> None:
    served = Served()
    await turns()
    assert (served.client.is_paused, served.client.invitations) == (True, 0)
    await served.does(*["receive"] * (len(received) + 1))
    for piece, ends in pieces:
        was_paused = served.client.is_paused
        served.handler.body_received(piece, ends=ends)
        assert (was_paused, served.client.is_paused) == (False, True)
        await turns()
    assert served.app.received == received
    assert served.client.is_paused  # behind the end nothing is asked for
    assert served.client.invitations
    served.handler.client_left()
    await turns()
    assert served.client.got == ["finished"]


async def test_what_comes_at_once_is_received_with_its_end() -> None:
    served = Served()
    served.handler.body_received(b"a", ends=False)
    served.handler.body_received(b"b", ends=False)
    served.handler.body_received(b"", ends=True)
    await served.does("receive", "receive")
    assert served.app.received == [request(b"a", more=True), request(b"b")]


async def test_behind_its_response_it_hears_that_it_is_over_again_and_again() -> None:
    served = Served()
    served.handler.body_received(b"", ends=True)
    await served.does("receive", "receive")
    assert served.app.received == [request()]
    served.app.does("receive", "return")
    # The app waits for the client to leave, and another task of it answers.
    await served.handler.send(START)
    await served.handler.send(body())
    await turns()
    assert served.app.received[1:] == [{"type": "http.disconnect"}] * 2
    assert served.app.ended == "well"


async def test_it_receives_a_stream_and_hears_once_that_the_server_ends() -> None:
    served = Served()
    served.handler.body_received(b"", ends=True)
    await served.does("receive", {"type": UPGRADE, "headers": []}, "receive")
    served.handler.body_received(b"a", ends=False)
    await served.does("receive")
    served.handler.stop()
    await served.does("receive")
    served.handler.body_received(b"b", ends=True)
    await served.does("receive", "receive")
    end = raw(b"", more=False)
    assert served.app.received[1:] == [raw(b"a"), {"type": STOP}, raw(b"b"), end, end]


# How it ends.


@pytest.mark.parametrize(
    "steps", [[], ["receive"], [START], [START, body(b"a", more=True)]], ids=len
)
async def test_who_leaves_has_its_app_cancelled(steps: list[Message | str]) -> None:
    served = Served()
    await served.does(*steps)
    served.handler.client_left()
    await turns()
    assert served.app.ended == "cancelled"
    assert served.client.got[-1] == "finished"
    assert "broken" not in served.client.got
    assert served.tasks == set()


async def test_who_leaves_before_the_app_has_begun_has_its_end_too() -> None:
    served = Served()
    served.handler.client_left()
    await turns()
    assert (served.app.scope, served.client.got, served.tasks) == ({}, ["finished"], set())


async def test_who_leaves_with_the_last_still_on_its_way_has_its_app_cancelled() -> None:
    served = Served()
    await served.does(START)
    served.client.is_blocked = True
    await served.does(body(b"a"))
    served.client.is_blocked = False
    served.handler.client_left()
    await turns()
    assert served.app.ended == "cancelled"


async def test_behind_a_whole_response_the_app_goes_on() -> None:
    served = Served()
    served.handler.body_received(b"", ends=True)
    await served.does("receive", START, body(b"a"))
    served.handler.client_left()
    await served.does(body(b"nobody hears"), "receive", "receive", "return")
    assert served.app.ended == "well"
    assert served.app.received[1:] == [{"type": "http.disconnect"}] * 2
    assert served.client.got == [("head", 200, *FIELDS), (b"a", True), "finished"]


async def test_an_app_that_never_waits_hears_that_it_is_cancelled() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send(START)
        while True:
            await send(body(b"a", more=True))

    served = Served(endless)
    # An app that is never blocked leaves the loop to nobody else, until its client has left.
    noted = served.client.send

    def leaving(piece: bytes, *, ends: bool = False) -> None:
        noted(piece, ends=ends)
        served.handler.client_left()

    served.client.send = leaving  # type: ignore[method-assign]
    await turns()
    assert served.client.got == [("head", 200, *FIELDS), (b"a", False), "finished"]


async def test_a_server_that_ends_breaks_off() -> None:
    served = Served()
    await served.does(START)
    for task in served.tasks:
        task.cancel()
    await turns()
    assert served.client.got[1:] == ["broken", "finished"]


@pytest.mark.parametrize(
    ("steps", "leaves", "level"),
    [
        ([], False, logging.ERROR),
        ([START], False, logging.DEBUG),
        ([START, body()], False, logging.ERROR),
        ([START, body()], True, None),
    ],
    ids=["no response", "part", "whole", "left"],
)
async def test_what_the_app_raises_is_logged_by_what_the_client_has(
    steps: list[Message], level: int | None, caplog: pytest.LogCaptureFixture, *, leaves: bool
) -> None:
    served = Served()
    await served.does(*steps)
    if leaves:
        served.handler.client_left()
    with caplog.at_level(logging.DEBUG, "proxy.http"):
        await served.does(ZeroDivisionError)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert served.client.got[-1] == "finished"


@pytest.mark.parametrize("how", ["well", "left", "raised", "never begun", "pages"])
async def test_nothing_stays_behind(how: str) -> None:
    gc.collect()
    gc.disable()
    try:
        ref = await _serve_and_forget(how)
        await turns()
        assert ref() is None
    finally:
        gc.enable()


async def _serve_and_forget(how: str) -> weakref.ref[Any]:
    if how == "pages":  # whose task is somebody else's
        client = Client()
        handler = AsgiHandler(client, {"state": {}})
        await handler.send(START)
        return weakref.ref(client)
    served = Served()
    if how != "never begun":
        await served.does(START)
    if how == "well":
        await served.does(body(), "return")
    elif how == "raised":
        await served.does(OSError)
    else:
        served.handler.client_left()
        await turns()
    assert served.client.is_finished
    return weakref.ref(served.client)
