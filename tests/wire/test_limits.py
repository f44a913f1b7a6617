"""Limits on bodies, messages and what runs at once: small ones, and both sides of each."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.writer import END, content
from tests.core.websocket.framing import TEXT, Frame, close, frames_of
from tests.patience import PATIENCE
from tests.wire.harness.holding import HoldingApp
from tests.wire.harness.portals import Portal, contact, reserve_port
from tests.wire.harness.raw import (
    Raw,
    RawConnection,
    chunked,
    exchange,
    read_message,
    request,
    response,
)
from tests.wire.harness.recorder import Accepted, Live, Recorder, eventually
from tests.wire.harness.sealer import SealedPeer, Sender
from tests.wire.harness.signer import FakePeer, SignedCall, new_key, sign_call
from tests.wire.harness.sockets import RawSocket, handshake, switched

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.core.identity import PrivateKey

KIB = 1024
BODY, HELD, MESSAGE = 256 * KIB, 64 * KIB, 16 * KIB
OF_PEER, OF_APP = 3, 6
OF_STRANGERS = OF_APP - 2
"""One place is kept for the owner's devices, and one for peers."""
NETWORK = "127.0.0.9"
SETTINGS = f"""\
accept: [sealed, signed]
trusted_proxies: [127.0.0.1]
limits:
  body: 256 KiB
  held_body: {HELD}
  requests_per_peer: {OF_PEER}
  requests_per_app: {OF_APP}
  websocket_message: 16KiB
"""
OPEN = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "public"}, "/peer": {"access": "peer"}}}"""
APPS = ("holding", "other", "recorder")


@dataclass
class Stage:
    """Lily with small limits, her apps, two peers who call, and three who are called."""

    lily: Portal
    holding: HoldingApp
    other: HoldingApp
    recorder: Recorder
    cleo: PrivateKey
    dora: PrivateKey
    stalling: FakePeer
    fake: FakePeer
    sealed: SealedPeer

    def ask(self, app: str, target: str = "/", method: str = "GET", *fields: tuple[str, str],
            body: bytes | None = None, more: bytes = b"") -> Raw:  # fmt: skip
        host = ("Host", self.lily.app_host(app))
        return exchange(self.lily.public, request(method, target, host, *fields, body=body) + more)

    def call(self, peer: FakePeer | SealedPeer, app: str = "holding", *fields: tuple[str, str],
             method: str = "GET", body: bytes | None = None) -> bytes:  # fmt: skip
        path = f"/internal/call_peer/{peer.key.public.portal_id}/x"
        head = (("Host", "portal_core"), ("Portal-Token", self.lily.token(app)), *fields)
        return request(method, path, *head, body=body)

    def begin(self, stack: ExitStack, raw: bytes, port: int = 0) -> RawConnection:
        """Send a request that the test waits for later, or never."""
        wire = stack.enter_context(RawConnection(port or self.lily.public))
        wire.send(raw)
        return wire

    def held(self, number: int) -> None:
        """Wait until the holding app keeps so many."""
        eventually(lambda: self.holding.held == number)

    def hold(self, stack: ExitStack, raw: Callable[[], bytes]) -> RawConnection:
        """Have the holding app keep one more."""
        return kept(self.holding, lambda: self.begin(stack, raw()))

    def to_hold(self) -> bytes:
        return request("GET", "/hold", ("Host", self.lily.app_host("holding")))


def kept(app: HoldingApp, begin: Callable[[], RawConnection]) -> RawConnection:
    """Begin a request until the app keeps it: a place that just came free may be noticed later."""
    before, wires = app.held, list[RawConnection]()

    def one_more() -> bool:
        wires.append(begin())
        eventually(lambda: app.held > before or has_answer(wires[-1]))
        return app.held > before

    eventually(one_more)
    return wires[-1]


def has_answer(wire: RawConnection) -> bool:
    wire.socket.settimeout(0)
    try:
        return bool(wire.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        wire.socket.settimeout(PATIENCE)


@pytest.fixture(scope="module")
def stage_(portals: type[Portal], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        holding, other = (stack.enter_context(HoldingApp()) for _ in range(2))
        recorder = stack.enter_context(Recorder())
        stalling, fake = (stack.enter_context(FakePeer()) for _ in range(2))
        sealed = stack.enter_context(SealedPeer())
        lily = portals(tmp_path_factory.mktemp("limits") / "lily", "Lily", settings=SETTINGS)
        stack.callback(lily.release)
        for name, app in zip(APPS, (holding, other, recorder), strict=True):
            lily.add_app(name, OPEN, app.port)
        cleo, dora = new_key(), new_key()
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        lily.knows(
            *(contact(key.public.portal_id, "Key", refusing, refusing) for key in (cleo, dora)),
            *(contact(peer.key.public.portal_id, "Fake", peer.port, peer.port)
              for peer in (stalling, fake)),
            contact(sealed.key.public.portal_id, "Sealed", sealed.port, sealed.port, "sealed"),
            apps=dict.fromkeys(APPS, "all"),
        )  # fmt: skip
        yield Stage(lily.start(), holding, other, recorder, cleo, dora, stalling, fake, sealed)
        lily.stop()
        assert lily.MISTAKE not in lily.log, lily.log


@pytest.fixture
def stage(stage_: Stage) -> Iterator[Stage]:
    stage_.recorder.clear()
    for peer in (stage_.stalling, stage_.fake, stage_.sealed):
        peer.clear()
    yield stage_
    stage_.holding.let_go()
    stage_.other.let_go()


# Bodies of strangers.


def test_a_length_above_the_limit_is_refused_before_the_body_has_come(stage: Stage) -> None:
    host = ("Host", stage.lily.app_host("recorder"))
    for expect in ((), (("Expect", "100-continue"),)):
        head = request("POST", "/", host, ("Content-Length", str(BODY + 1)), *expect)
        with RawConnection(stage.lily.public) as wire:
            wire.send(head)
            assert wire.until(b"\r\n").startswith(b"HTTP/1.1 413 ")
    assert not stage.recorder.received
    assert stage.ask("recorder", method="POST", body=b"x" * BODY).status == 200
    assert len(stage.recorder.request.body) == BODY


@pytest.mark.parametrize("more", [0, 1])
def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(
    stage: Stage, more: int
) -> None:
    pieces = chunked(*[b"x" * (64 * KIB)] * 4, *[b"x"] * more)
    got = stage.ask("recorder", "/", "POST", ("Transfer-Encoding", "chunked"), more=pieces)
    if more:
        assert (got.status, got.code) == (413, "too_large")
        assert not stage.recorder.requests, "what broke off isn't a whole request"
    else:
        assert got.status == 200
        assert len(stage.recorder.request.body) == BODY


def test_a_response_may_be_larger(stage: Stage) -> None:
    stage.recorder.script(response(200, body=b"x" * (2 * BODY)))
    assert len(stage.ask("recorder").body) == 2 * BODY


# Bodies of peers.


def test_a_signed_call_above_the_limit_is_refused_at_once_and_signed(stage: Stage) -> None:
    large = sign_call(stage.cleo, stage.lily, "recorder", method=b"POST", body=b"x" * (HELD + 1))
    with RawConnection(stage.lily.public) as wire:
        wire.send(large.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        got = wire.read()
    assert (got.status, got.code) == (413, "too_large")
    assert large.believes(got, stage.lily.id)
    assert not stage.recorder.received
    fits = sign_call(stage.cleo, stage.lily, "recorder", method=b"POST", body=b"x" * HELD)
    assert exchange(stage.lily.public, fits.raw).status == 200


@pytest.mark.parametrize("more", [0, 1])
def test_a_signed_call_in_chunks_is_refused_when_it_passes_the_limit(
    stage: Stage, more: int
) -> None:
    call = sign_call(stage.cleo, stage.lily, "recorder", method=b"POST", body=b"x" * (HELD + more))
    head, _, body = call.raw.partition(b"\r\n\r\n")
    head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    got = exchange(stage.lily.public, head + b"\r\n\r\n" + chunked(body[:KIB], body[KIB:]))
    assert call.believes(got, stage.lily.id)
    assert got.status == (413 if more else 200)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("is_told", [True, False])
def test_what_is_inside_an_envelope_has_the_limit_of_any_body(
    stage: Stage, more: int, *, is_told: bool
) -> None:
    size = BODY + more
    fields = ((b"content-length", b"%d" % size),) if is_told else ()
    sender = Sender(stage.cleo, stage.lily)
    got = sender.ask(sender.head("recorder", method=b"POST", fields=fields), b"x" * size)
    if more:
        assert (got.status, got.code) == (413, "too_large")
        assert not stage.recorder.requests
    else:
        assert got.status == 200
        assert len(stage.recorder.request.body) == size


@pytest.mark.parametrize("more", [-1, 1])
def test_padding_without_an_end_is_refused(stage: Stage, more: int) -> None:
    size = 32 * BODY + (2 + more) * 1024 * KIB
    sender = Sender(stage.cleo, stage.lily)
    sealer = sender.sealer
    head = sender.head("recorder", method=b"POST", fields=((b"content-length", b"1"),))
    start = sealer.header + sealer.seal(head + content(b"x") + END)
    with RawConnection(stage.lily.public) as wire:
        wire.send(sender.around().removesuffix(b"0\r\n\r\n"))
        wire.send(b"%x\r\n%b\r\n" % (len(start), start))
        with suppress(ConnectionError):
            for _ in range(size // (32 * KIB)):
                piece = sealer.seal(bytes(32 * KIB))
                wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            piece = sealer.finish()
            wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))
        if more < 0:
            assert sender.opened(wire.read()).status == 200
            assert stage.recorder.request.body == b"x"
            return
        eventually(lambda: stage.lily.lines(code="too_large", detail="more than 10 MiB"))
    assert not stage.recorder.requests


# Bodies of an app's own calls.


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_an_app_s_own_call_has_a_limit_too(stage: Stage, mode: str) -> None:
    peer, size = (stage.fake, HELD) if mode == "signed" else (stage.sealed, BODY)
    head = stage.call(peer, "holding", ("Content-Length", str(size + 1)), method="POST")
    got = exchange(stage.lily.apps, head)
    assert (got.status, got.code) == (413, "too_large")
    chunks = ("Transfer-Encoding", "chunked")
    for more in (0, 1):
        raw = stage.call(peer, "holding", chunks, method="POST")
        got = exchange(stage.lily.apps, raw + chunked(b"x" * size, *[b"x"] * more))
        assert got.status == (413 if more else 200)
    raw = stage.call(peer, method="POST", body=b"x" * size)
    assert exchange(stage.lily.apps, raw).body == b"from the peer"


def test_a_call_that_passes_the_limit_while_it_is_answered_is_broken_off(tmp_path: Path) -> None:
    """No refusal can follow a response that has begun: only the connection tells."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    begun = head + b"5\r\nbegun\r\n"

    def answer_at_once(wire: Accepted) -> None:
        wire.put_back(wire.until(b"\r\n\r\n"))
        wire.send(begun)
        read_message(wire)
        wire.send(b"0\r\n\r\n")

    with ExitStack() as stack:
        app = stack.enter_context(Live())
        app.act = answer_at_once
        mona = Portal(tmp_path / "mona", "Mona", settings=SETTINGS)
        nora = Portal(tmp_path / "nora", "Nora")
        mona.knows(nora.as_contact(mode="sealed"), apps={"live": "all"})
        nora.knows(mona.as_contact(), apps={"live": "all"})
        for portal in (mona, nora):
            stack.callback(portal.release)
            portal.add_app("live", OPEN.replace("public", "peer"), app.port)
            portal.start()
        path = f"/internal/call_peer/{nora.id}/x"
        own = (("Host", "portal_core"), ("Portal-Token", mona.token("live")))
        for more in (0, 1):
            with RawConnection(mona.apps) as wire:
                wire.send(request("POST", path, *own, ("Transfer-Encoding", "chunked")))
                wire.until(b"begun\r\n")
                wire.send(chunked(b"x" * BODY, *[b"x"] * more))
                if more:
                    assert wire.rest() == b""
                else:
                    wire.until(b"0\r\n\r\n")
        eventually(lambda: mona.lines(outcome="broken"))
        (line,) = mona.lines(outcome="broken")
        told = f"the call broke off: too_large: more than {BODY // KIB} KiB"
        assert (line["status"], line["detail"]) == (200, told)
        assert Portal.MISTAKE not in mona.log


# WebSocket messages.


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_message_above_the_limit_is_closed_with_1009_both_ways(stage: Stage, way: str) -> None:
    large = Frame(TEXT, b"x" * (MESSAGE + 1))
    stage.recorder.script(switched() + (large.raw() if way == "down" else b""))
    with RawSocket(stage.lily.public) as wire:
        wire.open(handshake(stage.lily.app_host("recorder"), "/"))
        if way == "up":
            wire.say(large)
        assert wire.hear_all() == [close(1009)]

    def got() -> list[tuple[int, bytes]]:
        frames, _ = frames_of(stage.recorder.received.partition(b"\r\n\r\n")[2])
        return [(frame.opcode, frame.payload) for frame in frames]

    eventually(got)
    assert got() == [(8, b"\x03\xf1")]


def test_a_message_of_the_limit_passes_both_ways(stage: Stage) -> None:
    whole = Frame(TEXT, b"x" * MESSAGE)
    stage.recorder.script(switched() + whole.raw())
    with RawSocket(stage.lily.public) as wire:
        wire.open(handshake(stage.lily.app_host("recorder"), "/"))
        wire.hear(whole)
        wire.say(whole)
        eventually(lambda: len(stage.recorder.received) > MESSAGE)


# What runs at once.


def signed_call(stage: Stage, key: PrivateKey, target: bytes = b"/hold") -> SignedCall:
    return sign_call(key, stage.lily, "holding", target)


def sealed_call(stage: Stage, key: PrivateKey, target: bytes = b"/hold") -> tuple[Sender, bytes]:
    sender = Sender(key, stage.lily)
    return sender, sender.around(sender.whole(sender.head("holding", target)))


def test_a_peer_at_its_bound_is_refused_and_holds_nobody_else_up(stage: Stage) -> None:
    with ExitStack() as stack:
        first = stage.hold(stack, lambda: signed_call(stage, stage.cleo).raw)
        sealed: list[tuple[Sender, bytes]] = []

        def sealed_anew() -> bytes:
            sealed.append(sealed_call(stage, stage.cleo))
            return sealed[-1][1]

        second = stage.hold(stack, sealed_anew)
        sender = sealed[-1][0]
        for _ in range(OF_PEER - 2):
            stage.hold(stack, lambda: signed_call(stage, stage.cleo).raw)
        refused = signed_call(stage, stage.cleo, b"/")
        got = exchange(stage.lily.public, refused.raw)
        assert (got.status, got.code) == (429, "too_many_requests")
        assert got.one("retry-after") == b"5"
        assert refused.believes(got, stage.lily.id)
        other, raw = sealed_call(stage, stage.cleo, b"/")
        got = other.opened(exchange(stage.lily.public, raw))
        assert (got.status, got.code) == (429, "too_many_requests")
        told = {"code": "too_many_requests", "caller_id": stage.cleo.public.portal_id}
        eventually(lambda: stage.lily.lines(mode="sealed", **told))
        assert stage.lily.lines(mode="signed", **told)
        # Others: another peer, and strangers, at the same app.
        assert exchange(stage.lily.public, signed_call(stage, stage.dora, b"/").raw).status == 200
        dora, raw = sealed_call(stage, stage.dora, b"/")
        assert dora.opened(exchange(stage.lily.public, raw)).status == 200
        assert stage.ask("holding").status == 200
        stage.holding.let_go()
        assert first.read().status == 200
        assert sender.opened(second.read()).status == 200
    eventually(
        lambda: exchange(stage.lily.public, signed_call(stage, stage.cleo, b"/").raw).status == 200
    )


def test_an_app_at_its_bound_is_busy_and_no_other_is(stage: Stage) -> None:
    with ExitStack() as stack:
        for _ in range(OF_STRANGERS):
            stage.hold(stack, stage.to_hold)
        for _ in range(3):
            got = stage.ask("holding")
            assert (got.status, got.code) == (503, "app_busy")
            assert got.one("retry-after") == b"5"
        stage.hold(stack, lambda: signed_call(stage, stage.cleo).raw)
        refused = signed_call(stage, stage.cleo, b"/")
        got = exchange(stage.lily.public, refused.raw)
        assert got.code == "app_busy"
        assert refused.believes(got, stage.lily.id)
        got = exchange(stage.lily.public, handshake(stage.lily.app_host("holding"), "/socket"))
        assert got.code == "app_busy"
        assert stage.ask("other").status == 200
        call = sign_call(stage.cleo, stage.lily, "other", b"/")
        assert exchange(stage.lily.public, call.raw).status == 200
        portal = request("GET", "/.well-known/portal-identity", ("Host", stage.lily.host))
        assert exchange(stage.lily.public, portal).status == 200
        # Its own calls are another matter.
        assert exchange(stage.lily.apps, stage.call(stage.fake)).status == 200
    is_free(stage)


def is_free(stage: Stage) -> None:
    """Hold that the app has all its places, and not one more."""
    eventually(lambda: stage.ask("holding").status == 200)
    stage.holding.let_go()
    with ExitStack() as stack:
        for _ in range(OF_STRANGERS):
            stage.hold(stack, stage.to_hold)
        assert stage.ask("holding").code == "app_busy"
        stage.holding.let_go()
    eventually(lambda: stage.ask("holding").status == 200)


End = Callable[[Stage], None]


def _answered(stage: Stage) -> None:
    assert stage.ask("holding").status == 200


def _too_large(stage: Stage) -> None:
    pieces = chunked(*[b"x" * (64 * KIB)] * 5)
    got = stage.ask("holding", "/", "POST", ("Transfer-Encoding", "chunked"), more=pieces)
    assert got.code == "too_large"


def _malformed(stage: Stage) -> None:
    fields = (("Host", stage.lily.app_host("holding")), ("Transfer-Encoding", "chunked"))
    with RawConnection(stage.lily.public) as wire:
        wire.send(request("POST", "/", *fields) + b"1\r\nx\r\nzz\r\n")
        wire.rest()


def _left(stage: Stage) -> None:
    with ExitStack() as stack:
        before = stage.holding.held
        stage.begin(stack, stage.to_hold())
        stage.held(before + 1)


def _left_in_the_body(stage: Stage) -> None:
    fields = (("Host", stage.lily.app_host("holding")), ("Content-Length", "1000"))
    with RawConnection(stage.lily.public) as wire:
        wire.send(request("POST", "/", *fields) + b"x")


def _left_signed_in_the_body(stage: Stage) -> None:
    call = sign_call(stage.cleo, stage.lily, "holding", b"/", method=b"POST", body=b"x" * 1000)
    with RawConnection(stage.lily.public) as wire:
        wire.send(call.raw[:-10])


def _wrong_digest(stage: Stage) -> None:
    call = sign_call(stage.cleo, stage.lily, "holding", b"/", method=b"POST", body=b"x" * 9)
    got = exchange(stage.lily.public, call.raw[:-1] + b"y")
    assert got.code == "digest_mismatch"


def _app_breaks_off(stage: Stage) -> None:
    with pytest.raises(EOFError):
        stage.ask("holding", "/part")


def _app_says_nothing(stage: Stage) -> None:
    assert stage.ask("holding", "/nothing").status == 502


def _envelope_breaks_off(stage: Stage) -> None:
    sender = Sender(stage.cleo, stage.lily)
    head = sender.head("holding", method=b"POST", fields=((b"content-length", b"1000"),))
    start = sender.sealer.header + sender.sealer.seal(head + content(b"x" * 10))
    sender.send(start)


def _socket_ends(stage: Stage) -> None:
    with RawSocket(stage.lily.public) as wire:
        wire.open(handshake(stage.lily.app_host("holding"), "/socket"))
        wire.say(close(1000))


def _socket_is_refused(stage: Stage) -> None:
    with RawSocket(stage.lily.public) as wire:
        wire.open(handshake(stage.lily.app_host("holding"), "/socket"))
        wire.say(Frame(TEXT, b"x" * (MESSAGE + 1)))
        wire.rest()


def _socket_breaks_off(stage: Stage) -> None:
    with RawSocket(stage.lily.public) as wire:
        wire.open(handshake(stage.lily.app_host("holding"), "/socket"))
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


ENDS: dict[str, End] = {
    "a response": _answered,
    "a body that is too large": _too_large,
    "a body that is malformed": _malformed,
    "a client that leaves": _left,
    "a client that leaves in its body": _left_in_the_body,
    "a peer that leaves in its body": _left_signed_in_the_body,
    "a wrong digest": _wrong_digest,
    "an app that breaks off": _app_breaks_off,
    "an app that says nothing": _app_says_nothing,
    "an envelope that breaks off": _envelope_breaks_off,
    "a WebSocket's end": _socket_ends,
    "a WebSocket that is refused": _socket_is_refused,
    "a WebSocket that breaks off": _socket_breaks_off,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_place_comes_back_whatever_the_end(stage: Stage, end: str) -> None:
    for _ in range(OF_STRANGERS + 1):
        eventually(lambda: stage.ask("holding").status == 200)
        ENDS[end](stage)
    is_free(stage)


def test_a_place_of_a_peer_s_comes_back_whatever_the_end(stage: Stage) -> None:
    for end in (_left_signed_in_the_body, _wrong_digest, _envelope_breaks_off):
        for _ in range(OF_PEER + 1):
            eventually(
                lambda: (
                    exchange(stage.lily.public, signed_call(stage, stage.cleo, b"/").raw).status
                    == 200
                )
            )
            end(stage)
    with ExitStack() as stack:
        for _ in range(OF_PEER):
            stage.hold(stack, lambda: signed_call(stage, stage.cleo).raw)
        got = exchange(stage.lily.public, signed_call(stage, stage.cleo, b"/").raw)
        assert got.code == "too_many_requests"


def test_a_websocket_has_a_place_to_its_end(stage: Stage) -> None:
    asked = handshake(stage.lily.app_host("holding"), "/socket")
    with RawSocket(stage.lily.public, NETWORK) as wire:
        wire.open(asked)
        with RawConnection(stage.lily.public, NETWORK) as again:
            again.send(asked)
            assert again.read().code == "app_busy"
        assert stage.ask("other").status == 200
    is_free(stage)


# An app's own calls.


def test_a_peer_that_stalls_takes_a_part_of_one_app_s_calls(stage: Stage) -> None:
    stalled = HoldingApp()
    honest = stage.stalling.honestly

    def stall(asked: object) -> bytes:
        stalled.keep()
        return honest(asked)  # type: ignore[arg-type]

    stage.stalling.response = stage.fake.response = stall
    with ExitStack() as stack:
        stack.enter_context(stalled)

        def keep(peer: FakePeer, app: str = "holding") -> None:
            kept(stalled, lambda: stage.begin(stack, stage.call(peer, app), stage.lily.apps))

        for _ in range(OF_PEER):
            keep(stage.stalling)
        got = exchange(stage.lily.apps, stage.call(stage.stalling))
        assert (got.status, got.code) == (429, "too_many_requests")
        assert got.one("retry-after") == b"5"
        # Another peer of the same app, and the same peer of another app.
        assert exchange(stage.lily.apps, stage.call(stage.sealed)).status == 200
        keep(stage.stalling, "other")
        for _ in range(OF_APP - OF_PEER):
            keep(stage.fake)
        # Now the app has no place left for anybody, and the other one has.
        got = exchange(stage.lily.apps, stage.call(stage.sealed))
        assert (got.status, got.code) == (429, "too_many_requests")
        assert exchange(stage.lily.apps, stage.call(stage.sealed, "other")).status == 200
        assert stage.ask("holding").status == 200
        stalled.let_go()
    eventually(lambda: exchange(stage.lily.apps, stage.call(stage.sealed)).status == 200)


def test_a_call_that_its_app_gives_up_gives_its_place_back(stage: Stage) -> None:
    stalled = HoldingApp()
    honest = stage.stalling.honestly

    def stall(asked: object) -> bytes:
        stalled.keep()
        return honest(asked)  # type: ignore[arg-type]

    stage.stalling.response = stall
    with stalled:
        for number in range(OF_PEER + 1):

            def one_more(number: int = number) -> bool:
                with ExitStack() as stack:
                    wire = stage.begin(stack, stage.call(stage.stalling), stage.lily.apps)
                    eventually(lambda: stalled.held > number or has_answer(wire))
                return stalled.held > number

            eventually(one_more)
        stage.stalling.response = honest
        eventually(lambda: exchange(stage.lily.apps, stage.call(stage.stalling)).status == 200)
        stalled.let_go()


def test_the_log_tells_who_was_refused_for_what(stage: Stage) -> None:
    nonce = secrets.token_hex(4)
    head = ("Host", stage.lily.app_host("recorder"))
    refused = request("POST", f"/{nonce}", head, ("Content-Length", str(BODY + 1)))
    assert exchange(stage.lily.public, refused).code == "too_large"
    eventually(lambda: stage.lily.lines(path=f"/{nonce}"))
    (line,) = stage.lily.lines(path=f"/{nonce}")
    assert (line["status"], line["code"]) == (413, "too_large")
    assert line["detail"] == f"{BODY + 1} bytes; 256 KiB are taken"
