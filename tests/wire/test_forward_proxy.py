"""The apps listener as a forward proxy: for unmodified clients, and to peers' apps alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest
import requests

from tests.patience import PATIENCE
from tests.wire.harness.raw import RawConnection, request, response
from tests.wire.harness.recorder import Trap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import World


@pytest.fixture
def trap() -> Iterator[Trap]:
    """A port that nobody may connect to."""
    with Trap() as trap:
        yield trap


@pytest.mark.parametrize(
    "authority",
    ["portal_core", "shard_core", "localhost", "127.0.0.1", "PORTAL_CORE", "localhost:"],
)
@pytest.mark.parametrize("port", ["", "trap"])
def test_the_services_own_names_mean_the_path_form(
    world: World, trap: Trap, authority: str, port: str
) -> None:
    base = "http://" + authority.rstrip(":") + (f":{trap.port}" if port else "")

    peers = world.call(
        request("GET", f"{base}/protected/peers?name=bo", world.basic(), ("Host", "x"))
    )
    called = world.call(
        request(
            "GET", f"{base}/internal/call_peer/{world.bob.id}/a?b", ("Host", "x"), world.basic()
        )
    )

    assert [peer["name"] for peer in peers.json()] == ["Bob"]
    assert called.body == b"ok"
    assert world.bob_app.request.target == b"/a?b"
    assert trap.connections == 0


def test_the_port_of_a_peers_host_is_ignored_and_its_case_too(world: World, trap: Trap) -> None:
    name = world.bob.app_host("wide").partition(":")[0]
    for host in (name, f"{name}:{trap.port}", name.upper(), f"{name}:"):
        got = world.call(request("GET", f"http://{host}/x", ("Host", host), world.basic()))
        assert got.body == b"ok"

    hosts = {raw.one("host").decode() for raw in world.bob_app.requests}
    assert hosts == {name}
    assert trap.connections == 0


def test_a_host_without_a_path_is_its_root(world: World) -> None:
    host = world.bob.app_host("wide")
    for target in ("", "?", "?a=/b"):
        world.call(request("GET", f"http://{host}{target}", ("Host", host), world.basic()))

    assert [raw.target for raw in world.bob_app.requests] == [b"/", b"/?", b"/?a=/b"]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.1:{trap}/",
        "http://2130706433:{trap}/",
        "http://0x7f000001:{trap}/",
        "http://0177.0.0.1:{trap}/",
        "http://0.0.0.0:{trap}/",
        "http://[::1]:{trap}/",
        "http://[::ffff:127.0.0.1]:{trap}/",
        "http://127.0.0.1.:{trap}/",
        "http://127%2e0.0.1:{trap}/",
        "http://127%EF%BC%8E0%EF%BC%8E0%EF%BC%8E1:{trap}/",
        "http://localhost.:{trap}/",
        "http://evil.test:{trap}/",
        "http://{own}:{trap}/",
        "http://{bob}/x",
        "http://x.{wide}/x",
        "http://{wide}./x",
        "http://wide.{mallory}.portal.localhost:{trap}/",
        "http://{wide}@127.0.0.1:{trap}/",
        "http://user:password@{wide}/x",
        "http://{wide}%23@127.0.0.1:{trap}/",
        "http://{wide}%2f@127.0.0.1:{trap}/",
        "http://{wide}#@127.0.0.1:{trap}/",
        "http://{wide}\\@127.0.0.1:{trap}/",
        "http://{wide}:{trap}@127.0.0.1/",
        "http://{wide}:99999999/",
        "http://{wide}:+80/",
        "http:///{wide}/x",
        "http:/{wide}/x",
        "http:{wide}",
        "https://{wide}/x",
        "https://127.0.0.1:{trap}/",
        "ftp://{wide}/x",
        "file:///etc/passwd",
        "unix:/run/x",
        "{wide}",
        "127.0.0.1:{trap}",
        "*",
    ],
)
def test_every_other_host_is_refused_and_nothing_is_connected_to(
    world: World, trap: Trap, target: str
) -> None:
    filled = target.format(
        trap=trap.port,
        own=world.ada.host.partition(":")[0],
        bob=world.bob.host,
        wide=world.bob.app_host("wide").partition(":")[0],
        mallory=world.mallory.public.portal_id[:6],
    )
    method = "OPTIONS" if target == "*" else "GET"

    got = world.call(request(method, filled, ("Host", "evil.test"), world.basic()))

    assert (got.status, got.code) == (403, "not_a_peer_host")
    assert trap.connections == 0
    assert world.bob_app.connections == 0


@pytest.mark.parametrize("host", ["db:5984", "wide.{mallory}.portals.test"])
def test_who_asks_for_another_server_is_told_what_to_do(world: World, host: str) -> None:
    target = "http://" + host.format(mallory=world.mallory.public.portal_id[:6]) + "/_all_dbs"
    got = world.call(request("GET", target, ("Host", "x"), world.basic()))
    assert (got.status, got.code) == (403, "not_a_peer_host")
    assert "NO_PROXY" in json.loads(got.body)["detail"]


def test_bytes_that_no_host_holds_are_refused(world: World, trap: Trap) -> None:
    dots = "127\uff0e0\uff0e0\uff0e1".encode()
    raw = b"GET http://%s:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % (dots, trap.port)

    assert world.call(raw).status == 403
    assert trap.connections == 0


@pytest.mark.parametrize("target", ["127.0.0.1:{trap}", "{wide}.:{trap}", "localhost:{trap}"])
def test_no_tunnel_leads_elsewhere(world: World, trap: Trap, target: str) -> None:
    wide = world.bob.app_host("wide").partition(":")[0]
    filled = target.format(trap=trap.port, wide=wide)

    got = world.call(request("CONNECT", filled, ("Host", "x"), world.basic()))

    assert (got.status, got.code) == (403, "no_internet")
    assert trap.connections == 0


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/internal/call_peer/../../protected/peers", 404),
        ("/internal/call_peer/{bob}/../x", 400),
        ("/internal/call_peer/{bob}/a/%2e%2e/x", 400),
        ("/internal/call_peer/{bob}/..%2fx", 400),
        ("/internal/call_peer/{bob}/a%00", 400),
        ("/internal/call_peer/{bob}/%zz", 400),
        ("/internal/call_peer/{bob}/a\\b", 400),
        ("/internal/call_peer/{bob}/a#b", 400),
        ("http://{wide}/../x", 400),
        ("http://{wide}/%2e%2e%2fx", 400),
        ("/internal/call_peer_/{bob}/x", 404),
        ("//internal/call_peer/{bob}/x", 404),
    ],
)
def test_a_path_that_could_be_read_as_another_goes_nowhere(
    world: World, target: str, status: int
) -> None:
    filled = target.format(bob=world.bob.id, wide=world.bob.app_host("wide"))

    got = world.call(request("GET", filled, ("Host", "portal_core"), world.basic()))

    assert got.status == status, got
    assert got.code
    assert world.bob_app.connections == 0


@pytest.mark.parametrize("written", ["{name}", "{host}", "{name}:80", "{name}:1", "{upper}:443"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_destination_at_the_peers_app_is_told_as_its_host_is(
    world: World, written: str, scheme: str
) -> None:
    """WebDAV's apps move nothing to another host than their own, and compare every byte of it."""
    host = world.bob.app_host("wide")
    name = host.partition(":")[0]
    authority = written.format(name=name, host=host, upper=name.upper())
    to = ("Destination", f"{scheme}://{authority}/b%20c?d")

    got = world.call(request("MOVE", f"http://{name}/a", ("Host", name), to, world.basic()))

    assert got.status == 200
    arrived = world.bob_app.request
    told = f"{arrived.one('x-forwarded-proto').decode()}://{arrived.one('host').decode()}"
    assert arrived.one("destination").decode() == f"{told}/b%20c?d"


@pytest.mark.parametrize(
    "to", ["/b", "b", "http://else.example:8080/b", "http://user@{name}:8080/b", "ftp://{name}:1/b"]
)
def test_any_other_destination_goes_on_as_it_came(world: World, to: str) -> None:
    """All of this app's paths are alike, so that the app alone decides about them."""
    name = world.bob.app_host("wide").partition(":")[0]
    field = ("Destination", to.format(name=name))
    world.call(request("MOVE", f"http://{name}/a", ("Host", name), field, world.basic()))
    assert world.bob_app.request.one("destination").decode() == field[1]


def test_a_redirect_is_passed_on_and_not_followed(world: World, trap: Trap) -> None:
    location = f"http://127.0.0.1:{trap.port}/"
    world.bob_app.script(response(307, ("Location", location)))

    got = world.ask(world.bob.id)

    assert (got.status, got.one("location").decode()) == (307, location)
    assert trap.connections == 0


@pytest.fixture
def proxied(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment as an app of the ecosystem gets it; returns what it fetches."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = f"http://wide:{world.ada.token('wide')}@127.0.0.1:{world.ada.apps}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    return f"http://{world.bob.app_host('wide')}/a%2Fb?c=%E4"


def test_urllib_needs_no_change(world: World, proxied: str) -> None:
    with urllib.request.build_opener().open(proxied, data=b"sent", timeout=PATIENCE) as got:
        assert (got.status, got.read()) == (200, b"ok")
    assert world.bob_app.request.target == b"/a%2Fb?c=%E4"
    assert world.bob_app.request.body == b"sent"


def test_requests_needs_no_change(world: World, proxied: str) -> None:
    world.bob_app.script(response(201, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), body=b"made"))

    got = requests.post(proxied, data=b"sent", timeout=PATIENCE)
    peers = requests.get("http://portal_core/protected/peers", timeout=PATIENCE).json()

    assert (got.status_code, got.content) == (201, b"made")
    assert got.cookies.get_dict() == {"a": "1", "b": "2"}
    assert world.bob_app.request.target == b"/a%2Fb?c=%E4"
    assert "Bob" in [peer["name"] for peer in peers]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't here")
def test_curl_needs_no_change(world: World, proxied: str) -> None:
    line = ["curl", "-sS", "-m", "10", "-H", "Expect: 100-continue", "-d", "sent", proxied]

    assert subprocess.run(line, capture_output=True, check=True).stdout == b"ok"
    assert world.bob_app.request.body == b"sent"


def test_a_request_with_two_lengths_is_refused(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/x"
    fields = (("Host", "x"), world.token(), ("Transfer-Encoding", "chunked"))
    with RawConnection(world.ada.apps) as wire:
        wire.send(request("POST", path, *fields, ("Content-Length", "4")) + b"0\r\n\r\nGET /evil")
        got = wire.read()

    assert got.status == 400
    assert world.bob_app.connections == 0


def test_a_client_that_offers_h2c_goes_on_in_http_1(world: World) -> None:
    """As Java's does with each first request; nobody has to take such an offer up."""
    name = world.bob.app_host("wide").partition(":")[0]
    offers = (
        ("Host", name), ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
    )  # fmt: skip
    raw = request("POST", f"http://{name}/x", world.basic(), *offers, body=b"Hi")
    with RawConnection(world.ada.apps) as wire:
        for _ in range(2):
            wire.send(raw)
            assert wire.read().body == b"ok"
    assert [each.body for each in world.bob_app.requests] == [b"Hi", b"Hi"]
    assert b"h2c" not in world.bob_app.received
    assert b"http2-settings" not in world.bob_app.received.lower()


@pytest.mark.parametrize("asked", ["websocket", "WebSocket", "h2c, websocket"])
def test_one_that_asks_for_a_websocket_is_refused(world: World, asked: str) -> None:
    name = world.bob.app_host("wide").partition(":")[0]
    asks = (("Host", name), ("Connection", "Upgrade"), ("Upgrade", asked))
    got = world.call(request("GET", f"http://{name}/x", world.basic(), *asks))
    assert (got.status, got.code) == (501, "upgrade_unsupported")
    assert world.bob_app.connections == 0
