"""Whatever is done to an envelope on the way: a failed message, never a shorter or another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE
from tests.wire.faults import BROKEN_OFF, FINAL, HEADER, MANY, Fault
from tests.wire.harness.meddler import ANSWER_HEADER, Passing, envelope
from tests.wire.harness.raw import Raw, RawConnection, chunked, exchange, response
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from .conftest import World

LARGE = b"a line of a large body\r\n" * 9000
SMALL = b"a small body"
FRAMED = ("Transfer-Encoding", "chunked")
BODIES = {"large": LARGE, "large and chunked": LARGE, "small": SMALL, "none": None}


def cases() -> Iterator[tuple[str, str]]:
    """Yield which faults are tried on which bodies; large ones alone have many chunks."""
    for kind in BODIES:
        faults = chain(HEADER, FINAL, MANY, BROKEN_OFF) if kind.startswith("large") else (
            chain(HEADER, FINAL, (name for name in BROKEN_OFF if "first chunk" not in name))
        )  # fmt: skip
        for name in faults:
            yield kind, name


CASES = list(cases())
FAULTS = HEADER | FINAL | MANY | BROKEN_OFF


def call(world: World, kind: str, method: str = "POST") -> bytes:
    """Return the bytes of a call with a body of that kind."""
    if kind == "large and chunked":
        raw = world.sealed_request(world.bob.id, "/x", FRAMED, method=method)
        return raw + chunked(LARGE)
    return world.sealed_request(world.bob.id, "/x", method=method, body=BODIES[kind])


def answered(kind: str) -> bytes:
    """Return a response with a body of that kind."""
    if kind == "large and chunked":
        return response(200, FRAMED, body=None) + chunked(LARGE)
    return response(200, body=BODIES[kind]) if kind != "none" else response(204, body=None)


def spoiling(fault: Fault) -> Callable[[Passing], None]:
    """Return a relay that spoils requests."""

    def on_call(passing: Passing) -> None:
        passing.back(passing.on(fault(passing.envelope.pieces())))

    return on_call


def spoiling_answers(fault: Fault) -> Callable[[Passing], None]:
    """Return a relay that spoils responses."""

    def on_call(passing: Passing) -> None:
        got = passing.on()
        passing.back(got, fault(envelope(got.body, ANSWER_HEADER).pieces()))

    return on_call


@pytest.mark.parametrize("kind", BODIES)
def test_a_relay_that_only_cuts_anew_changes_nothing(sealed: World, kind: str) -> None:
    """The harmless twin of all faults."""
    sealed.bob_app.script(answered(kind))

    def on_call(passing: Passing) -> None:
        whole = b"".join(passing.envelope.pieces())
        got = passing.on([whole[at : at + 999] for at in range(0, len(whole), 999)])
        passing.back(got, envelope(got.body, ANSWER_HEADER).pieces())

    sealed.meddler.on_call = on_call
    got = exchange(sealed.eda.apps, call(sealed, kind))
    assert got.status == (204 if kind == "none" else 200)
    assert got.body == (BODIES[kind] or b"")
    assert sealed.bob_app.request.body == (BODIES[kind] or b"")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_app_never_gets_a_spoiled_request_as_a_whole_one(
    sealed: World, kind: str, name: str
) -> None:
    sealed.meddler.on_call = spoiling(FAULTS[name])

    got = exchange(sealed.eda.apps, call(sealed, kind))

    assert (got.status, got.code) in {(502, "outcome_unknown"), (400, "envelope_broken")}
    assert len(sealed.meddler.calls) <= 2
    # The next call isn't hurt, and by then the spoiled one has ended at the app.
    sealed.meddler.clear()
    assert sealed.ask_sealed("/next").status == 200
    assert [raw.target for raw in sealed.bob_app.requests] == [b"/next"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_calling_app_never_gets_a_spoiled_response_as_a_whole_one(
    sealed: World, kind: str, name: str, method: str
) -> None:
    sealed.bob_app.script(answered(kind))
    sealed.meddler.on_call = spoiling_answers(FAULTS[name])

    got = try_to_get(sealed, call(sealed, "none", method))

    if got is not None:
        assert got.status == 502
        assert got.code in (
            {"outcome_unknown"} if method == "POST" else {"peer_untrusted", "peer_unreachable"}
        )
    assert len(sealed.bob_app.requests) == 1


def try_to_get(world: World, raw: bytes) -> Raw | None:
    """Return the response, None where it broke off visibly."""
    try:
        return exchange(world.eda.apps, raw)
    except EOFError:
        return None


def test_one_calls_response_is_no_response_to_another(sealed: World) -> None:
    kept: list[Raw] = []

    def on_call(passing: Passing) -> None:
        kept.append(passing.on())
        passing.back(kept[0])

    sealed.meddler.on_call = on_call
    assert sealed.ask_sealed().status == 200
    for method, code in (("GET", "peer_untrusted"), ("POST", "outcome_unknown")):
        got = sealed.ask_sealed(method=method)
        assert (got.status, got.code) == (502, code)


def test_one_calls_chunks_are_no_part_of_another(sealed: World) -> None:
    kept: list[list[bytes]] = []

    def on_call(passing: Passing) -> None:
        kept.append(passing.envelope.pieces())
        mixed = [*passing.envelope.pieces()]
        mixed[2] = kept[0][2]
        passing.back(passing.on(mixed))

    sealed.meddler.on_call = on_call
    raw = call(sealed, "large")
    assert exchange(sealed.eda.apps, raw).status == 200
    assert exchange(sealed.eda.apps, raw).code == "envelope_broken"
    assert len(sealed.bob_app.requests) == 1


def test_a_request_is_no_response_and_a_response_no_request(sealed: World) -> None:
    def reflecting(passing: Passing) -> None:
        got = passing.on()
        passing.back(got, [passing.request.body])

    def turned_around(passing: Passing) -> None:
        got = passing.on()
        passing.back(passing.on([got.body]))

    for on_call in (reflecting, turned_around):
        sealed.meddler.on_call = on_call
        assert sealed.ask_sealed(method="POST").code == "outcome_unknown"


def test_an_app_that_has_a_part_of_a_request_sees_it_break(sealed: World) -> None:
    """The part arrives first, and only then comes what is wrong."""
    before = len(sealed.bob_app.received)

    def on_call(passing: Passing) -> None:
        def plan() -> Iterator[bytes]:
            header, head, *chunks = passing.envelope.pieces()
            yield from (header, head, chunks[0])
            eventually(lambda: len(sealed.bob_app.received) > before + 20_000)
            yield from MANY["a bit of the first chunk"]([b"", *chunks[1:]])

        passing.back(passing.on(plan()))

    for kind in ("large", "large and chunked"):
        before = len(sealed.bob_app.received)
        sealed.meddler.on_call = on_call
        got = exchange(sealed.eda.apps, call(sealed, kind))
        assert got.code in {"envelope_broken", "outcome_unknown"}
        assert len(sealed.bob_app.received) > before + 20_000
    sealed.meddler.clear()
    sealed.ask_sealed("/next")
    assert [raw.target for raw in sealed.bob_app.requests] == [b"/next"]


@pytest.mark.parametrize("kind", ["large", "large and chunked"])
@pytest.mark.parametrize("name", ["a bit of the second chunk", "all but the final chunk",
                                  "an end behind the first chunk"])  # fmt: skip
def test_an_app_that_has_a_part_of_a_response_sees_it_break(
    sealed: World, kind: str, name: str
) -> None:
    sealed.bob_app.script(answered(kind))
    has_a_part = threading.Event()

    def on_call(passing: Passing) -> None:
        def plan() -> Iterator[bytes]:
            pieces = envelope(got.body, ANSWER_HEADER).pieces()
            yield from pieces[:2]
            has_a_part.wait(PATIENCE)
            yield from islice(FAULTS[name](pieces), 2, None)

        got = passing.on()
        passing.back(got, plan())

    sealed.meddler.on_call = on_call
    with RawConnection(sealed.eda.apps) as wire:
        wire.send(call(sealed, "none", "GET"))
        wire.put_back(wire.until(b"\r\n\r\n"))
        has_a_part.set()
        with pytest.raises(EOFError):
            wire.read()


PADDED = bytes(4 * 1024 * 1024 + 4096)
"""So large that its padding alone fills the last chunks: all of the body goes before them."""


@pytest.mark.parametrize("name", ["all but the final chunk", "a bit of the final chunk"])
def test_a_request_whose_padding_is_spoiled_is_not_whole(sealed: World, name: str) -> None:
    sealed.meddler.on_call = spoiling(FAULTS[name])

    got = exchange(
        sealed.eda.apps, sealed.sealed_request(sealed.bob.id, method="POST", body=PADDED)
    )

    assert got.code in {"outcome_unknown", "envelope_broken"}
    sealed.meddler.clear()
    sealed.ask_sealed("/next")
    assert [raw.target for raw in sealed.bob_app.requests] == [b"/next"]


@pytest.mark.parametrize("name", ["all but the final chunk", "a bit of the final chunk"])
def test_a_response_whose_padding_is_spoiled_is_not_whole(sealed: World, name: str) -> None:
    sealed.bob_app.script(response(200, body=PADDED))
    sealed.meddler.on_call = spoiling_answers(FAULTS[name])

    assert try_to_get(sealed, call(sealed, "none", "GET")) is None
