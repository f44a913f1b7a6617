"""One request at the apps listener: whatever happens, and whenever, it ends once and lets go."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy import logging_setup
from proxy.config.limits import Limits
from proxy.core.errors import Code, Refusal
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.context import OutboundContext
from proxy.outbound.relay import OutboundRelay
from proxy.outbound.sealed import SealedTransport
from proxy.outbound.signed import SignedTransport
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.rates import RateTables
from proxy.transfer.relay import FORGOTTEN
from proxy.transfer.shared_counts import ALONE
from tests.outbound.exchanges import settle
from tests.outbound.peers import PEER, Stage

if TYPE_CHECKING:
    from proxy.core.access.policy import Contact
    from proxy.core.http.headers import Field, Fields
    from proxy.core.log_line import RequestLine
    from proxy.http.downstream import RequestHandler, Tunnel

TOKEN: Field = (b"portal-token", b"t0ken")
LARGE = 200_000


class Client:
    """A client's end that notes what it gets."""

    takes_interim = takes_upgrade = False

    def __init__(self) -> None:
        self.is_blocked = False
        self.is_paused = True
        self.is_invited = False
        self.is_broken = False
        self.finishes = 0
        self.heads: list[tuple[int, Fields]] = []
        self.body = b""
        self.is_whole = False
        self.bytes_in = self.bytes_out = 0
        self.on_head: Callable[[], None] | None = None

    def send_head(self, status: int, fields: Fields) -> None:
        assert not self.finishes
        self.heads.append((status, fields))
        if self.on_head is not None:
            self.on_head()

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        assert not self.finishes
        assert not self.is_whole
        self.body += piece
        self.is_whole = ends

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def invite(self) -> None:
        self.is_invited = True

    def break_off(self) -> None:
        self.is_broken = True

    def finish(self) -> None:
        self.finishes += 1

    def send_interim(self, status: int, fields: Fields) -> None:
        raise AssertionError((status, fields))

    def switch_protocols(self, fields: Fields) -> None:
        raise AssertionError(fields)

    def hand_over(self, handler: RequestHandler) -> None:
        raise AssertionError(handler)


class Tokens:
    def app_of(self, token: str) -> str | None:
        return "box" if token == "t0ken" else None

    def matches(self, app: str, token: str) -> bool:
        return (app, token) == ("box", "t0ken")


class Listener:
    """The apps listener of a Portal that has one app and one peer."""

    def __init__(self, mode: str, **limits: Any) -> None:
        self.stage = Stage(mode)
        self.active = ActiveRequests()
        self.is_peer_known = True
        self.limits = Limits(**limits)
        self.served: list[dict[str, Any]] = []
        config = SimpleNamespace(
            limits=self.limits, listen=SimpleNamespace(apps=SimpleNamespace(host="localhost"))
        )
        portal = SimpleNamespace(
            config=config,
            counts=ALONE,
            active_requests=self.active,
            apps={"box": None},
            catalogue=SimpleNamespace(unavailable=frozenset()),
            peer=self.peer,
            rates=RateTables(),
        )
        transports = {
            "sealed": SealedTransport(self.stage.context, self.stage.documents)
            if mode == "sealed"
            else SignedTransport(self.stage.context, self.limits)
        }
        self.context = OutboundContext(
            cast(Any, portal), cast(Any, transports), cast(Any, Tokens()), self.service
        )
        self.client = Client()
        self.relay: OutboundRelay

    def peer(self, app: str, prefix: str) -> Contact:
        assert (app, prefix) == ("box", "peer")
        if not self.is_peer_known:
            raise Refusal(Code.NO_SUCH_PEER)
        return PEER

    async def service(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"peers"})

    def ask(
        self,
        *fields: Field,
        method: bytes = b"POST",
        target: bytes = b"/internal/call_peer/peer/x",
        token: Field | None = TOKEN,
    ) -> OutboundRelay:
        shown = (token,) if token else ()
        head = RequestHead(method, target, 1, ((b"host", b"localhost"), *shown, *fields))
        self.relay = OutboundRelay(self.context, head, RemotePeer("127.0.0.1"), self.client)
        self.relay.begin()
        return self.relay

    def has_let_go(self) -> bool:
        return (
            len(self.active) == 0
            and len(self.context.concurrency) == 0
            and all(each.is_finished for each in self.stage.upstream.exchanges)
        )


class ClientWithConnection(Client):
    """One whose connection can become a tunnel."""

    tunnel: Tunnel | None = None

    def open_tunnel(self, tunnel: Tunnel) -> None:
        assert not self.heads
        self.tunnel = tunnel
        tunnel.opened(lambda: None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[RequestLine]:
    """Return the lines of the log as they are written."""
    written: list[RequestLine] = []
    monkeypatch.setattr(logging_setup, "write", lambda line, _: written.append(line))
    return written


def _length(size: int) -> Field:
    return b"content-length", str(size).encode()


def _deciding(listener: Listener) -> None:
    """Let the call wait for the peer's document; a signed one for its body."""
    listener.stage.documents._kept.clear()
    listener.ask(_length(10))


def _asked(listener: Listener) -> None:
    listener.ask(_length(10))
    listener.relay.body_received(b"x" * 10, ends=True)


def _sending(listener: Listener) -> None:
    listener.ask(_length(LARGE))
    listener.relay.body_received(bytes(LARGE // 2), ends=False)


def _blocked(listener: Listener) -> None:
    """Let the response wait for the client, with its head."""
    _asked(listener)
    listener.relay.pause_response()
    listener.stage.answer(listener.stage.response(b"answer"))


def _answering(listener: Listener) -> None:
    """Let the client take a part of the response."""
    _asked(listener)
    stage, client, relay = listener.stage, listener.client, listener.relay
    client.on_head = relay.pause_response
    stage.answer(stage.response(b"answer"))
    client.on_head = None


def _delivering(listener: Listener) -> None:
    _asked(listener)
    listener.client.is_blocked = True
    listener.stage.answer(listener.stage.response(b"answer"))


STATES: dict[str, Callable[[Listener], None]] = {
    "deciding": _deciding,
    "asked": _asked,
    "sending": _sending,
    "blocked": _blocked,
    "answering": _answering,
    "delivering": _delivering,
}


def _leave(listener: Listener) -> None:
    listener.relay.client_left()


def _revoke(listener: Listener) -> None:
    listener.is_peer_known = False
    listener.relay.revoke(Refusal(Code.NO_SUCH_PEER, "removed"))
    listener.relay.revoke(Refusal(Code.NO_SUCH_PEER, "removed"))


def _fail(listener: Listener) -> None:
    listener.relay.exchange_failed(UpstreamFailed("it broke off"))


def _mistake(listener: Listener) -> None:
    listener.relay.fail(ZeroDivisionError())


EVENTS: dict[str, Callable[[Listener], None]] = {
    "leave": _leave, "revoke": _revoke, "fail": _fail, "mistake": _mistake,
}  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_it_ends_once_and_gives_all_back(
    mode: str, state: str, event: str, lines: list[RequestLine]
) -> None:
    gc.collect()
    gc.freeze()  # what thousands of other tests left takes long to look at, and is none of this
    listener = Listener(mode)
    STATES[state](listener)
    had_begun = bool(listener.client.heads)
    EVENTS[event](listener)
    if listener.client.is_blocked and not listener.client.finishes:
        listener.client.is_blocked = False
        listener.relay.resume_response()
    await settle()
    client = listener.client
    assert (client.finishes, len(lines)) == (1, 1)
    assert listener.has_let_go()
    assert len(client.heads) == (event != "leave" or had_begun)
    assert client.is_whole is (state == "delivering" or (event != "leave" and not had_begun))
    if event != "leave" and not had_begun:
        assert client.heads[0][0] >= 400
        assert lines[0].code
    relay = listener.relay
    relay.body_received(b"more", ends=True)
    relay.pause_response()
    relay.resume_response()
    relay.client_left()
    relay.fail(UpstreamFailed("again"))
    await settle()
    assert (client.finishes, len(lines)) == (1, 1)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        del relay, listener.relay
        gc.collect()
        assert [each for each in gc.garbage if isinstance(each, OutboundRelay)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_call_passes_and_so_does_its_response(mode: str, lines: list[RequestLine]) -> None:
    listener = Listener(mode)
    relay = listener.ask(_length(4))
    assert listener.client.is_invited
    assert not listener.client.is_paused
    relay.body_received(b"body", ends=True)
    listener.stage.answer(listener.stage.response(b"answer", ((b"x-a", b"1"),), 203))
    await settle()
    ((status, fields),) = listener.client.heads
    assert (status, listener.client.body, listener.client.is_whole) == (203, b"answer", True)
    assert (b"x-a", b"1") in fields
    (line,) = lines
    assert (line.app, line.peer, line.mode, line.status) == ("box", PEER.id, "sealed", 203)
    assert line.outcome == "answered"
    assert listener.has_let_go()


async def test_nothing_of_a_request_is_kept_while_its_response_runs() -> None:
    listener = Listener("sealed")
    _answering(listener)
    await settle()
    relay = cast(Any, listener.relay)
    assert relay._request is FORGOTTEN
    assert relay._head_of_request is None
    listener.relay.client_left()
    await settle()


async def test_a_refusal_of_the_peer_s_proxy_is_noted(lines: list[RequestLine]) -> None:
    for mode in ("signed", "sealed"):
        listener = Listener(mode)
        listener.ask(method=b"GET")
        listener.stage.answer(listener.stage.refused(Code.NOT_ALLOWED))
        await settle()
        assert lines.pop().peer_code == "not_allowed"


async def test_a_body_isnt_asked_for_before_the_document_is_there(
    lines: list[RequestLine],
) -> None:
    listener = Listener("sealed")
    _deciding(listener)
    await settle()
    assert (listener.client.is_invited, listener.client.is_paused) == (False, True)
    listener.stage.documents.may_answer.set()
    await settle()
    assert (listener.client.is_invited, listener.client.is_paused) == (True, False)
    listener.relay.client_left()
    assert len(lines) == 1


@pytest.mark.parametrize("mode", ["signed", "sealed"])
@pytest.mark.parametrize("is_told", [False, True])
async def test_a_body_above_the_limit_is_refused(
    mode: str, *, is_told: bool, lines: list[RequestLine]
) -> None:
    listener = Listener(mode, body=1000)
    framing = _length(1001) if is_told else (b"transfer-encoding", b"chunked")
    relay = listener.ask(framing)
    if not is_told:
        relay.body_received(bytes(1001), ends=False)
        await settle()
    assert listener.client.heads[0][0] == 413
    assert lines[0].code == "too_large"
    assert listener.has_let_go()


@pytest.mark.parametrize(
    ("target", "token", "status"),
    [
        (b"/internal/call_peer/peer/x", None, 401),
        (b"http://peer.example/x", None, 407),
        (b"/internal/call_peer/peer/x", (b"portal-token", b"wrong"), 401),
        (b"http://peer.example/x", (b"proxy-authorization", b"Basic ###"), 407),
        (b"/protected/peers", None, 401),
    ],
)
async def test_without_its_token_an_app_reaches_nothing(
    target: bytes, token: Field | None, status: int, lines: list[RequestLine]
) -> None:
    listener = Listener("sealed")
    listener.ask(target=target, token=token)
    assert listener.client.heads[0][0] == status
    assert (listener.client.finishes, len(lines)) == (1, 1)
    assert listener.has_let_go()


async def test_as_many_calls_run_as_may(lines: list[RequestLine]) -> None:
    listener = Listener("sealed", requests_per_peer=1)
    listener.ask(method=b"GET")
    other, listener.client = listener.client, Client()
    first = listener.relay
    listener.ask(method=b"GET")
    assert listener.client.heads[0][0] == 429
    first.client_left()
    assert listener.has_let_go()
    assert (other.finishes, len(lines)) == (1, 2)


async def test_the_service_answers_and_is_stopped_when_its_client_leaves(
    lines: list[RequestLine],
) -> None:
    for leaves in (False, True):
        listener = Listener("sealed")
        relay = listener.ask(method=b"GET", target=b"/protected/peers?name=x")
        if leaves:
            await settle()
            relay.client_left()
        else:
            relay.body_received(b"", ends=True)
        await settle()
        (scope,) = listener.served
        assert (scope["portal.app"], scope["path"]) == ("box", "/protected/peers")
        assert listener.client.body == (b"" if leaves else b"peers")
        assert listener.client.finishes == 1
        assert listener.has_let_go()
    assert [line.outcome for line in lines] == ["answered", "left"]


def test_a_tunnel_is_opened_where_the_connection_can_become_one(lines: list[RequestLine]) -> None:
    listener = Listener("sealed")
    listener.client = client = ClientWithConnection()
    listener.ask(method=b"CONNECT", target=b"portal_core:80")

    assert client.tunnel is not None
    assert client.finishes == 1
    assert len(listener.context.tunnels) == 1
    assert [(line.app, line.status, line.code) for line in lines] == [("box", 200, "")]
    client.tunnel.closed()
    assert len(listener.context.tunnels) == 0
    assert listener.has_let_go()


def test_no_tunnel_is_opened_on_another_servers_connection(lines: list[RequestLine]) -> None:
    listener = Listener("sealed")
    listener.ask(method=b"CONNECT", target=b"portal_core:80")

    assert [status for status, _ in listener.client.heads] == [405]
    assert [line.code for line in lines] == ["method_not_allowed"]
    assert listener.has_let_go()
