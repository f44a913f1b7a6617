"""What an app sends arrives at the peer's app byte for byte, and the response likewise.

Signed or sealed, in either form of a call.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import MODES, Mode
from tests.wire.harness.raw import RawConnection, chunked, exchange, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.trips import TRIPS, Trip

if TYPE_CHECKING:
    from .conftest import World


@dataclass(frozen=True)
class Way:
    """How an app calls: by its target, or by its proxy's settings; and how its Portal does."""

    mode: Mode
    form: str = "path"

    def request(self, world: World, trip: Trip) -> bytes:
        host = world.bob.app_host("wide")
        if self.form == "proxy":
            target = f"http://{host}{trip.target}"
            return trip.request(target, ("Host", host), world.basic())
        token = ("Portal-Token", world.caller(self.mode).token("wide"))
        target = f"/internal/call_peer/{world.bob.id}{trip.target}"
        return trip.request(target, ("Host", "portal_core"), token)


WAYS = {
    "path": Way("signed"),
    "proxy": Way("signed", "proxy"),
    "sealed": Way("sealed"),
}
CHUNKED = (b"transfer-encoding", b"chunked")


def without_framing(
    fields: list[tuple[bytes, bytes]], *, streams: bool
) -> list[tuple[bytes, bytes]]:
    """Return the fields without chunks, and without a length that nobody could know."""
    names = {b"transfer-encoding"} | ({b"content-length"} if streams else set())
    return [pair for pair in fields if pair[0] not in names]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.name)
def test_a_round_trip_changes_no_byte(sealed: World, trip: Trip, way: Way) -> None:
    world, caller = sealed, sealed.caller(way.mode)
    world.bob_app.script(trip.response())

    got = exchange(caller.apps, way.request(world, trip))

    # A signed body is held, so that its length is known; a sealed one goes on as it comes.
    is_sealed, arrived = way.mode == "sealed", world.bob_app.request
    streams = is_sealed and trip.chunks is not None
    assert arrived.first_line == f"{trip.method} {trip.target} HTTP/1.1".encode()
    expected = trip.arrived(arrived, world.bob.told_host("wide"), caller.id)
    assert without_framing(arrived.fields, streams=streams) == without_framing(
        expected, streams=streams
    )
    assert (CHUNKED in arrived.fields) is (is_sealed and bool(trip.chunks))
    assert arrived.body == trip.whole_body
    streams = is_sealed and trip.answered_chunks is not None
    assert got.first_line.rstrip() == first_line(trip.status)
    assert without_framing(got.fields, streams=streams) == without_framing(
        trip.came_back(), streams=streams
    )
    assert (CHUNKED in got.fields) is streams
    bodiless = trip.method == "HEAD" or trip.status in {204, 304}
    assert got.body == (b"" if bodiless else trip.answered or b"".join(trip.answered_chunks or ()))


def first_line(status: int) -> bytes:
    """Return the line with the usual reason, where there is one: an app's own words are dropped."""
    phrase = HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else ""
    return f"HTTP/1.1 {status} {phrase}".rstrip().encode()


def test_each_mode_is_what_it_says(sealed: World) -> None:
    for way in WAYS.values():
        sealed.relay.clear()
        sealed.meddler.clear()
        exchange(sealed.caller(way.mode).apps, way.request(sealed, TRIPS[0]))
        assert bool(sealed.relay.sent) is (way.mode == "signed")
        assert len(sealed.meddler.calls) == (1 if way.mode == "sealed" else 0)


INTERIM = {
    "an informational response first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
}


ODD = [
    Trip("a length with zeros in front", back=(("Content-Length", "0002"),), answered=None),
    Trip("a length of HEAD's with zeros", "HEAD", back=(("Content-Length", "07"),), answered=None),
    Trip("an informational response first", status=200),
    Trip("an odd reason and an empty response", status=599, answered=b""),
    Trip("many fields", fields=tuple((f"X-{n}", str(n)) for n in range(60)),
         back=tuple((f"X-{n}", str(n)) for n in range(90))),
    Trip("a long value", fields=(("X-Long", "v" * 20_000),), back=(("X-Long", "v" * 50_000),)),
    Trip("fields of one hop in the response", back=(("Connection", "X-Hop"), ("X-Hop", "1"),
         ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"), ("TE", "trailers"), ("Host", "evil"),
         ("Expect", "x"), ("Trailer", "X-Late"), ("Proxy-Connection", "close"))),
    Trip("fields of the protocol in the response", back=(("Portal-Refusal", "replayed"),
         ("Portal-Seal", ":AA==:"), ("Portal-App-Date", "never"), ("Via", "1.1 x"))),
    Trip("blanks around a value", back=(("X-Blank", "  a b\t "),)),
]  # fmt: skip


@pytest.mark.parametrize("trip", ODD, ids=lambda trip: trip.name)
def test_an_odd_response_comes_back_the_same_in_both_modes(sealed: World, trip: Trip) -> None:
    body = b"ok" if trip.method != "HEAD" and trip.answered is None else b""
    got = {}
    for mode in MODES:
        sealed.bob_app.clear()
        sealed.bob_app.script(INTERIM.get(trip.name, b"") + trip.response() + body)
        caller = sealed.caller(mode)
        fields = (("Host", "portal_core"), ("Portal-Token", caller.token("wide")))
        raw = trip.request(f"/internal/call_peer/{sealed.bob.id}/", *fields)
        got[mode] = exchange(caller.apps, raw)
    assert got["sealed"] == got["signed"]
    assert got["signed"].status == trip.status


@pytest.mark.parametrize("size", [7, 3 * 1024 * 1024])
def test_an_app_may_answer_before_it_read_the_body(world: World, size: int) -> None:
    world.bob_app.script(response(413, body=b"too much for me"), before_body=True)

    got = world.ask(world.bob.id, method="POST", body=bytes(size))

    assert (got.status, got.body) == (413, b"too much for me")


def test_a_short_id_in_a_path_leads_to_the_same_app(world: World) -> None:
    assert world.ask(world.bob.id[:6]).body == b"ok"
    assert world.ask(world.bob.id[:50]).body == b"ok"
    assert {raw.one("host") for raw in world.bob_app.requests} == {
        world.bob.told_host("wide").encode()
    }


def test_each_app_calls_the_app_of_its_own_name(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/peer/x"

    world.call(request("GET", path, ("Host", "shard_core"), world.basic("box")))

    arrived = world.bob_app.request
    assert arrived.one("host").decode() == world.bob.told_host("box")
    assert arrived.one("x-ptl-foo").decode() == f"{world.bob.id[:6]}@example.com"
    assert arrived.one("remote-user") == b"peer Ada Gr%C3%B6%C3%9Fe"


def test_one_connection_carries_many_calls(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/n"
    with RawConnection(world.ada.apps) as wire:
        for number in range(20):
            fields = (("Host", "portal_core"), world.token())
            wire.send(request("POST", f"{path}{number}", *fields, body=b"x" * number))
            assert wire.read().body == b"ok"

    assert [len(raw.body) for raw in world.bob_app.requests] == list(range(20))


def test_many_calls_at_once_keep_to_themselves(world: World) -> None:
    bodies = [b"%d " % number * 20_000 for number in range(30)]

    with ThreadPoolExecutor(len(bodies)) as pool:
        responses = list(
            pool.map(lambda body: world.ask(world.bob.id, method="POST", body=body), bodies)
        )

    assert {got.status for got in responses} == {200}
    assert sorted(raw.body for raw in world.bob_app.requests) == sorted(bodies)


def test_what_belongs_to_one_hop_stays_there(world: World) -> None:
    world.bob_app.script(
        response(
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
    world.bob_app.script(response(401, *forged, ("X-Kept", "1"), body=b'{"now": 1}'))

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
        response(200, framing, body=None) + chunked(b"body", trailers=b"X-Late: evil\r\n")
    )

    got = world.call(head + chunked(b"body", trailers=trailers))

    assert got.body == b"body"
    assert b"evil" not in world.bob_app.received
    assert b"evil" not in got.head


def test_a_caller_that_leaves_in_the_middle_is_no_call(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/x"
    fields = (("Host", "portal_core"), world.token(), ("Content-Length", "1000"))
    with RawConnection(world.ada.apps) as wire:
        wire.send(request("POST", path, *fields) + b"half of it")

    eventually(lambda: world.ada.lines(listener="apps", outcome="left"))
    assert world.bob_app.connections == 0
    assert world.ask(world.bob.id).status == 200
