"""A client at another ASGI server: what its messages tell a handler, and what it is sent."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.http.forwarded import RemotePeer
from proxy.http.asgi_client import AsgiClient, serve_by_callbacks
from proxy.http.scope import INTERIM, RAW, STOP, UPGRADE
from proxy.http.upstream import UpstreamFailed
from tests.embedded.server import Server, http, request, turns

if TYPE_CHECKING:
    from starlette.types import Message, Scope

    from proxy.core.http1.grammar import RequestHead
    from proxy.http.downstream import Downstream

REMOTE = RemotePeer("192.0.2.7", is_unix=False, is_tls=False)
LENGTH = (b"content-length", b"3")
CHUNKED = (b"transfer-encoding", b"chunked")
EXPECT = (b"expect", b"100-continue")
Act = Callable[["Handler"], None]
FIELDS = [(b"x", b"y")]


def head(status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": FIELDS}


def body(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


def raw(data: bytes, *, more: bool = True) -> Message:
    return {"type": RAW, "data": data, "more": more}


@dataclass
class Handler:
    """Notes what it is told, and does by the way what a test says."""

    doing: dict[str, Act] = field(default_factory=dict)
    """What to do when something is told, by its name."""
    told: list[Any] = field(default_factory=list)
    head: RequestHead | None = None
    _client: Downstream | None = None
    is_finished: bool = False

    @property
    def client(self) -> Downstream:
        assert self._client is not None
        return self._client

    def serve(self, head: RequestHead, remote: RemotePeer, client: Downstream) -> Handler:
        assert remote is REMOTE
        self.head, self._client = head, client
        self._do("serve")
        return self

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        self._note((piece, ends), "body")

    def client_left(self) -> None:
        self._note("left", "left")

    def pause_response(self) -> None:
        self._note("pause", "pause")

    def resume_response(self) -> None:
        self._note("resume", "resume")

    def stop(self) -> None:
        self._note("stop", "stop")

    def is_place_short(self) -> bool:
        return False

    def finish(self) -> None:
        self.is_finished = True
        self.client.finish()

    def _note(self, what: object, name: str) -> None:
        assert not self.is_finished
        assert "left" not in self.told
        self.told.append(what)
        self._do(name)

    def _do(self, name: str) -> None:
        if name in self.doing:
            self.doing[name](self)


class Slow(Server):
    """A server that takes a message when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.lets = asyncio.Semaphore(0)

    async def send(self, message: Message) -> None:
        await self.lets.acquire()
        await super().send(message)


class Serving:
    """A request as it is served."""

    def __init__(self, handler: Handler, server: Server, scope: Scope) -> None:
        self.handler, self.server = handler, server
        self.task = asyncio.create_task(
            serve_by_callbacks(handler.serve, REMOTE, scope, server.receive, server.send)
        )

    async def end(self) -> str:
        """Return how it ended: "" where it ended well."""
        async with asyncio.timeout(10):
            await asyncio.wait((self.task,))
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        return "" if error is None else type(error).__name__


async def serving(
    *doing: tuple[str, Act], server: Server | None = None, scope: Scope | None = None
) -> Serving:
    begun = Serving(Handler(dict(doing)), server or Server(), scope or http())
    await turns()
    return begun


def finish(handler: Handler) -> None:
    handler.finish()


def resume(handler: Handler) -> None:
    handler.client.resume()


def respond(*pieces: bytes) -> Act:
    """Return what sends a response of ``pieces``."""

    def act(handler: Handler) -> None:
        handler.client.send_head(200, FIELDS)
        for at, piece in enumerate(pieces, 1):
            handler.client.send(piece, ends=at == len(pieces))

    return act


# What goes out.


async def test_the_head_is_what_the_server_tells() -> None:
    scope = http("a.example", b"/x?y", CHUNKED, method="PUT")
    asked = await serving(("left", finish), scope=scope)
    got = asked.handler.head
    assert got is not None
    assert (got.method, got.target, got.minor) == (b"PUT", b"/x?y", 1)
    assert list(got.fields) == [(b"host", b"a.example"), CHUNKED]
    asked.task.cancel()
    assert await asked.end() == "cancelled"


def _interim(handler: Handler) -> None:
    handler.client.send_interim(103, FIELDS)
    respond(b"")(handler)
    handler.client.send_interim(103, FIELDS)


def _talk(handler: Handler) -> None:
    handler.client.switch_protocols(FIELDS)
    handler.client.send(b"")
    handler.client.send(b"one")
    handler.client.send(b"two", ends=True)


_INTERIM = {"type": INTERIM, "status": 103, "headers": FIELDS}


@pytest.mark.parametrize(
    ("act", "changes", "sent", "size"),
    [
        (respond(b"a", b"bc"), {}, [head(), body(b"a", more=True), body(b"bc")], 3),
        (respond(b"abc"), {}, [head(), body(b"abc")], 3),
        (respond(b"a", b"", b""), {}, [head(), body(b"a", more=True), body()], 1),
        (respond(b"abc"), {"method": "HEAD"}, [head(), body()], 3),
        (_interim, {}, [head(), body()], 0),
        (_interim, {"extensions": {INTERIM: {}}}, [_INTERIM, head(), body()], 0),
        (
            _talk,
            {"extensions": {UPGRADE: {}}},
            [{"type": UPGRADE, "headers": FIELDS}, raw(b"one"), raw(b"two", more=False)],
            6,
        ),
    ],
    ids=["pieces", "one", "empty", "head", "no interim", "interim", "stream"],
)
async def test_what_is_said_is_sent_in_its_order(
    act: Act, changes: dict[str, Any], sent: list[Message], size: int
) -> None:
    asked = await serving(("serve", act), ("resume", finish), scope=http(**changes))
    assert await asked.end() == ""
    assert asked.server.sent == sent
    assert asked.handler.client.bytes_out == size


@pytest.mark.parametrize(
    ("version", "extensions", "takes"),
    [("1.1", {UPGRADE: {}}, True), ("1.0", {UPGRADE: {}}, False), ("1.1", {}, False)],
)
async def test_only_http_1_1_is_left_and_only_where_the_server_can(
    version: str, extensions: dict[str, Any], *, takes: bool
) -> None:
    scope = http(version=version, extensions=extensions)
    asked = await serving(("serve", respond(b"")), ("resume", finish), scope=scope)
    assert asked.handler.client.takes_upgrade is takes
    await asked.end()


async def test_a_handler_is_blocked_until_the_server_has_all_and_hears_so_once() -> None:
    server = Slow()
    asked = await serving(("serve", lambda one: one.client.send_head(200, FIELDS)), server=server)
    handler, client = asked.handler, asked.handler.client
    assert (handler.told, client.is_blocked) == ([], True)  # nobody to tell, in ``serve``
    client.send(b"a")
    client.send(b"b")
    server.lets.release()
    server.lets.release()
    await turns()
    assert (handler.told, client.is_blocked) == ([], True)
    server.lets.release()
    await turns()
    assert (handler.told, client.is_blocked) == (["resume"], False)
    client.send(b"c")
    assert (handler.told, client.is_blocked) == (["resume", "pause"], True)
    client.send(b"d")
    assert handler.told == ["resume", "pause"]
    for _ in range(2):
        server.lets.release()
    await turns()
    assert (handler.told, client.is_blocked) == (["resume", "pause", "resume"], False)
    client.send(b"", ends=True)
    assert (handler.told[3:], client.is_blocked) == ([], True)  # the end needs no pause
    server.lets.release()
    await turns()
    assert (handler.told[3:], client.is_blocked) == (["resume"], False)
    handler.finish()
    assert await asked.end() == ""


async def test_a_stream_is_blocked_while_the_server_takes_another_piece() -> None:
    server = Slow()
    asked = await serving(server=server, scope=http(extensions={UPGRADE: {}}))
    handler, client = asked.handler, asked.handler.client
    client.switch_protocols(FIELDS)
    assert (handler.told, client.is_blocked) == ([], False)
    await turns()  # and the server is busy with that
    client.send(b"a")
    assert (handler.told, client.is_blocked) == (["pause"], True)
    server.lets.release()
    server.lets.release()
    await turns()
    assert (handler.told, client.is_blocked) == (["pause", "resume"], False)
    blocked: list[bool] = []
    for piece in (b"b", b""):
        client.send(piece, ends=not piece)
        blocked.append(client.is_blocked)
    assert blocked == [False, True]
    handler.finish()
    for _ in range(2):
        server.lets.release()
    assert await asked.end() == ""
    assert server.sent[1:] == [raw(b"a"), raw(b"b"), raw(b"", more=False)]


async def test_what_was_said_before_the_end_is_sent_behind_finish_too() -> None:
    server = Slow()
    asked = await serving(("serve", respond(b"a", b"b")), server=server)
    asked.handler.finish()
    for _ in range(3):
        server.lets.release()
    assert await asked.end() == ""
    assert server.sent == [head(), body(b"a", more=True), body(b"b")]
    assert asked.handler.told == []


# What comes in.


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([request()], [(b"", True)]),
        ([{"type": "http.request"}], [(b"", True)]),
        ([request(b"abc")], [(b"abc", True)]),
        ([request(b"a", more=True), request(b"bc")], [(b"a", False), (b"bc", True)]),
        (
            [request(b"abc", more=True), request(b"", more=True), request()],
            [(b"abc", False), (b"", False), (b"", True)],
        ),
        ([request(), request(b"what?")], [(b"", True)]),
    ],
    ids=["end", "bare", "one", "two", "empty", "behind the end"],
)
async def test_a_handler_that_has_resumed_is_told_of_the_body(
    messages: list[Message], told: list[Any]
) -> None:
    asked = await serving(("serve", resume), scope=http("a.example", b"/", CHUNKED))
    asked.server.says(*messages)
    await turns()
    assert asked.handler.told == told
    assert asked.handler.client.bytes_in == sum(len(piece) for piece, _ in told)
    respond(b"")(asked.handler)
    asked.handler.finish()
    assert await asked.end() == ""


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED])
async def test_nobody_asks_for_a_body_before_it_is_wanted(framing: tuple[bytes, bytes]) -> None:
    asked = await serving(scope=http("a.example", b"/", framing))
    assert asked.server.asked == 0
    asked.handler.client.resume()
    await turns()
    assert asked.server.asked == 1
    asked.task.cancel()
    await asked.end()


async def test_a_client_that_waits_for_100_is_asked_only_behind_an_invitation() -> None:
    asked = await serving(("serve", resume), scope=http("a.example", b"/", LENGTH, EXPECT))
    assert asked.server.asked == 0
    asked.handler.client.invite()
    await turns()
    assert asked.server.asked == 1
    asked.server.says(request(b"abc"))
    await turns()
    assert asked.handler.told == [(b"abc", True)]
    asked.task.cancel()
    await asked.end()


async def test_invited_a_body_still_waits_for_resume() -> None:
    scope = http("a.example", b"/", LENGTH, EXPECT)
    asked = await serving(("serve", lambda one: one.client.invite()), scope=scope)
    assert asked.server.asked == 0
    asked.task.cancel()
    await asked.end()


async def test_no_more_is_taken_in_than_two_pieces_that_wait() -> None:
    scope = http("a.example", b"/", CHUNKED)
    pausing = ("body", lambda one: one.client.pause())
    asked = await serving(("serve", resume), pausing, scope=scope)
    handler, client = asked.handler, asked.handler.client
    asked.server.says(*(request(b"%d" % at, more=True) for at in range(6)))
    await turns()
    assert (handler.told, client.bytes_in, asked.server.asked) == ([(b"0", False)], 1, 3)
    for at in range(1, 6):
        client.resume()
        assert len(handler.told) == at  # nothing is told from within
        client.resume()
        await turns()
        assert handler.told[-1] == (b"%d" % at, False)
        assert len(handler.told) == at + 1
    asked.task.cancel()
    await asked.end()


async def test_what_is_paused_again_at_once_gets_nothing() -> None:
    asked = await serving()  # of a request without a body, whose end waits
    asked.server.says(request())
    await turns()
    asked.handler.client.resume()
    asked.handler.client.pause()
    await turns()
    assert asked.handler.told == []
    asked.task.cancel()
    await asked.end()


async def test_behind_a_101_the_stream_passes_and_not_the_request_s_end() -> None:
    pausing = ("body", lambda one: one.client.pause())
    scope = http(extensions={UPGRADE: {}})
    asked = await serving(pausing, scope=scope)
    handler, client = asked.handler, asked.handler.client
    asked.server.says(request())
    await turns()
    client.switch_protocols([])
    asked.server.says(raw(b"a"), raw(b"b"), {"type": STOP}, raw(b"", more=False))
    await turns()
    assert handler.told == []
    asked_before = asked.server.asked
    client.resume()
    await turns()
    assert handler.told == [(b"a", False)]
    assert asked.server.asked == asked_before  # none is taken in ahead
    client.resume()
    await turns()
    client.resume()
    await turns()
    assert handler.told[1:] == [(b"b", False), "stop", (b"", True)]
    client.send(b"", ends=True)
    handler.finish()
    assert await asked.end() == ""


async def test_another_handler_is_told_from_then_on() -> None:
    asked = await serving(("serve", resume), scope=http("a.example", b"/", CHUNKED))
    other = Handler()
    asked.handler.client.hand_over(other)
    asked.server.says(request(b"a"))
    asked.server.leaves()
    await turns()
    assert (asked.handler.told, other.told) == ([], [(b"a", True), "left"])
    asked.handler.client.hand_over(asked.handler)  # too late: nothing is told any more
    asked.handler.finish()
    assert await asked.end() == ""


# Who finishes within what it is told.


@pytest.mark.parametrize("when", ["serve", "body", "pause", "resume", "left", "stop"])
async def test_finish_within_anything_that_is_told_is_the_end(when: str) -> None:
    def begin(handler: Handler) -> None:
        if when == "serve":
            respond(b"")(handler)
            handler.finish()
        else:
            handler.client.resume()

    scope = http("a.example", b"/", CHUNKED, extensions={UPGRADE: {}})
    before = asyncio.all_tasks()
    asked = await serving(("serve", begin), (when, begin if when == "serve" else finish),
                          scope=scope)  # fmt: skip
    handler = asked.handler
    if when == "body":
        asked.server.says(request(b"a", more=True), request(b"b"))
    elif when == "left":
        asked.server.leaves()
    elif when == "stop":
        asked.server.says({"type": STOP})
    elif when in ("pause", "resume"):
        handler.client.send_head(200, FIELDS)
    # Whoever finishes without a whole response has the connection broken.
    assert await asked.end() == ("" if when in ("serve", "left") else "UpstreamFailed")
    await turns()
    assert handler.is_finished
    assert asyncio.all_tasks() == before
    handler.client.finish()  # a second time does nothing


# How a response breaks.


async def test_a_response_that_is_broken_off_is_the_server_s_to_know() -> None:
    asked = await serving(("serve", lambda one: one.client.send_head(200, FIELDS)))
    asked.handler.client.send(b"part")
    asked.handler.client.break_off()
    asked.handler.client.send(b"more", ends=True)
    asked.handler.finish()
    assert await asked.end() == "UpstreamFailed"
    assert asked.server.sent == [head()]


async def test_a_server_that_takes_nothing_doesn_t_hold_what_is_broken_off() -> None:
    asked = await serving(("serve", respond(b"a", b"b")), server=Slow())
    asked.handler.client.break_off()
    asked.handler.finish()
    assert await asked.end() == "UpstreamFailed"
    assert asked.task.cancelling() == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("piece", "is_wrong"), [(b"ab", True), (b"abcd", True), (b"abc", False)])
async def test_a_body_that_isn_t_its_length_is_none(
    method: str, piece: bytes, *, is_wrong: bool
) -> None:
    asked = await serving(scope=http(method=method))
    asked.handler.client.send_head(200, [LENGTH])
    if is_wrong and method == "GET":
        with pytest.raises(UpstreamFailed):
            asked.handler.client.send(piece, ends=True)
        asked.handler.client.break_off()
        wanted = "UpstreamFailed"
    else:
        asked.handler.client.send(piece, ends=True)
        wanted = ""
    asked.handler.finish()
    assert await asked.end() == wanted


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_body_stands_between_its_head_and_its_end(*, is_late: bool) -> None:
    asked = await serving()
    if is_late:
        respond(b"a")(asked.handler)
    with pytest.raises(UpstreamFailed):
        asked.handler.client.send(b"b")
    asked.handler.client.break_off()
    asked.handler.finish()
    assert await asked.end() == "UpstreamFailed"


# What the server raises.


@pytest.mark.parametrize(
    ("error", "ended"), [(ConnectionResetError(), ""), (ZeroDivisionError(), "ZeroDivisionError")]
)
async def test_a_server_that_can_t_send_is_a_client_that_left(error: Exception, ended: str) -> None:
    server = Server(error=error)
    before = asyncio.all_tasks()
    asked = await serving(("serve", respond(b"a", b"b")), ("left", finish), server=server)
    assert await asked.end() == ended
    assert asked.handler.told == ["left"]
    assert asyncio.all_tasks() == before


async def test_a_server_that_can_t_receive_is_told_its_own_error() -> None:
    class Deaf(Server):
        async def receive(self) -> Message:
            raise ZeroDivisionError

    asked = await serving(("left", finish), server=Deaf())
    assert await asked.end() == "ZeroDivisionError"
    assert asked.handler.told == ["left"]


# What stays behind.


@pytest.mark.parametrize("how", ["well", "left", "broken"])
async def test_nothing_stays_behind(how: str) -> None:
    gc.collect()
    gc.disable()
    try:
        refs = await _serve_and_forget(how)
        await turns()
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


async def _serve_and_forget(how: str) -> list[weakref.ref[Any]]:
    class Seen(AsgiClient):
        __slots__ = ("__weakref__",)

    server = Server()
    scope = http("a.example", b"/", CHUNKED)
    handler = Handler({"left": finish})
    asked = await serving(scope=scope)  # for its head alone
    assert asked.handler.head is not None
    client = Seen(asked.handler.head, scope, server.receive, server.send)
    asked.task.cancel()
    await asked.end()
    client.served_by(handler.serve(asked.handler.head, REMOTE, client))
    running = asyncio.create_task(client.run())
    await turns()
    if how == "left":
        client.resume()
        server.leaves()
    else:
        client.send_head(200, FIELDS)
        client.send(b"a", ends=how == "well")
        await turns()
        handler.finish()
    await asyncio.wait((running,))
    refs: list[weakref.ref[Any]] = [weakref.ref(handler), weakref.ref(client)]
    assert (running.exception() is None) == (how != "broken")
    handler._client = None
    return refs
