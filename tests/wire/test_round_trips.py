"""What an app sends arrives at the peer's app byte for byte, and the response likewise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import RawConnection, chunked, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.trips import TRIPS, Trip

if TYPE_CHECKING:
    from .conftest import World


@pytest.mark.parametrize("form", ["path", "proxy"])
@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.name)
def test_a_round_trip_changes_no_byte(world: World, trip: Trip, form: str) -> None:
    host = world.bob.app_host("wide")
    if form == "path":
        target = f"/internal/call_peer/{world.bob.id}{trip.target}"
        raw = trip.request(target, ("Host", "portal_core"), world.token())
    else:
        raw = trip.request(f"http://{host}{trip.target}", ("Host", host), world.basic())
    world.bob_app.script(trip.response())

    got = world.call(raw)

    arrived = world.bob_app.request
    assert arrived.first_line == f"{trip.method} {trip.target} HTTP/1.1".encode()
    assert arrived.fields == trip.arrived(arrived, host, world.ada.id)
    assert arrived.body == trip.whole_body
    assert got.status == trip.status
    assert got.fields == trip.came_back()
    bodiless = trip.method == "HEAD" or trip.status in {204, 304}
    assert got.body == (b"" if bodiless else trip.answered or b"".join(trip.answered_chunks or ()))


@pytest.mark.parametrize("size", [7, 3 * 1024 * 1024])
def test_an_app_may_answer_before_it_read_the_body(world: World, size: int) -> None:
    world.bob_app.script(response(413, body=b"too much for me"), before_body=True)

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
