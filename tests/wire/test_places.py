"""Strangers' quiet WebSockets keep nobody out of an app: real sockets, and few places."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from proxy.core.websocket.frames import Close
from tests.core.websocket.framing import CLOSE, TEXT, Frame
from tests.wire.harness.holding import HoldingApp
from tests.wire.harness.portals import Portal, contact, reserve_port
from tests.wire.harness.raw import Raw, RawConnection, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.sockets import RawSocket, WebSocketApp, handshake
from tests.wire.harness.terminals import pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.identity import PrivateKey

OF_APP = 16
SHARE, KEPT = OF_APP // 4, OF_APP // 8
STRANGERS = OF_APP - 2 * KEPT
SETTINGS = f"""\
accept: [sealed, signed]
limits:
  requests_per_app: {OF_APP}
"""
OPEN = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "private"}, "/public": {"access": "public"}, "/peer": {"access": "peer"}}}"""
SOCKET = "/public/echo"
BUSY = 503


class Stage:
    """A Portal with two apps, and who comes to it from which address."""

    def __init__(self, portal: Portal, peer: PrivateKey, stack: ExitStack) -> None:
        self.portal = portal
        self.peer = peer
        self._stack = stack

    def connect(self, client: str, path: str = SOCKET, *fields: tuple[str, str]) -> RawSocket:
        """Ask for a WebSocket, and read nothing yet."""
        wire = self._stack.enter_context(RawSocket(self.portal.public, client))
        wire.send(handshake(self.portal.app_host("sock"), path, *fields))
        return wire

    def open(self, client: str) -> RawSocket:
        """Open one on which a greeting was exchanged, or not."""
        wire = self.connect(client)
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        return wire

    def fill(self, networks: int = STRANGERS // SHARE) -> list[RawSocket]:
        """Take all places that strangers have."""
        return [
            self.open(f"127.0.1.{network + 1}") for network in range(networks) for _ in range(SHARE)
        ]

    def ask(self, client: str, path: str = SOCKET, *fields: tuple[str, str],
            app: str = "sock", raw: bytes = b"") -> Raw:  # fmt: skip
        host = ("Host", self.portal.app_host(app))
        with RawConnection(self.portal.public, client) as wire:
            wire.send(raw or request("GET", path, host, *fields))
            return wire.read()


@pytest.fixture(scope="module")
def apps() -> Iterator[tuple[WebSocketApp, HoldingApp]]:
    with WebSocketApp() as sock, HoldingApp() as holding:
        yield sock, holding


@pytest.fixture
def stage(
    apps: tuple[WebSocketApp, HoldingApp], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    peer = new_key()
    with ExitStack() as stack:
        portal = Portal(tmp_path_factory.mktemp("places") / "sam", "Sam", settings=SETTINGS)
        stack.callback(portal.release)
        portal.add_app("sock", OPEN, apps[0].port)
        portal.add_app("holding", OPEN, apps[1].port)
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        known = contact(peer.public.portal_id, "Key", refusing, refusing)
        portal.knows(known, apps={"sock": "all", "holding": "all"})
        with ExitStack() as clients:
            yield Stage(portal.start(), peer, clients)
        apps[1].let_go()
        portal.stop()
        assert portal.MISTAKE not in portal.log, portal.log


def is_closed_for_room(wire: RawSocket) -> bool:
    """Tell whether it was told to come again later."""
    frames = wire.hear_all()
    return [(f.opcode, f.payload[:2]) for f in frames] == [
        (CLOSE, Close.TRY_AGAIN_LATER.to_bytes(2, "big"))
    ]


def says_hello(wire: RawSocket) -> None:
    hello = Frame(TEXT, b"hello")
    wire.say(hello)
    wire.hear(hello)


def test_one_network_has_a_quarter_and_leaves_the_rest_to_others(stage: Stage) -> None:
    first = [stage.open("127.0.1.1") for _ in range(SHARE)]
    for _ in range(3):
        got = stage.ask("127.0.1.1", raw=handshake(stage.portal.app_host("sock"), SOCKET))
        assert (got.status, got.code) == (503, "app_busy")
        assert got.one("retry-after") == b"5"
    says_hello(stage.open("127.0.1.2"))
    for wire in first:
        says_hello(wire)


def test_the_owner_and_peers_get_in_while_strangers_hold_all_that_they_may(stage: Stage) -> None:
    terminal = pair(stage.portal)
    wires = stage.fill()
    owners = stage.connect("127.0.1.1", "/private/echo", terminal.cookie)
    assert owners.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    call = sign_call(stage.peer, stage.portal, "sock", b"/peer/x")
    got = stage.ask("127.0.1.1", raw=call.raw)
    assert call.believes(got, stage.portal.id)
    assert got.status != BUSY
    for wire in wires:
        says_hello(wire)


def test_the_longest_quiet_one_of_the_largest_network_makes_room(stage: Stage) -> None:
    wires = stage.fill()
    for wire in (*wires[: SHARE - 1], *wires[SHARE:]):
        says_hello(wire)
    newcomer = stage.open("127.0.2.1")
    assert is_closed_for_room(wires[SHARE - 1])
    says_hello(newcomer)
    for wire in (*wires[: SHARE - 1], *wires[SHARE:]):
        says_hello(wire)
    stage.portal.stop()
    [line] = stage.portal.lines(outcome="revoked")
    assert line["detail"] == "places are short, and it was quiet for longest"


def test_a_plain_request_gets_room_too_and_no_place_is_lost(stage: Stage) -> None:
    stage.fill()
    for number in range(3 * OF_APP):
        got = stage.ask(f"127.0.2.{number + 1}")
        assert got.status != BUSY


def test_bodies_that_are_begun_and_answers_that_are_waited_for_hold_places_too(
    stage: Stage, apps: tuple[WebSocketApp, HoldingApp]
) -> None:
    """What isn't a WebSocket is never closed for another; a network's share bounds it."""
    host = ("Host", stage.portal.app_host("holding"))
    with ExitStack() as stack:
        for number in range(SHARE):
            wire = stack.enter_context(RawConnection(stage.portal.public, "127.0.1.1"))
            begun = request("POST", "/public/hold", host, ("Content-Length", "9"))
            wire.send(begun if number % 2 else request("GET", "/public/hold", host))
        eventually(lambda: stage.ask("127.0.1.1", "/public/x", app="holding").status == BUSY)
        assert stage.ask("127.0.1.2", "/public/x", app="holding").status == 200
        apps[1].let_go()
    eventually(lambda: stage.ask("127.0.1.1", "/public/x", app="holding").status == 200)
