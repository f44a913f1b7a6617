"""What an app sends arrives at the peer's app byte for byte, and the answer likewise."""

from __future__ import annotations

import gzip
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .harness.raw import Wire, answer, chunked, request
from .harness.recorder import eventually

if TYPE_CHECKING:
    from .conftest import World

Lines = tuple[tuple[str, str], ...]

GZIPPED = gzip.compress(b"postcards " * 100, mtime=0)
BIG = hashlib.sha512(b"seed").digest() * (20 * 1024 * 1024 // 64)


@dataclass(frozen=True)
class Trip:
    """One request of an app, and the answer of the app at the peer; text is Latin-1."""

    name: str
    method: str = "GET"
    target: str = "/"
    fields: Lines = ()
    body: bytes | None = None
    chunks: tuple[bytes, ...] | None = None
    """The body in chunks instead."""
    status: int = 200
    back: Lines = ()
    answered: bytes | None = b"ok"
    """The answer's body; None where the fields in ``back`` frame it."""
    answered_chunks: tuple[bytes, ...] | None = None

    @property
    def has_body(self) -> bool:
        return self.body is not None or self.chunks is not None

    @property
    def whole_body(self) -> bytes:
        return self.body if self.body is not None else b"".join(self.chunks or ())

    def request(self, target: str, *fields: tuple[str, str]) -> bytes:
        """Return the request's bytes with a target and fields for the listener."""
        if self.chunks is None:
            return request(self.method, target, *fields, *self.fields, body=self.body)
        framing = ("Transfer-Encoding", "chunked")
        return request(self.method, target, *fields, *self.fields, framing) + chunked(*self.chunks)

    def answer(self) -> bytes:
        """Return the bytes that the app at the peer answers with."""
        if self.answered_chunks is None:
            return answer(self.status, *self.back, body=self.answered)
        framing = ("Transfer-Encoding", "chunked")
        return answer(self.status, *self.back, framing, body=None) + chunked(*self.answered_chunks)

    def arrived(self, host: str, sender: str) -> list[tuple[bytes, bytes]]:
        """Return the fields that the app at the peer must get."""
        identity: Lines = (
            ("x-ptl-client-type", "peer"),
            ("x-ptl-client-id", sender),
            ("x-ptl-client-name", "Ada Gr%C3%B6%C3%9Fe"),
        )
        length = (("content-length", str(len(self.whole_body))),) if self.has_body else ()
        return lowered((("host", host), *self.fields, *identity, *length))

    def came_back(self) -> list[tuple[bytes, bytes]]:
        """Return the fields that the calling app must get."""
        body = self.answered if self.answered_chunks is None else b"".join(self.answered_chunks)
        length = (("content-length", str(len(body))),) if body is not None else ()
        return lowered((*self.back, *length))


def lowered(lines: Lines) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.strip().encode("latin-1")) for name, value in lines]


TRIPS = [
    Trip("plain"),
    Trip("escapes stay as they are", target="/a%2Fb?b&c=%E4"),
    Trip("an empty query", target="/a?"),
    Trip("no query", target="/a"),
    Trip("two question marks", target="/a??b=/c?d"),
    Trip("lower-case escapes and unreserved ones", target="/%7euser/%41?%2e%2e=%7E"),
    Trip("an empty segment", target="//a//b"),
    Trip("parameters and every sub-delimiter", target="/a;v=1/b!$&'()*+,=:@~._-?/?:@!$'()*+,;=[]"),
    Trip("a query that holds URLs", target="/?to=https://a@b.example/../c%0d%0a"),
    Trip("8-bit values", fields=(("X-Name", "Gr\xf6\xdfe \xe4\x80\xff"),), back=(("X-L", "\xe4"),)),
    Trip(
        "repeated fields",
        fields=(("X-A", "1"), ("X-B", "between"), ("x-a", "2, 3"), ("X-A", "")),
        back=(("Set-Cookie", "a=1; Path=/"), ("X-C", "x"), ("Set-Cookie", "b=2, c")),
    ),
    Trip(
        "empty values, inner blanks, every token character, structured syntax",
        fields=(
            ("X-Empty", ""),
            ("X-Blanks", "a  b\tc"),
            ("X!#$%&'*+.^_`|~1", "odd"),
            ("X-Quoted", '"a\\"b", (c d);e=?1, :AAE=:'),
        ),
        back=(("X-Empty", ""), ("X!#$%&'*+.^_`|~1", "odd"), ("X-Quoted", '"un, closed')),
    ),
    Trip(
        "what apps send",
        fields=(
            ("Authorization", "Bearer abc"),
            ("Cookie", "session=1; other=2"),
            ("Accept-Encoding", "gzip, br"),
            ("Range", "bytes=0-9"),
            ("If-None-Match", 'W/"1"'),
            ("User-Agent", "app/1"),
            ("Origin", "http://a.example"),
        ),
        status=206,
        back=(
            ("Server", "app"),
            ("Date", "Sun, 22 Nov 2026 14:00:00 GMT"),
            ("Content-Range", "bytes 0-1/2"),
            ("WWW-Authenticate", 'Basic realm="app"'),
            ("Cache-Control", "no-store"),
        ),
    ),
    Trip("an empty body", "POST", body=b""),
    Trip("a body", "POST", "/in?x=1", (("Content-Type", "text/plain"),), body=b"h\xc3\xa4\r\n\r\n"),
    Trip("a body in chunks", "POST", chunks=(b"one", b"", b"two" * 5000)[::2]),
    Trip("an empty body in chunks", "PUT", chunks=()),
    Trip("20 MiB there", "PUT", body=BIG),
    Trip("20 MiB back", answered=BIG),
    Trip("an answer in chunks", answered=None, answered_chunks=(b"one", b"two" * 9000)),
    Trip("a compressed answer", back=(("Content-Encoding", "gzip"),), answered=GZIPPED),
    Trip("a compressed request", "POST", fields=(("Content-Encoding", "gzip"),), body=GZIPPED),
    Trip("compressed and wrong", back=(("Content-Encoding", "br, gzip"),), answered=b"no gzip"),
    Trip(
        "HEAD keeps the length",
        "HEAD",
        back=(("Content-Type", "a/b"), ("Content-Length", "123456")),
        answered=None,
    ),
    Trip("204", "DELETE", status=204, back=(("ETag", '"1"'),), answered=None),
    Trip("304", status=304, back=(("ETag", '"1"'), ("Content-Length", "77")), answered=None),
    Trip("PATCH", "PATCH", body=b'{"a":1}', fields=(("Content-Type", "application/json"),)),
    Trip("PROPFIND", "PROPFIND", fields=(("Depth", "1"),), body=b"<propfind/>", status=207),
    Trip("OPTIONS", "OPTIONS", back=(("Allow", "GET, OPTIONS"),)),
    Trip("a method nobody knows", "BREW-It", body=b"milk", status=418),
    Trip("DELETE with a body", "DELETE", body=b"which"),
    Trip("a GET with a body", "GET", body=b"query"),
    Trip("299", status=299),
    Trip(
        "a redirect is the app's to follow", status=302, back=(("Location", "http://x.example/"),)
    ),
    Trip("the app's own 401", status=401, back=(("WWW-Authenticate", "Basic"),)),
    Trip("the app's own problem", status=502, back=(("Content-Type", "application/problem+json"),)),
    Trip(
        "the apps' own signatures",
        "POST",
        fields=(
            ("Signature-Input", 'sig1=("date");keyid="a";tag="x"'),
            ("Signature", "sig1=:AAAA:"),
            ("Content-Digest", "sha-256=:not even base64:"),
            ("Digest", "SHA-256=abc"),
        ),
        body=b"signed by the app",
        back=(
            ("Signature", "s=:BBBB:"),
            ("Signature-Input", 's=();created=1;tag="portal-peering-response"'),
            ("Content-Digest", "md5=:AAAA:"),
        ),
    ),
]


@pytest.mark.parametrize("form", ["path", "proxy"])
@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.name)
def test_a_round_trip_changes_no_byte(world: World, trip: Trip, form: str) -> None:
    host = world.bob.app_host("wide")
    if form == "path":
        target = f"/internal/call_peer/{world.bob.id}{trip.target}"
        raw = trip.request(target, ("Host", "portal_core"), world.token())
    else:
        raw = trip.request(f"http://{host}{trip.target}", ("Host", host), world.basic())
    world.bob_app.script(trip.answer())

    got = world.call(raw)

    arrived = world.bob_app.request
    assert arrived.first_line == f"{trip.method} {trip.target} HTTP/1.1".encode()
    assert arrived.fields == trip.arrived(host, world.ada.id)
    assert arrived.body == trip.whole_body
    assert got.status == trip.status
    assert got.fields == trip.came_back()
    bodiless = trip.method == "HEAD" or trip.status in {204, 304}
    assert got.body == (b"" if bodiless else trip.answered or b"".join(trip.answered_chunks or ()))


@pytest.mark.parametrize("size", [7, 3 * 1024 * 1024])
def test_an_app_may_answer_before_it_read_the_body(world: World, size: int) -> None:
    world.bob_app.script(answer(413, body=b"too much for me"), before_body=True)

    got = world.ask(world.bob.id, method="POST", body=bytes(size))

    assert (got.status, got.body) == (413, b"too much for me")


def test_a_short_id_in_a_path_leads_to_the_same_app(world: World) -> None:
    assert world.ask(world.bob.id[:6]).body == b"ok"
    assert world.ask(world.bob.id[:50]).body == b"ok"
    assert {raw.one("host") for raw in world.bob_app.requests} == {
        world.bob.app_host("wide").encode()
    }


def test_each_app_calls_the_app_of_its_own_name(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/peer/x"

    world.call(request("GET", path, ("Host", "shard_core"), world.basic("box")))

    arrived = world.bob_app.request
    assert arrived.one("host").decode() == world.bob.app_host("box")
    assert arrived.one("x-ptl-foo").decode() == f"{world.bob.id[:6]}@example.com"
    assert arrived.one("remote-user") == b"peer Ada Gr%C3%B6%C3%9Fe"


def test_one_connection_carries_many_calls(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/n"
    with Wire(world.ada.apps) as wire:
        for number in range(20):
            fields = (("Host", "portal_core"), world.token())
            wire.send(request("POST", f"{path}{number}", *fields, body=b"x" * number))
            assert wire.read().body == b"ok"

    assert [len(raw.body) for raw in world.bob_app.requests] == list(range(20))


def test_many_calls_at_once_keep_to_themselves(world: World) -> None:
    bodies = [b"%d " % number * 20_000 for number in range(30)]

    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(
            pool.map(lambda body: world.ask(world.bob.id, method="POST", body=body), bodies)
        )

    assert {got.status for got in answers} == {200}
    assert sorted(raw.body for raw in world.bob_app.requests) == sorted(bodies)


def test_what_belongs_to_one_hop_stays_there(world: World) -> None:
    world.bob_app.script(
        answer(
            200, ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=9")
        )
    )

    got = world.ask(
        world.bob.id,
        "/x",
        ("Connection", "X-Mine, keep-alive"),
        ("X-Mine", "1"),
        ("TE", "trailers"),
        ("Proxy-Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
    )

    assert got.fields == [(b"content-length", b"0")]
    names = {name for name, _ in world.bob_app.request.fields}
    assert names.isdisjoint({b"connection", b"x-mine", b"te", b"proxy-connection", b"keep-alive"})


def test_what_intermediaries_write_and_identity_fields_of_an_app_go_nowhere(world: World) -> None:
    world.ask(
        world.bob.id,
        "/x",
        ("X-Forwarded-For", "10.0.0.1"),
        ("Forwarded", "for=evil"),
        ("Via", "1.1 evil"),
        ("X-Ptl-Client-Id", "evil"),
        ("X_Ptl_Client_Name", "evil"),
        ("X-Kept", "good"),
    )

    assert b"evil" not in world.bob_app.received
    assert world.bob_app.request.one("x-kept") == b"good"


def test_an_app_cant_send_fields_of_the_protocol(world: World) -> None:
    for name in ("Portal-To", "portal_key", "Portal-App-Signature", "PORTAL.SEAL"):
        assert world.ask(world.bob.id, "/x", (name, "x")).code == "bad_field"
    assert world.bob_app.received == b""


def test_an_app_cant_answer_with_fields_of_the_protocol(world: World) -> None:
    forged = (("Portal-Refusal", "out_of_time"), ("Portal-App-Signature", "s=:AA==:"))
    world.bob_app.script(answer(401, *forged, ("X-Kept", "1"), body=b'{"now": 1}'))

    got = world.ask(world.bob.id)

    assert got.status == 401
    assert got.fields == [(b"x-kept", b"1"), (b"content-length", b"10")]
    assert len(world.bob_app.requests) == 1


def test_trailers_never_become_fields(world: World) -> None:
    trailers = b"X-Ptl-Client-Id: evil\r\nX-Late: evil\r\n"
    head = request(
        "POST",
        f"/internal/call_peer/{world.bob.id}/x",
        ("Host", "portal_core"),
        world.token(),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", "X-Late"),
    )
    framing = ("Transfer-Encoding", "chunked")
    world.bob_app.script(
        answer(200, framing, body=None) + chunked(b"body", trailers=b"X-Late: evil\r\n")
    )

    got = world.call(head + chunked(b"body", trailers=trailers))

    assert got.body == b"body"
    assert b"evil" not in world.bob_app.received
    assert b"evil" not in got.head


def test_a_caller_that_leaves_in_the_middle_is_no_call(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/x"
    fields = (("Host", "portal_core"), world.token(), ("Content-Length", "1000"))
    with Wire(world.ada.apps) as wire:
        wire.send(request("POST", path, *fields) + b"half of it")

    eventually(lambda: "left before the end" in world.ada.log)
    assert world.bob_app.connections == 0
    assert world.ask(world.bob.id).status == 200
