"""What an app is told of the way by which a request came, over real connections."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.core.http.headers import spelling
from tests.core.http.forwarded_rows import ALIAS, FORGED, TRUSTED, Case, cases
from tests.patience import PATIENCE
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.forwarding import NAMES, forwarding, told
from tests.wire.harness.portals import Portal, contact, end, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, request
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.sockets import handshake

if TYPE_CHECKING:
    from proxy.core.identity import PrivateKey

    from .conftest import World

PROXY = "127.0.0.2"
MADE = re.compile(rb"[0-9a-f]{32}")
TRACE = (
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
)
ATTACKS, TWINS = cases(portal="{portal}", host="{host}")


@dataclass
class Street:
    """A Portal that believes web servers at 127.0.0.2, and in two networks."""

    portal: Portal
    app: Recorder
    cleo: PrivateKey

    @property
    def host(self) -> str:
        return self.portal.app_host("site")

    def send(self, came_from: str, raw: bytes) -> Raw:
        with RawConnection(self.portal.public, came_from) as wire:
            wire.send(raw)
            return wire.read()

    def put(self, case: Case) -> bytes:
        """Return a row's request for the app ``site``."""
        lines = b"".join(b"%b\r\n" % self.named(line) for line in case.lines)
        return b"GET / HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (self.host.encode(), lines)

    def named(self, line: bytes) -> bytes:
        portal, host = self.portal.host.encode(), self.host.encode()
        return line.replace(b"{portal}", portal).replace(b"{host}", host)


@pytest.fixture(scope="module")
def built(portals: type[Portal], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        cleo = new_key()
        settings = f"accept: [sealed, signed]\ntrusted_proxies: [{', '.join(TRUSTED)}]\n"
        fay = portals(
            tmp_path_factory.mktemp("street") / "fay", "Fay", aliases=ALIAS, settings=settings
        )
        stack.callback(fay.release)
        fay.add_app("site", SITE, app.port)
        fay.add_app("wide", WIDE, app.port)
        fay.knows(contact(cleo.public.portal_id, "Cleo", 1, 1), apps={"wide": "all"})
        fay.start()
        yield Street(fay, app, cleo)
        assert fay.MISTAKE not in fay.log, fay.log


@pytest.fixture
def street(built: Street) -> Street:
    built.app.clear()
    return built


def hold_told(street: Street, case: Case) -> Raw:
    """Send a row; hold that the app was told what it must be, each on one line."""
    assert street.send(case.came_from, street.put(case)).status == 200
    arrived = street.app.request
    expected = {name: [value] for name, value in case.told(street.host).items()}
    expected.setdefault("x-forwarded-for", [])
    if "x-request-id" not in expected:
        assert MADE.fullmatch(arrived.one("x-request-id"))
        expected["x-request-id"] = [arrived.one("x-request-id")]
    assert told(arrived) == expected
    spelled = [spelling(name).decode() for name, _ in arrived.fields]
    assert [name for name in spelled if name in NAMES] == [n for n in NAMES if expected[n]]
    return arrived


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
def test_nothing_forged_reaches_the_app(street: Street, case: Case) -> None:
    hold_told(street, case)
    for forged in FORGED:
        assert forged not in street.app.received.replace(street.host.encode(), b"")


@pytest.mark.parametrize("case", TWINS, ids=lambda case: case.name)
def test_the_same_without_the_forgery_does(street: Street, case: Case) -> None:
    arrived = hold_told(street, case)
    lines = [name + b": " + value for name, value in arrived.fields]
    for kept in case.kept:
        assert street.named(kept) in lines


def test_a_portal_that_believes_nobody_believes_nobody(world: World) -> None:
    lines = (("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"), ("X-Request-Id", "mine"))

    assert world.stranger("site", "/", *lines).status == 200

    arrived = world.bob_app.request
    made = arrived.one("x-request-id")
    assert MADE.fullmatch(made)
    expected = forwarding(world.bob.app_host("site"), made)
    assert [pair for pair in arrived.fields if pair[0].decode() in NAMES] == expected
    assert b"6.6.6.6" not in world.bob_app.received


def test_each_request_has_an_id_of_its_own(world: World) -> None:
    for _ in range(3):
        world.stranger("site", "/")
    assert len({arrived.one("x-request-id") for arrived in world.bob_app.requests}) == 3


def test_a_signed_call_is_told_of_by_the_connection_it_came_over(street: Street) -> None:
    added = b"X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: ours"
    for came_from, chain in ((LOOPBACK, b"127.0.0.1"), (PROXY, b"9.9.9.9, 127.0.0.2")):
        street.app.clear()
        call = sign_call(street.cleo, street.portal, "wide")
        assert street.send(came_from, call.with_field(added)).status == 200
        arrived = street.app.request
        assert arrived.one("x-forwarded-for") == chain
        assert arrived.one("x-forwarded-proto") == b"http"  # by that its caller asked
        assert arrived.one("x-forwarded-host") == arrived.one("host")
        assert (arrived.one("x-request-id") == b"ours") is (came_from == PROXY)
        assert b"6.6.6.6" not in street.app.received


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_what_a_peer_says_of_its_own_way_isnt_told(sealed: World, mode: str) -> None:
    fields = (*TRACE, ("X-Forwarded-For", "6.6.6.6"), ("X-Request-Id", "evil"))
    ask = sealed.ask_sealed if mode == "sealed" else lambda t, *f: sealed.ask(sealed.bob.id, t, *f)

    assert ask("/x", *fields).status == 200

    arrived = sealed.bob_app.request
    made = arrived.one("x-request-id")
    assert MADE.fullmatch(made)
    expected = forwarding(sealed.bob.told_host("wide"), made)
    assert [pair for pair in arrived.fields if pair[0].decode() in NAMES] == expected
    for name, value in TRACE:
        assert arrived.one(name) == value.encode()


def test_a_trace_passes_untouched(world: World) -> None:
    world.stranger("site", "/", *TRACE)
    for name, value in TRACE:
        assert world.bob_app.request.one(name) == value.encode()


@pytest.mark.parametrize(
    ("trusted", "chain", "request_id"),
    [("unix", b"9.9.9.9", b"ours"), ("0.0.0.0/0, '::/0'", None, None)],
)
def test_a_unix_socket_is_believed_only_where_that_is_said(
    tmp_path: Path, trusted: str, chain: bytes | None, request_id: bytes | None
) -> None:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        portal = Portal(tmp_path / "p", "Pia", settings=f"trusted_proxies: [{trusted}]\n")
        stack.callback(portal.release)
        portal.add_app("site", SITE, app.port)
        file = portal.config / "portal.yaml"
        text = file.read_text("utf-8")
        file.write_text(text.replace(f'"127.0.0.1:{portal.public}"', "unix:../p.sock"), "utf-8")
        process = portal.launch()
        stack.callback(end, process, signal.SIGTERM)
        wait_for_ports(process, portal.apps, portal.owner, log=portal.log_file)
        raw = request(
            "GET", "/", ("Host", portal.app_host("site")), ("X-Forwarded-For", "6.6.6.6, 9.9.9.9"),
            ("X-Request-Id", "ours"), ("X-Forwarded-Proto", "https"),
        )  # fmt: skip
        with socket.socket(socket.AF_UNIX) as opened:
            opened.settimeout(PATIENCE)
            opened.connect(str(tmp_path / "p" / "p.sock"))
            opened.sendall(raw)
            assert opened.recv(65536).startswith(b"HTTP/1.1 200 ")

        arrived = app.request
        # Nothing is told where nothing is known: Home Assistant refuses "unknown".
        assert arrived.all("x-forwarded-for") == ([chain] if chain else [])
        way = b"for=" + chain + b";host=" if chain else b"host="
        assert arrived.one("forwarded").startswith(way)
        made = arrived.one("x-request-id")
        assert made == request_id if request_id else MADE.fullmatch(made)
        assert arrived.one("x-forwarded-proto") == (b"https" if request_id else b"http")


def test_a_websockets_handshake_is_told_of_likewise(street: Street) -> None:
    fields = (("X-Forwarded-For", "6.6.6.6, 9.9.9.9"), ("X-Forwarded-Proto", "wss"))
    street.send(PROXY, handshake(street.host, "/", *fields))
    arrived = street.app.request
    assert arrived.one("upgrade") == b"websocket"
    assert arrived.one("x-forwarded-for") == b"9.9.9.9, 127.0.0.2"
    assert arrived.one("x-forwarded-proto") == b"https"


def test_the_host_that_is_told_chooses_no_app(street: Street) -> None:
    raw = request("GET", "/", ("Host", "elsewhere.example"), ("X-Forwarded-Host", street.host))
    assert street.send(PROXY, raw).code == "misdirected"
    assert street.app.received == b""


def test_a_refusal_tells_the_id_by_which_its_owner_finds_it(street: Street) -> None:
    raw = request("GET", "/", ("Host", "elsewhere.example"), ("X-Request-Id", "from-nginx"))
    assert street.send(PROXY, raw).one("x-request-id") == b"from-nginx"
    assert MADE.fullmatch(street.send(LOOPBACK, raw).one("x-request-id"))


def test_an_apps_own_id_is_its_own(street: Street) -> None:
    street.app.script(b"HTTP/1.1 200 OK\r\nX-Request-Id: the app's\r\nContent-Length: 0\r\n\r\n")
    got = street.send(LOOPBACK, request("GET", "/", ("Host", street.host)))
    assert got.all("x-request-id") == [b"the app's"]
    street.app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    got = street.send(LOOPBACK, request("GET", "/", ("Host", street.host)))
    assert got.all("x-request-id") == []
