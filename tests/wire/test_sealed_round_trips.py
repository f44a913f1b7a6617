"""Sealed and signed give both apps the same bytes: for every golden round trip, and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import MODES
from tests.wire.harness.raw import Raw, exchange
from tests.wire.trips import TRIPS, Trip

if TYPE_CHECKING:
    from proxy.core.access.policy import Mode

    from .conftest import World

INTERIM = {
    "an informational response first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
}
CHUNKED = (b"transfer-encoding", b"chunked")


def run(world: World, trip: Trip, mode: Mode) -> tuple[Raw, Raw]:
    """Return what the app at the peer got, and what the calling app did."""
    world.bob_app.clear()
    world.bob_app.script(trip.response())
    caller = world.caller(mode)
    target = f"/internal/call_peer/{world.bob.id}{trip.target}"
    fields = (("Host", "portal_core"), ("Portal-Token", caller.token("wide")))
    got = exchange(caller.apps, trip.request(target, *fields))
    return world.bob_app.request, got


def without_framing(message: Raw, *, length: bool) -> list[tuple[bytes, bytes]]:
    """Return the fields without their framing: chunked, and ``length`` says whether its length."""
    names = {b"transfer-encoding"} | ({b"content-length"} if length else set())
    return [pair for pair in message.fields if pair[0] not in names]


@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.name)
def test_a_sealed_round_trip_is_the_same_as_a_signed_one(sealed: World, trip: Trip) -> None:
    arrived, got = {}, {}
    for mode in MODES:
        arrived[mode], got[mode] = run(sealed, trip, mode)

    there, back = arrived["sealed"], got["sealed"]
    assert there.first_line == arrived["signed"].first_line
    assert there.body == arrived["signed"].body == trip.whole_body
    assert back.first_line == got["signed"].first_line
    assert back.body == got["signed"].body
    # All but the framing of a body whose length nobody could tell before it had come.
    expected = trip.arrived(there, sealed.bob.app_host("wide"), sealed.eda.id)
    streams = trip.chunks is not None
    assert without_framing(there, length=streams) == [
        pair for pair in expected if not streams or pair[0] != b"content-length"
    ]
    streams_back = trip.answered_chunks is not None
    assert without_framing(back, length=streams_back) == without_framing(
        got["signed"], length=streams_back
    )
    assert (CHUNKED in there.fields) is bool(trip.chunks)
    assert (CHUNKED in back.fields) is streams_back


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


def test_both_modes_are_what_they_say(sealed: World) -> None:
    trip = TRIPS[0]
    for mode in MODES:
        sealed.relay.clear()
        sealed.meddler.clear()
        run(sealed, trip, mode)
        assert bool(sealed.relay.sent) is (mode == "signed")
        assert len(sealed.meddler.calls) == (1 if mode == "sealed" else 0)
