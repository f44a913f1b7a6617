"""docs/setup's files for Caddy, nginx and Traefik, as they are, each with the real program."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Semaphore

import pytest

from tests.more.in_front.own_network import own_network
from tests.more.in_front.street import END, START, Secure, Silence, Street, dial, street
from tests.more.in_front.web_servers import NAMES
from tests.patience import PATIENCE
from tests.wire.harness.forwarding import told
from tests.wire.harness.portals import environment
from tests.wire.harness.raw import LOOPBACK, RawConnection, chunked, request, response
from tests.wire.harness.recorder import Accepted, eventually

pytestmark = pytest.mark.more

LARGE = hashlib.shake_128(b"large").digest(5 << 20)
CLIENT = "127.0.0.2"
STREETS = [(kind, mode) for kind in ("caddy", "nginx", "traefik") for mode in NAMES]


@pytest.fixture(scope="module", params=STREETS, ids=" ".join)
def street_(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Street, Silence]]:
    kind, mode = request.param
    with own_network(), pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("front")
        with street(kind, mode, folder, patch) as made, Silence(made) as silence:
            yield made, silence


@pytest.fixture
def made(street_: tuple[Street, Silence]) -> Street:
    street_[0].seen.clear()
    return street_[0]


@pytest.fixture
def with_app_hosts(made: Street) -> Street:
    """One whose apps have hosts; conftest.py leaves the others out."""
    return made


def test_ping_finds_nothing_wrong(made: Street) -> None:
    for caller in (made.bob, made.cleo):
        if caller is made.cleo and made.mode != "app-hosts":
            continue  # who is pinned to signed calls isn't taken
        done = subprocess.run(
            caller.command_line("ping", "Ada", "--timeout", "60"), env=environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_large_body_passes_both_ways(made: Street) -> None:
    made.seen.script(response(200, body=LARGE))
    got = made.call(made.bob, "seen", "/in%2Fside?x=%E4", method="POST", body=LARGE)
    assert (got.status, got.body == LARGE) == (200, True)
    arrived = made.seen.request
    assert arrived.first_line == b"POST /in%2Fside?x=%E4 HTTP/1.1"
    assert arrived.one("host") == made.ada.app_host("seen").encode()
    assert arrived.body == LARGE


FRAMING = ("Transfer-Encoding", "chunked")


def opened(made: Street, way: str, method: str, *fields: tuple[str, str]) -> RawConnection:
    """Begin a request to Ada's app "live": a sealed call of Bob's, or a stranger's."""
    if way == "sealed":
        wire = RawConnection(made.bob.apps)
        wire.send(made.call_bytes(made.bob, "live", "/", *fields, method=method))
        return wire
    host = made.ada.app_host("live")
    wire = Secure(made.trusted, host)
    wire.send(request(method, "/", ("Host", host), *fields))
    return wire


WAYS = pytest.mark.parametrize("way", ["sealed", "a stranger's"])


@WAYS
def test_each_piece_of_a_body_is_passed_on_as_it_comes(made: Street, way: str) -> None:
    """The next one isn't sent before the app has the one before it."""
    arrived: SimpleQueue[bytes] = SimpleQueue()

    def note(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        while piece := _piece(wire):
            arrived.put(piece)
        wire.send(response(200, body=b"thanks"))

    made.live.act = note
    with opened(made, way, "POST", FRAMING) as wire:
        for number in range(8):
            said = b"piece %d" % number
            wire.send(b"%x\r\n%b\r\n" % (len(said), said))
            heard = b""
            while len(heard) < len(said):
                heard += arrived.get(timeout=PATIENCE)
            assert heard == said
        wire.send(END)
        assert wire.read().body == b"thanks"


@WAYS
@pytest.mark.parametrize("length", [b"", b"Content-Length: 56\r\n"], ids=["chunks", "a length"])
def test_each_piece_of_a_response_is_passed_on_as_it_comes(
    made: Street, way: str, length: bytes
) -> None:
    """The app sends the next event when the one before it was heard."""
    heard = Semaphore(0)

    def send_events(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        framing = length or b"Transfer-Encoding: chunked\r\n"
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n" % framing)
        for number in range(8):
            said = b"event %d" % number
            wire.send(said if length else b"7\r\n%b\r\n" % said)
            if number < 7:
                heard.acquire(timeout=PATIENCE)
        wire.send(b"" if length else END)

    made.live.act = send_events
    with opened(made, way, "GET") as wire:
        wire.until(b"\r\n\r\n")
        for number in range(8):
            assert b"event %d" % number in wire.until(b"event %d" % number)
            heard.release()


@WAYS
def test_with_nginx_a_call_can_be_a_conversation(made: Street, way: str) -> None:
    """The servers of Caddy 2.6 and of Traefik don't answer before they have the whole request."""

    def echo(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        wire.send(START)
        while piece := _piece(wire):
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(END)

    made.live.act = echo
    with opened(made, way, "POST", FRAMING) as wire:
        for number in range(8):
            said = b"piece %d" % number
            wire.send(b"%x\r\n%b\r\n" % (len(said), said))
            if not number:
                assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
            heard = b""
            while len(heard) < len(said):
                heard += _piece(wire)
            assert heard == said
        wire.send(END)
        assert _piece(wire) == b""


def _piece(wire: RawConnection) -> bytes:
    size = int(wire.until(b"\r\n"), 16)
    data = wire.exactly(size)
    assert wire.exactly(2) == b"\r\n"
    return data


def test_the_portals_own_pages(made: Street) -> None:
    host = made.ada.host
    got = made.ask(host, request("GET", "/.well-known/portal-identity", ("Host", host)))
    assert got.json()["domain"] == host
    assert got.json()["modes"] == (["sealed"] if made.mode == "one-name" else ["sealed", "signed"])
    page = made.ask(host, request("GET", "/core/public/pair", ("Host", host)))
    assert page.one("content-type").startswith(b"text/html")


def test_a_strangers_request_is_told_as_it_came(with_app_hosts: Street) -> None:
    made, host = with_app_hosts, with_app_hosts.ada.app_host("seen")
    forged = (
        ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"), ("X-Request-Id", "forged"),
        ("Forwarded", "for=6.6.6.6"),
    )  # fmt: skip
    raw = request("PUT", "/a%2Fb;c=d?e=%E4&f", ("Host", host), *forged, body=LARGE)
    assert made.ask(host, raw, CLIENT).body == b"ok"
    arrived = made.seen.request
    assert arrived.first_line == b"PUT /a%2Fb;c=d?e=%E4&f HTTP/1.1"
    assert arrived.body == LARGE
    assert arrived.one("host") == host.encode()
    way = told(arrived)
    assert way["x-forwarded-for"] == [f"{CLIENT}, {LOOPBACK}".encode()]
    assert way["x-forwarded-proto"] == [b"https"]
    assert way["x-forwarded-host"] == [host.encode()]
    assert way["x-request-id"] != [b"forged"]
    assert b"6.6.6.6" not in arrived.head
    its_id = way["x-request-id"][0].decode()
    eventually(lambda: made.ada.lines(request_id=its_id))
    (line,) = made.ada.lines(request_id=its_id)
    assert (line["client"], line["status"]) == (CLIENT, 200)


def test_a_body_in_chunks_isnt_held(with_app_hosts: Street) -> None:
    made, host = with_app_hosts, with_app_hosts.ada.app_host("seen")
    pieces = [LARGE[at : at + 70_000] for at in range(0, len(LARGE), 70_000)]
    raw = request("POST", "/", ("Host", host), ("Transfer-Encoding", "chunked"))
    assert made.ask(host, raw + chunked(*pieces)).body == b"ok"
    assert made.seen.request.body == LARGE


def test_a_signed_call_is_believed_both_ways(with_app_hosts: Street) -> None:
    made = with_app_hosts
    made.seen.script(response(201, ("X-Odd!#$%&'*+.^`|~1", "odd"), ("Date", "never"), body=LARGE))
    fields = (("X!#$%&'*+.^`|~1", "odd"), ("X-Long", "v" * 6000))
    got = made.call(made.cleo, "seen", "/a%2Fb//c;v=1?d=%E4&&e", *fields, method="POST", body=LARGE)
    assert got.status == 201, got
    assert got.body == LARGE
    assert made.seen.request.body == LARGE
    assert made.seen.request.one("x-ptl-client-id") == made.cleo.id.encode()


def test_a_websocket_carries_what_is_said(with_app_hosts: Street) -> None:
    with dial(with_app_hosts, "/public/echo") as ws:
        for said in ("Hello", LARGE):
            ws.send(said)
            assert ws.recv(PATIENCE) == said


def test_a_minute_of_silence_ends_nothing(street_: tuple[Street, Silence]) -> None:
    made, silence = street_
    answers = {name: (got.status, got.body) for name, got in silence.over().items()}
    late = (200, b"late")
    if made.mode == "one-name":
        assert answers == {"sealed": late}
        return
    assert answers == {"sealed": late, "a stranger's": late}
    assert silence.websocket is not None
    silence.websocket.send("still there")
    assert silence.websocket.recv(PATIENCE) == "still there"
