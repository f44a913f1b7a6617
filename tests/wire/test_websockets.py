"""WebSockets from strangers to an app, over real processes."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK

from tests.core.websocket.framing import (
    BINARY,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
    frames_of,
)
from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sockets import (
    ACCEPT,
    RawSocket,
    WebSocketApp,
    dial,
    handshake,
    resident,
    switched,
)

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "private"},
  "/public": {"access": "public", "headers": {"X-Room": "{{ portal.short_id }}"}},
  "/peer": {"access": "peer"}}}"""
HELLO = Frame(TEXT, b"hello")
SMUGGLED = b"GET /private/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1024 * 1024
END = b"\r\n\r\n"


@dataclass
class Stage:
    """A Portal with two apps: one that speaks WebSockets, one that records bytes."""

    portal: Portal
    sock: WebSocketApp
    recorder: Recorder

    @property
    def host(self) -> str:
        return self.portal.app_host("raw")

    def raw(self, path: str = "/public/ws") -> RawSocket:
        """Open a WebSocket at the recording app, which answers 101 and then nothing."""
        self.recorder.script(switched())
        wire = RawSocket(self.portal.public)
        wire.open(handshake(self.host, path))
        return wire

    def echo(self) -> RawSocket:
        """Open a WebSocket at the other one."""
        wire = RawSocket(self.portal.public)
        wire.open(handshake(self.portal.app_host("sock"), "/public/echo"))
        return wire

    def ended_with(self, code: int) -> int:
        """Return how many connections of that app have ended so, in earlier tests too."""
        return sum(one["code"] == code for one in self.sock.seen()["seen"])


@pytest.fixture(scope="module")
def stage_(portals: type[Portal], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        sock = stack.enter_context(WebSocketApp())
        recorder = stack.enter_context(Recorder())
        portal = portals(tmp_path_factory.mktemp("sockets") / "wendy", "Wendy")
        stack.callback(portal.release)
        portal.add_app("sock", MANIFEST, sock.port)
        portal.add_app("raw", MANIFEST, recorder.port)
        yield Stage(portal.start(), sock, recorder)
        portal.stop()
        assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture
def stage(stage_: Stage) -> Stage:
    stage_.recorder.clear()
    eventually(lambda: not stage_.sock.seen()["open"])  # those of the test before
    return stage_


# What an honest client and an honest app see.


@pytest.mark.parametrize("message", ["", "hello", "é" * 70_000, b"", bytes(range(256)) * 300])
def test_messages_come_back(stage: Stage, message: str | bytes) -> None:
    with dial(stage.portal, "/public/echo") as ws:
        for _ in range(3):
            ws.send(message)
            assert ws.recv() == message


def test_fragments_come_back(stage: Stage) -> None:
    with dial(stage.portal, "/public/fragments") as ws:
        ws.send(["he", "ll", "o"])
        assert list(ws.recv_streaming()) == [*"hello", ""]


def test_pings_are_answered_by_the_other_side(stage: Stage) -> None:
    with dial(stage.portal, "/public/echo") as ws:
        assert ws.ping(b"from the client").wait(PATIENCE)
    with dial(stage.portal, "/public/ping") as ws:
        assert ws.recv() == "pong came"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_an_app_s_close_arrives(stage: Stage, code: int) -> None:
    with dial(stage.portal, f"/public/close?code={code}&reason=so%20be%20it") as ws:
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "so be it")
        assert isinstance(closed.value, ConnectionClosedOK) is (code in (1000, 1001))


def test_a_client_s_close_arrives(stage: Stage) -> None:
    with dial(stage.portal, "/public/echo") as ws:
        ws.close(4321, "enough")
        assert ws.close_code == 4321
    last = {"path": "/public/echo", "code": 4321, "reason": "enough"}
    eventually(lambda: last in stage.sock.seen()["seen"])


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, None), (["chat"], "chat"), (["none", "v2.chat"], "v2.chat"), (["other"], None)],
)
def test_a_subprotocol_is_agreed_on(
    stage: Stage, offered: list[str] | None, chosen: str | None
) -> None:
    with dial(stage.portal, "/public/echo", subprotocols=offered) as ws:
        assert ws.subprotocol == chosen


def test_compression_is_agreed_on_end_to_end_and_passes(stage: Stage) -> None:
    with dial(stage.portal, "/public/echo") as ws:
        (extension,) = ws.protocol.extensions
        assert extension.name == "permessage-deflate"
        for size in (0, 10, 10 * MIB):
            ws.send("x" * size)
            assert ws.recv() == "x" * size
    with dial(stage.portal, "/public/echo", compression=None) as ws:
        assert ws.protocol.extensions == []
        ws.send("plain")
        assert ws.recv() == "plain"


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_big_messages_come_back(stage: Stage, compression: str | None) -> None:
    big = os.urandom(MIB) * 20
    with dial(stage.portal, "/public/echo", compression=compression) as ws:
        sending = threading.Thread(target=ws.send, args=(big,))
        sending.start()
        assert ws.recv() == big
        sending.join()


def test_the_app_is_told_who_asks_and_nothing_forged(stage: Stage) -> None:
    forged = {
        "X-Ptl-Client-Type": "terminal",
        "X_Ptl_Client_Id": "evil",
        "X-Room": "evil",
        "X-Forwarded-For": "evil",
        "Portal-Token": "evil",
        "X-Kept": "1",
    }
    with dial(stage.portal, "/public/headers", additional_headers=forged) as ws:
        fields = json.loads(ws.recv())
    names = [name.lower() for name, _ in fields]
    found = {name.lower(): value for name, value in fields}
    assert len(names) == len(found)
    assert "evil" not in found.values()
    assert found["x-ptl-client-type"] == "anonymous"
    assert found["x-ptl-client-id"] == ""
    assert found["x-room"] == stage.portal.id[:6]
    assert found["x-kept"] == "1"
    assert found["host"] == stage.portal.app_host("sock")
    assert (found["connection"], found["upgrade"]) == ("Upgrade", "websocket")


def test_what_isn_t_a_101_is_an_ordinary_answer(stage: Stage) -> None:
    asked = handshake(stage.portal.app_host("sock"), "/public/elsewhere")
    with RawConnection(stage.portal.public) as wire:
        wire.send(asked + SMUGGLED)
        got = wire.read()
        assert (got.status, got.body) == (404, b"no WebSocket here\n")
        assert got.one("connection") == b"close"
        assert wire.rest() == b""


# The order of checks.


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/private/echo", 401, "proof_required"),
        ("/peer/x", 401, "proof_required"),
        ("/public/../private/echo", 400, "bad_target"),
        ("/public%2f..%2fprivate", 400, "bad_target"),
    ],
)
def test_a_refused_handshake_never_reaches_the_app(
    stage: Stage, path: str, status: int, code: str
) -> None:
    with RawConnection(stage.portal.public) as wire:
        wire.send(handshake(stage.host, path) + HELLO.raw(MASK) + SMUGGLED)
        got = wire.read()
        assert (got.status, got.code) == (status, code)
        assert wire.rest() == b""
    assert stage.recorder.connections == 0


REFUSED = {
    # start or None, without, fields, status
    "version 1337": (None, ("Sec-WebSocket-Version",), [("Sec-WebSocket-Version", "1337")], 426),
    "version 8": (None, ("Sec-WebSocket-Version",), [("Sec-WebSocket-Version", "8")], 426),
    "no version": (None, ("Sec-WebSocket-Version",), [], 426),
    "two versions": (None, (), [("Sec-WebSocket-Version", "13")], 426),
    "no key": (None, ("Sec-WebSocket-Key",), [], 400),
    "a short key": (None, ("Sec-WebSocket-Key",), [("Sec-WebSocket-Key", "AAAA")], 400),
    "two keys": (None, (), [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")], 400),
    "two upgrades": (None, (), [("Upgrade", "h2c")], 400),
    "POST": (b"POST %b HTTP/1.1", (), [], 400),
    "a body": (None, (), [("Content-Length", "44")], 400),
    "chunks": (None, (), [("Transfer-Encoding", "chunked")], 400),
    "a bad extension": (None, (), [("Sec-WebSocket-Extensions", "a b")], 400),
}


@pytest.mark.parametrize("row", REFUSED)
@pytest.mark.parametrize("split", [False, True])
def test_what_is_nearly_a_handshake_is_refused_and_nothing_behind_it_is_a_request(
    stage: Stage,
    row: str,
    split: bool,  # noqa: FBT001
) -> None:
    start, without, fields, status = REFUSED[row]
    kwargs = {"start": start} if start else {}
    raw = handshake(stage.host, "/public/ws", *fields, without=without, **kwargs)
    behind = request("GET", "/public/smuggled", ("Host", stage.host))
    with RawConnection(stage.portal.public) as wire:
        if split:
            wire.send(raw[:-2])
            wire.send(raw[-2:] + behind[:10])
            wire.send(behind[10:])
        else:
            wire.send(raw + behind)
        got = wire.read()
        assert got.status == status
        # (what isn't chunks is refused before anybody asks what it belongs to)
        refusals = {426: ("websocket_version",), 400: ("bad_handshake", "bad_request")}
        assert got.code in refusals[status][: 2 if row == "chunks" else 1]
        assert wire.rest() == b""
    if status == 426:
        assert got.one("sec-websocket-version") == b"13"
        assert got.one("upgrade") == b"websocket"
        assert got.one("connection") == b"upgrade, close"
    assert stage.recorder.connections == 0


ORDINARY = {
    "h2c": (("Upgrade",), [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")]),
    "TLS": (("Upgrade",), [("Upgrade", "TLS/1.0")]),
    "no upgrade in Connection": (("Connection",), [("Connection", "keep-alive")]),
    "no Upgrade": (("Upgrade",), []),
}


@pytest.mark.parametrize("row", ORDINARY)
def test_what_asks_for_another_protocol_is_an_ordinary_request(stage: Stage, row: str) -> None:
    without, fields = ORDINARY[row]
    raw = handshake(stage.host, "/public/x", *fields, without=without)
    with RawConnection(stage.portal.public) as wire:
        wire.send(raw + request("GET", "/public/next", ("Host", stage.host)))
        assert wire.read().body == b"ok"
        assert wire.read().body == b"ok"
    first, second = stage.recorder.requests
    assert [r.target for r in (first, second)] == [b"/public/x", b"/public/next"]
    for name in ("upgrade", "connection", "http2-settings"):
        assert first.all(name) == []


def test_a_handshake_over_http_1_0_is_an_ordinary_request(stage: Stage) -> None:
    raw = handshake(stage.host, "/public/x", start=b"GET %b HTTP/1.0")
    assert exchange(stage.portal.public, raw).status == 200
    assert stage.recorder.request.all("upgrade") == []


FALSE = {
    "no accept": ((), ("Sec-WebSocket-Accept",)),
    "another accept": (
        (("Sec-WebSocket-Accept", "A" * 27 + "="),), ("Sec-WebSocket-Accept",)
    ),
    "two accepts": ((("Sec-WebSocket-Accept", "A" * 27 + "="),), ()),
    "no upgrade": ((), ("Upgrade",)),
    "h2c": ((("Upgrade", "h2c"),), ("Upgrade",)),
    "no connection": ((), ("Connection",)),
    "a subprotocol": ((("Sec-WebSocket-Protocol", "chat"),), ()),
    "an extension": ((("Sec-WebSocket-Extensions", "permessage-deflate"),), ()),
}  # fmt: skip


@pytest.mark.parametrize("row", FALSE)
def test_a_false_101_is_a_502_and_the_app_s_connection_is_dropped(stage: Stage, row: str) -> None:
    fields, without = FALSE[row]
    stage.recorder.script(switched(*fields, without=without))
    with RawConnection(stage.portal.public) as wire:
        wire.send(handshake(stage.host, "/public/ws") + SMUGGLED)
        got = wire.read()
        assert (got.status, got.code) == (502, "app_failed")
        assert wire.rest() == b""
    assert b"smuggled" not in stage.recorder.received
    stage.recorder.script(response(200, body=b"ok"))
    following = request("GET", "/public/next", ("Host", stage.host))
    assert exchange(stage.portal.public, following).body == b"ok"


def test_its_honest_twin_is_passed_on(stage: Stage) -> None:
    stage.recorder.script(
        switched(("Set-Cookie", "a=1"), ("Sec-WebSocket-Protocol", "chat"), ("Keep-Alive", "5"))
    )
    with RawSocket(stage.portal.public) as wire:
        head = wire.open(
            handshake(stage.host, "/public/ws?a%2Fb", ("Sec-WebSocket-Protocol", "chat, x"))
        )
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\nset-cookie: a=1\r\n"
        b"sec-websocket-protocol: chat\r\n\r\n"
    )
    assert stage.recorder.request.target == b"/public/ws?a%2Fb"


def test_a_101_that_nobody_asked_for_is_a_502(stage: Stage) -> None:
    stage.recorder.script(switched())
    assert (
        exchange(stage.portal.public, request("GET", "/public/x", ("Host", stage.host))).status
        == 502
    )


# Frames.


@pytest.mark.parametrize("at", range(len(HELLO.raw(MASK)) + 1))
def test_frames_sent_ahead_of_the_101_are_the_websocket_s(stage: Stage, at: int) -> None:
    data = HELLO.raw(MASK)
    with RawSocket(stage.portal.public) as wire:
        wire.open(handshake(stage.portal.app_host("sock"), "/public/echo") + data[:at])
        wire.send(data[at:])
        wire.hear(HELLO)
        wire.say(close(1000))
        wire.hear(close(1000))
        assert wire.rest() == b""


def test_a_handshake_and_its_first_frames_may_be_split_anywhere(stage: Stage) -> None:
    whole = handshake(stage.portal.app_host("sock"), "/public/echo") + HELLO.raw(MASK)
    for at in range(1, len(whole), 7):
        with RawSocket(stage.portal.public) as wire:
            wire.send(whole[:at])
            wire.open(whole[at:])
            wire.hear(HELLO)


def test_http_behind_a_101_is_no_request(stage: Stage) -> None:
    with stage.raw() as wire:
        wire.send(SMUGGLED)
        assert wire.hear_all() == [close(1002)]
    assert b"smuggled" not in stage.recorder.received


BAD = {
    "unmasked": (HELLO.raw(), 1002),
    "opcode 3": (Frame(3).raw(MASK), 1002),
    "opcode 11": (Frame(11).raw(MASK), 1002),
    "rsv1 without compression": (Frame(TEXT, b"a", rsv=4).raw(MASK), 1002),
    "a ping of 126": (Frame(PING, b"x" * 126).raw(MASK), 1002),
    "a ping in fragments": (Frame(PING, fin=False).raw(MASK), 1002),
    "a continuation of nothing": (Frame(CONTINUATION).raw(MASK), 1002),
    "65 MiB": (b"\x82\xff" + (65 * MIB).to_bytes(8, "big") + MASK, 1009),
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_frame_is_closed_and_the_app_is_told(stage: Stage, row: str) -> None:
    data, code = BAD[row]
    before = stage.ended_with(code)
    with stage.echo() as wire:
        wire.say(HELLO)
        wire.hear(HELLO)
        wire.send(data + HELLO.raw(MASK))
        assert wire.hear_all() == [close(code)]
    eventually(lambda: stage.ended_with(code) > before)


@pytest.mark.parametrize("bad", [HELLO.raw(MASK), Frame(5).raw(), Frame(TEXT, rsv=2).raw()])
def test_an_app_s_bad_frames_are_closed_too(stage: Stage, bad: bytes) -> None:
    stage.recorder.script(switched() + HELLO.raw() + bad)
    with RawSocket(stage.portal.public) as wire:
        wire.open(handshake(stage.host, "/public/ws"))
        wire.hear(HELLO, close(1002))
        wire.say(close(1002))
        assert wire.rest() == b""
    # The app is told too, perhaps only now.
    eventually(lambda: close(1002) in frames_of(stage.recorder.received.partition(END)[2])[0])


def test_fragments_and_pongs_pass_as_they_are(stage: Stage) -> None:
    frames = [
        Frame(TEXT, b"a", fin=False),
        Frame(PONG, b"unasked"),
        Frame(CONTINUATION, fin=False),
        Frame(CONTINUATION, b"b"),
        Frame(BINARY, b"\xff"),
    ]
    with stage.raw() as wire:
        wire.say(*frames)
        raw = b"".join(frame.raw(MASK) for frame in frames)
        eventually(lambda: stage.recorder.received.endswith(raw))


# Ends.


def test_a_client_that_breaks_off_is_known_to_the_app(stage: Stage) -> None:
    before = len(stage.sock.seen()["seen"])
    wire = stage.echo()
    wire.say(HELLO)
    wire.hear(HELLO)
    wire.socket.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER: reset
    wire.socket.close()
    eventually(lambda: len(stage.sock.seen()["seen"]) > before)
    assert stage.sock.seen()["seen"][-1]["code"] == 1006


def test_an_app_that_is_killed_is_known_to_the_client(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "kim", "Kim")
    try:
        with WebSocketApp() as app:
            portal.add_app("sock", MANIFEST, app.port)
            portal.start()
            with dial(portal, "/public/echo") as idle, dial(portal, "/public/flood") as busy:
                busy.recv()
                app.signal(signal.SIGKILL)
                for ws in (idle, busy):
                    with pytest.raises(ConnectionClosedError) as closed:
                        list(ws)
                    assert closed.value.rcvd is None
    finally:
        portal.release()


def test_at_its_end_the_proxy_says_1001_and_exits_in_time(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "kim", "Kim")
    try:
        with WebSocketApp() as app:
            portal.add_app("sock", MANIFEST, app.port)
            portal.start()
            with ExitStack() as stack:
                sockets = [stack.enter_context(dial(portal, "/public/echo")) for _ in range(5)]
                for ws in sockets:
                    ws.send("hello")
                    assert ws.recv() == "hello"
                assert portal.stop() == 0
                for ws in sockets:
                    with pytest.raises(ConnectionClosedOK) as closed:
                        ws.recv(timeout=PATIENCE)
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == 1001
            eventually(lambda: len(app.seen()["seen"]) == 5)
            assert [one["code"] for one in app.seen()["seen"]] == [1001] * 5
    finally:
        portal.release()


def test_at_its_end_the_proxy_waits_for_no_app_that_hangs(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "kim", "Kim")
    try:
        with WebSocketApp() as app:
            portal.add_app("sock", MANIFEST, app.port)
            portal.start()
            with dial(portal, "/public/echo") as ws:
                app.signal(signal.SIGSTOP)
                assert portal.stop() == 0
                with pytest.raises(ConnectionClosedOK) as closed:
                    ws.recv(timeout=PATIENCE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1001
    finally:
        portal.release()


# Memory.


def test_a_client_that_takes_nothing_stops_the_app_and_costs_little(stage: Stage) -> None:
    before = resident(stage.portal)
    wire = RawSocket(stage.portal.public)
    with wire:
        wire.open(handshake(stage.portal.app_host("sock"), "/public/flood"))
        sent = _settles(lambda: stage.sock.seen().get("flood", 0))
        assert 0 < sent < 32 * MIB
        assert resident(stage.portal) - before < 8 * MIB


def test_an_app_that_takes_nothing_stops_the_client_and_costs_little(stage: Stage) -> None:
    before = resident(stage.portal)
    wire = RawSocket(stage.portal.public)
    with wire:
        wire.open(handshake(stage.portal.app_host("sock"), "/public/deaf"))
        piece = Frame(BINARY, b"x" * 65536).raw(MASK)
        wire.socket.settimeout(0.5)
        pushed = 0
        with suppress(TimeoutError):
            while pushed < 128 * MIB:
                pushed += wire.socket.send(piece[pushed % len(piece) :])
        assert pushed < 32 * MIB
        assert resident(stage.portal) - before < 8 * MIB


def _settles(count: object) -> int:
    """Wait until a count grows no more; return it."""
    assert callable(count)
    last = -1
    while (now := int(count())) != last or not now:
        last = now
        threading.Event().wait(0.3)
    return last
