"""Tunnels at the apps listener (CONNECT): what is said in one is HTTP to its host, and no more."""

from __future__ import annotations

import fcntl
import socket
import ssl
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proxy.core.identity import short_id
from tests.patience import soon
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, request, response
from tests.wire.harness.recorder import Accepted, Recorder, eventually
from tests.wire.harness.revoking import remove_app, restore_app
from tests.wire.test_app_tokens import basic

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import World

SOON = 2.0
"""Seconds: within one, and what a busy machine takes to look."""
OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
WORKERS = 2
PEERS = "/protected/peers"


def hostname(world: World, app: str = "wide") -> str:
    return world.bob.app_host(app).partition(":")[0]


def connect(authority: str, *fields: tuple[str, str]) -> bytes:
    return request("CONNECT", authority, ("Host", authority), *fields)


@contextmanager
def tunnel(portal: Portal, host: str, app: str = "wide") -> Iterator[RawConnection]:
    """Give a connection on which a tunnel is open."""
    with RawConnection(portal.apps) as wire:
        wire.send(connect(f"{host}:80", basic(app, portal.token(app))))
        assert wire.until(b"\r\n\r\n") == OPENED
        yield wire


def opens(portal: Portal, asked: bytes) -> bool:
    """Tell whether a tunnel is opened for ``asked``."""
    with RawConnection(portal.apps) as wire:
        wire.send(asked)
        return wire.until(b"\r\n\r\n") == OPENED


def in_tunnel(wire: RawConnection, host: str, target: str, *fields: tuple[str, str]) -> Raw:
    wire.send(request("GET", target, ("Host", host), *fields))
    return wire.read()


def is_ended(wire: RawConnection) -> bool:
    """Tell whether the proxy ends the connection, and says nothing before."""
    return wire.rest() == b""


def test_what_is_asked_in_a_tunnel_is_a_call_of_the_app_that_opened_it(world: World) -> None:
    host = hostname(world)
    with tunnel(world.ada, host) as wire:
        for target in ("/a%2Fb?c=%E4", "/second"):
            got = in_tunnel(wire, host, target)
            assert (got.status, got.body) == (200, b"ok")
        wire.send(request("POST", "/third", ("Host", f"{host.upper()}:80"), body=b"sent"))
        assert wire.read().body == b"ok"

    seen = world.bob_app.requests
    assert [raw.target for raw in seen] == [b"/a%2Fb?c=%E4", b"/second", b"/third"]
    assert {raw.one("x-ptl-client-id").decode() for raw in seen} == {world.ada.id}
    assert seen[2].body == b"sent"
    assert not any(raw.all("proxy-authorization") for raw in seen)


@pytest.mark.parametrize("name", ["portal_core", "shard_core", "PORTAL_CORE"])
def test_a_tunnel_to_the_portals_own_names_leads_to_its_own_paths(world: World, name: str) -> None:
    with tunnel(world.ada, name) as wire:
        peers = in_tunnel(wire, name, PEERS).json()
        called = in_tunnel(wire, name.lower(), f"/internal/call_peer/{world.bob.id}/x")

    assert "Bob" in [peer["name"] for peer in peers]
    assert called.body == b"ok"


def test_the_token_may_stand_in_either_field_and_is_needed(world: World) -> None:
    authority = f"{hostname(world)}:80"
    assert opens(world.ada, connect(authority, world.token()))
    for fields, code in (
        ((), "token_required"),
        ((world.token("box"), world.basic("wide")), "token_unknown"),
        ((("Portal-Token", "wrong"),), "token_unknown"),
    ):
        got = world.call(connect(authority, *fields))
        assert (got.status, got.code) == (407, code)
        assert got.one("proxy-authenticate").startswith(b"Basic")
        assert got.one("connection") == b"close"


def test_a_token_that_is_shown_in_a_tunnel_must_be_that_of_its_app(world: World) -> None:
    with tunnel(world.ada, "portal_core") as wire:
        for field in (world.token("box"), world.basic("box"), ("Portal-Token", "wrong")):
            got = in_tunnel(wire, "portal_core", PEERS, field)
            assert (got.status, got.code) == (401, "token_unknown")
        for field in (world.token(), world.basic()):
            assert in_tunnel(wire, "portal_core", PEERS, field).status == 200


def test_the_fields_of_connect_dont_say_how_long_the_tunnel_lasts(world: World) -> None:
    """Undici says close there, and Python's http.client speaks HTTP/1.0 and names no Host."""
    host, token = hostname(world), world.ada.token("wide")
    field = ": ".join(basic("wide", token))
    for first in (
        f"CONNECT {host}:80 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n",
        f"CONNECT {host}:80 HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: close\r\n",
        f"CONNECT {host}:80 HTTP/1.0\r\n",
        f"CONNECT {host}:80 HTTP/1.1\r\nHost: else.example\r\nContent-Length: 0\r\n",
        f"CONNECT {host}:80 HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n",
    ):
        with RawConnection(world.ada.apps) as wire:
            wire.send(f"{first}{field}\r\n\r\n".encode())
            assert wire.until(b"\r\n\r\n") == OPENED
            for _ in range(2):
                assert in_tunnel(wire, host, "/x").body == b"ok"


def test_what_comes_before_the_tunnel_is_open_is_said_in_it(world: World) -> None:
    host = hostname(world)
    asked = request("GET", "/one", ("Host", host)) + request("GET", "/two", ("Host", host))
    with RawConnection(world.ada.apps) as wire:
        wire.send(connect(f"{host}:80", world.basic()) + asked)
        assert wire.until(b"\r\n\r\n") == OPENED
        assert [wire.read().body, wire.read().body] == [b"ok", b"ok"]
        assert in_tunnel(wire, host, "/three").body == b"ok"
    assert [raw.target for raw in world.bob_app.requests] == [b"/one", b"/two", b"/three"]


def test_what_stands_behind_a_tunnel_that_is_refused_is_nobodys(world: World) -> None:
    host = hostname(world)
    absolute = request("GET", f"http://{host}/evil", ("Host", host), world.basic())
    for refused in (connect(f"{host}:80"), connect(f"{host}:443", world.basic())):
        with RawConnection(world.ada.apps) as wire:
            wire.send(refused + absolute)
            assert wire.read().status in (403, 407)
            assert is_ended(wire)
    assert world.bob_app.connections == 0


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    ],
)
def test_a_body_with_connect_is_refused_with_all_behind_it(world: World, framing: str) -> None:
    host, field = hostname(world), ": ".join(world.basic())
    head = f"CONNECT {host}:80 HTTP/1.1\r\nHost: {host}\r\n{field}\r\n{framing}\r\n\r\n"
    evil = request("GET", "/evil", ("Host", host))
    for raw in (head.encode() + b"5\r\nhello\r\n0\r\n\r\n" + evil, head.encode() + evil):
        with RawConnection(world.ada.apps) as wire:
            wire.send(raw)
            got = wire.read()
            assert (got.status, got.code) == (400, "bad_request")
            assert is_ended(wire)
    assert world.bob_app.connections == 0


@pytest.mark.parametrize(
    ("authority", "status", "code"),
    [
        ("{wide}:443", 403, "write_http"),
        ("portal_core:443", 403, "write_http"),
        ("{wide}:8080", 400, "bad_tunnel"),
        ("portal_core:8081", 400, "bad_tunnel"),
        ("{wide}", 400, "bad_tunnel"),
        ("{wide}:", 400, "bad_tunnel"),
        ("{wide}:080", 400, "bad_tunnel"),
        ("{wide}:+80", 400, "bad_tunnel"),
        ("{wide}:0", 400, "bad_tunnel"),
        ("{wide}:65536", 400, "bad_tunnel"),
        ("{wide}:80/", 400, "bad_tunnel"),
        ("{wide}:80:80", 400, "bad_tunnel"),
        ("wide:token@{wide}:80", 400, "bad_tunnel"),
        ("http://{wide}:80", 400, "bad_tunnel"),
        ("http://{wide}/", 400, "bad_tunnel"),
        ("/x", 400, "bad_tunnel"),
        ("*", 400, "bad_tunnel"),
        ("fd00::1:80", 400, "bad_tunnel"),
        ("[::1]:80", 403, "no_internet"),
        ("example.com:443", 403, "no_internet"),
        ("example.com:80", 403, "no_internet"),
        ("example.com:25", 403, "no_internet"),
        ("127.0.0.1:80", 403, "no_internet"),
        ("localhost:80", 403, "no_internet"),
        ("{wide}.:80", 403, "no_internet"),
        ("x.{wide}:80", 403, "no_internet"),
        ("{bob}:80", 403, "no_internet"),
        ("{box}:80", 403, "no_internet"),
        ("wide.{mallory}.portal.localhost:443", 403, "no_internet"),
    ],
)
def test_a_tunnel_leads_to_port_80_of_a_peers_app_alone(
    world: World, authority: str, status: int, code: str
) -> None:
    filled = authority.format(
        wide=hostname(world),
        box=hostname(world, "box"),
        bob=world.bob.host.partition(":")[0],
        mallory=short_id(world.mallory.public.portal_id),
    )

    got = world.call(request("CONNECT", filled, ("Host", "x"), world.basic()))

    assert (got.status, got.code) == (status, code)
    assert got.one("connection") == b"close"
    assert got.one("portal-refusal").decode() == code


def test_a_refused_tunnel_says_what_to_do_to_the_app_and_in_the_log(world: World) -> None:
    host = hostname(world)
    https = world.call(connect(f"{host}:443", world.basic()))
    other = world.call(connect("registry.example:443", world.basic()))

    assert "http://" in https.json()["title"]
    assert "no way to the internet: set NO_PROXY" in other.json()["title"]

    def lines() -> list[str]:
        return [line for line in world.ada.log.splitlines() if "CONNECT" in line]

    eventually(lambda: any("registry.example" in line for line in lines()))
    assert any("write_http" in line and f"write http://{host}/" in line for line in lines())
    assert any("no_internet" in line and "NO_PROXY" in line for line in lines())


@pytest.mark.parametrize(
    ("target", "host", "status", "code"),
    [
        ("/x", "else.example", 421, "misdirected"),
        ("/x", "portal_core", 421, "misdirected"),
        ("/x", "box", 421, "misdirected"),
        ("/x", "{wide}:8080", 421, "misdirected"),
        ("/x", "{wide}:080", 421, "misdirected"),
        ("/x", "{wide}.", 421, "misdirected"),
        ("/x", "{wide}:", 421, "misdirected"),
        ("/x", "", 421, "misdirected"),
        ("http://{wide}/x", "{wide}", 400, "bad_target"),
        ("http://portal_core/protected/peers", "{wide}", 400, "bad_target"),
        ("{wide}:80", "{wide}", 400, "bad_target"),
        ("*", "{wide}", 400, "bad_target"),
        ("/../x", "{wide}", 400, "bad_target"),
        ("/%2e%2e/x", "{wide}", 400, "bad_target"),
    ],
)
def test_anything_else_than_a_path_at_its_host_is_refused_in_a_tunnel(
    world: World, target: str, host: str, status: int, code: str
) -> None:
    wide = hostname(world)
    with tunnel(world.ada, wide) as wire:
        got = in_tunnel(wire, host.format(wide=wide), target.format(wide=wide))
        assert (got.status, got.code) == (status, code)
        assert in_tunnel(wire, wide, "/good").body == b"ok"
    assert [raw.target for raw in world.bob_app.requests] == [b"/good"]


def test_there_is_no_tunnel_in_a_tunnel(world: World) -> None:
    wide = hostname(world)
    with tunnel(world.ada, wide) as wire:
        wire.send(connect(f"{wide}:80", world.basic()) + request("GET", "/evil", ("Host", wide)))
        got = wire.read()
        assert (got.status, got.code) == (400, "bad_target")
        assert is_ended(wire)
    assert world.bob_app.connections == 0


def test_a_tunnel_is_read_as_strictly_as_the_listener(world: World) -> None:
    wide = hostname(world)
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello of TLS\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"GET /x HTTP/1.1\r\nHost: {wide}\r\nHost: {wide}\r\n\r\n".encode(),
        f"GET /x HTTP/1.1\r\n Host: {wide}\r\n\r\n".encode(),
        f"POST /x HTTP/1.1\r\nHost: {wide}\r\nContent-Length: 1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode(),
    ):
        with tunnel(world.ada, wide) as wire:
            wire.send(raw)
            assert wire.read().status in (400, 505)
            assert is_ended(wire)
    assert world.bob_app.connections == 0


def client_hello(host: str) -> bytes:
    """Return what a client of TLS says first."""
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


def test_tls_in_a_tunnel_is_refused_at_once_and_the_log_says_to_write_http(world: World) -> None:
    """Its client would wait for a line's end that never comes."""
    wide = hostname(world)
    told = f"not a request in a tunnel of wide to {wide}: TLS where plain HTTP is spoken: write http://"
    before = world.ada.log.count(told)
    for piece in (client_hello(wide), b"\x16"):
        with tunnel(world.ada, wide) as wire:
            wire.send(piece)
            got = wire.read()  # long before the time for a head is over
            assert (got.status, got.code) == (400, "bad_request")
            assert "http://" in got.json()["detail"]
            assert is_ended(wire)
    assert world.bob_app.connections == 0
    eventually(lambda: world.ada.log.count(told) == before + 2)


def test_tls_at_a_listener_without_it_is_refused_at_once(world: World) -> None:
    for port in (world.ada.apps, world.bob.public):
        with RawConnection(port) as wire:
            wire.send(client_hello("portal.example"))
            assert wire.read().code == "bad_request"
            assert is_ended(wire)


def test_an_upgrade_is_refused_in_a_tunnel_as_at_the_listener(world: World) -> None:
    wide = hostname(world)
    asks = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    with tunnel(world.ada, wide) as wire:
        got = in_tunnel(wire, wide, "/x", *asks)
        assert (got.status, got.code) == (501, "upgrade_unsupported")


def test_a_body_that_streams_both_ways_passes_through_a_tunnel(world: World) -> None:
    wide, body = hostname(world), bytes(range(256)) * 2000
    world.bob_app.script(response(200, body=body))
    with tunnel(world.ada, wide) as wire:
        head = request("POST", "/x", ("Host", wide), ("Transfer-Encoding", "chunked"))
        wire.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert wire.read().body == body
        assert in_tunnel(wire, wide, "/again").body == body
    assert world.bob_app.requests[0].body == body


def test_references_lead_back_into_the_tunnel(world: World) -> None:
    host, by_path = hostname(world), f"/internal/call_peer/{world.bob.id[:6]}"
    own = f"https://{world.bob.app_host('wide')}"
    for name, before, below in ((host, "", f"http://{host}"), ("portal_core", by_path, by_path)):
        with tunnel(world.ada, name) as wire:
            world.bob_app.script(response(302, ("Location", f"{own}/y?a#b")))
            got = in_tunnel(wire, name, f"{before}/x")
            assert (got.status, got.one("location").decode()) == (302, f"{below}/y?a#b")
            world.bob_app.script(response(307, ("Location", f"https://{host}/x")))
            got = in_tunnel(wire, name, f"{before}/x")
            assert (got.status, got.code) == (502, "redirects_to_itself")
            assert got.one("portal-peer-refusal") == b"redirects_to_itself"
            world.bob_app.script(response(404, ("Portal-Peer-Refusal", "not_allowed")))
            got = in_tunnel(wire, name, f"{before}/x")
            assert (got.status, got.all("portal-peer-refusal")) == (404, [])


def test_the_client_may_end_the_tunnel_after_any_request(world: World) -> None:
    wide = hostname(world)
    with tunnel(world.ada, wide) as wire:
        got = in_tunnel(wire, wide, "/x", ("Connection", "close"))
        assert got.one("connection") == b"close"
        assert is_ended(wire)


@pytest.mark.parametrize("authority", ["{wide}:80", "portal_core:80", "{own}:80", "{own}"])
def test_the_public_listener_opens_no_tunnel(world: World, authority: str) -> None:
    filled = authority.format(wide=hostname(world), own=world.bob.host)
    behind = request("GET", "/x", ("Host", world.bob.app_host("site")))
    with RawConnection(world.bob.public) as wire:
        wire.send(request("CONNECT", filled, ("Host", world.bob.app_host("site"))) + behind)
        assert wire.read().status in (400, 405, 421)
        assert is_ended(wire)
    assert world.bob_app.connections == 0


# What ends one.


@dataclass(frozen=True)
class Two:
    """Hal, and Ivy, whom his app ``wide`` may call."""

    hal: Portal
    ivy: Portal

    @property
    def host(self) -> str:
        return self.ivy.app_host("wide").partition(":")[0]

    def hal_knows(self, *apps: str) -> None:
        self.hal.knows(self.ivy.as_contact(), apps=dict.fromkeys(apps, "all"))

    def settle(self) -> None:
        """Put everything in its place, and wait until it works."""
        restore_app(self.hal, "wide", self.ivy.public)
        self.hal_knows("wide", "other")
        eventually(self.is_open)

    def is_open(self) -> bool:
        field = basic("wide", self.hal.token("wide"))
        return opens(self.hal, connect(f"{self.host}:80", field))


@contextmanager
def two_portals(folder: Path, workers: int) -> Iterator[Two]:
    hal, ivy = Portal(folder / "hal", "Hal"), Portal(folder / "ivy", "Ivy")
    hal.workers = workers
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        for portal, other in ((hal, ivy), (ivy, hal)):
            stack.callback(portal.release)
            for name in ("wide", "other"):
                portal.add_app(name, WIDE, app.port)
            portal.knows(other.as_contact(), apps={"wide": "all", "other": "all"})
            portal.start()
        yield Two(hal, ivy)
        assert "Traceback" not in hal.log, hal.log


@pytest.fixture(scope="module")
def two_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_portals(tmp_path_factory.mktemp("tunnels"), 1) as two:
        yield two


@pytest.fixture
def two(two_: Two) -> Two:
    two_.settle()
    return two_


def hide_peer(two: Two) -> None:
    two.hal_knows("other")


def remove_peer(two: Two) -> None:
    two.hal.knows(apps={})


def remove_wide(two: Two) -> None:
    remove_app(two.hal, "wide")


def replace_token(two: Two) -> None:
    assert two.hal.command("apps", "token", "wide", "--rotate").returncode == 0


REMOVALS = (hide_peer, remove_peer, remove_wide, replace_token)


@pytest.mark.parametrize("remove", REMOVALS)
def test_a_removal_ends_the_tunnel_and_what_runs_in_it(
    two: Two, remove: Callable[[Two], None]
) -> None:
    hal, host = two.hal, two.host
    upload = request("POST", "/x", ("Host", host), ("Transfer-Encoding", "chunked"))
    with ExitStack() as stack:
        idle, new, running = (stack.enter_context(tunnel(hal, host)) for _ in range(3))
        half = stack.enter_context(tunnel(hal, host))
        twin = stack.enter_context(tunnel(hal, "portal_core", "other"))
        for wire in (idle, half):
            assert in_tunnel(wire, host, "/x").body == b"ok"
        running.send(upload + b"2\r\nab\r\n")
        half.send(b"GET /x HTTP/1.1\r\n")

        remove(two)
        since = time.monotonic()

        assert is_ended(idle)
        refused = running.read()
        assert refused.status >= 400
        assert is_ended(running)
        assert time.monotonic() - since < soon(SOON)
        assert is_ended(new)
        half.send(f"Host: {host}\r\n\r\n".encode())
        assert half.read().code in ("not_a_peer_host", "token_unknown")
        assert is_ended(half)
        assert in_tunnel(twin, "portal_core", PEERS).status == 200


def test_the_tunnel_to_the_portal_itself_outlives_a_peer_and_not_the_app(two: Two) -> None:
    with tunnel(two.hal, "portal_core") as wire:
        hide_peer(two)
        eventually(lambda: in_tunnel(wire, "portal_core", PEERS).json() == [])
        remove_wide(two)
        assert is_ended(wire)


def test_in_whichever_worker_a_tunnel_is_it_ends(tmp_path: Path) -> None:
    with two_portals(tmp_path, WORKERS) as two, ExitStack() as stack:
        eventually(lambda: two.hal.log.count("owner listener:") == WORKERS)
        opened = [stack.enter_context(tunnel(two.hal, two.host)) for _ in range(8 * WORKERS)]
        hide_peer(two)
        assert all(map(is_ended, opened))


def test_the_proxys_end_ends_tunnels_behind_what_runs_in_them(gina: Portal) -> None:
    gina.start()
    field = basic("site", gina.token("site"))
    with RawConnection(gina.apps) as idle, RawConnection(gina.apps) as running:
        for wire in (idle, running):
            wire.send(connect("portal_core:80", field))
            assert wire.until(b"\r\n\r\n") == OPENED
            assert in_tunnel(wire, "portal_core", PEERS).status == 200
        running.send(request("GET", PEERS, ("Host", "portal_core"))[:-2])
        process = gina._process
        assert process is not None
        eventually(lambda: half_read(running))
        process.terminate()
        assert is_ended(idle)
        running.send(b"\r\n")
        got = running.read()
        assert (got.status, got.one("connection")) == (200, b"close")
        assert is_ended(running)
        assert gina.stop() == 0
    assert "Traceback" not in gina.log


def half_read(wire: RawConnection) -> bool:
    """Tell whether the proxy has read all that was sent."""
    waiting = fcntl.ioctl(wire.socket.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(waiting, sys.byteorder) == 0


def test_a_tunnel_may_begin_at_a_unix_socket(gina: Portal) -> None:
    yaml = gina.config / "portal.yaml"
    usual = f'"127.0.0.1:{gina.apps}"'
    yaml.write_text(yaml.read_text().replace(usual, "unix:apps.sock"))
    process = gina._process = gina.launch()
    path = str(gina.config / "apps.sock")
    eventually(lambda: process.poll() is not None or can_connect(path))
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(path)
        wire = Accepted(opened, lambda _: None)
        wire.send(connect("portal_core:80", basic("site", gina.token("site"))))
        assert wire.until(b"\r\n\r\n") == OPENED
        for _ in range(2):
            assert in_tunnel(wire, "portal_core", PEERS).json() == []


def can_connect(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        return trial.connect_ex(path) == 0
