"""What the calling proxy makes of a refusal that the peer itself has proven."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from proxy.core.signature.parameters import find_signature
from proxy.core.signature.request import TAG
from tests.wire.fakes import SECRET, ask, honest, problem
from tests.wire.harness.raw import request
from tests.wire.harness.signer import Asked, answer_bytes, signed_answer

if TYPE_CHECKING:
    from .conftest import World


def times_and_nonces(world: World) -> list[tuple[object, object]]:
    read = [find_signature(asked.request.fields, TAG).parameters for asked in world.fake.asked]
    return [(parameters["created"], parameters["nonce"]) for parameters in read]


def test_a_proven_time_is_taken_over_once_with_the_same_nonce(world: World) -> None:
    theirs = int(time.time()) + 3600

    def response(asked: Asked) -> bytes:
        if len(world.fake.asked) > 1:
            return honest(world, asked)
        body, field = problem(401, "out_of_time", now=theirs)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.response = response

    got = ask(world, "POST")

    assert (got.status, got.body) == (200, SECRET)
    (_, first), (created, second) = times_and_nonces(world)
    assert first == second
    assert created == theirs
    assert [asked.request.body for asked in world.fake.asked] == [b"asked", b"asked"]


def test_a_peer_that_keeps_saying_so_is_asked_twice_and_no_more(world: World) -> None:
    def response(asked: Asked) -> bytes:
        body, field = problem(401, "out_of_time", now=int(time.time()) + 999)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.response = response

    got = ask(world)

    assert got.status == 401
    assert len(world.fake.asked) == 2


@pytest.mark.parametrize("members", [{}, {"now": "1"}, {"now": -5}, {"now": 1.5}, {"now": True}])
def test_a_time_that_isnt_told_is_not_guessed(world: World, members: dict[str, object]) -> None:
    def response(asked: Asked) -> bytes:
        body, field = problem(401, "out_of_time", **members)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.response = response

    assert ask(world).code == "peer_untrusted"
    assert len(world.fake.asked) == 1


def test_a_proven_replay_means_that_the_outcome_is_unknown(world: World) -> None:
    def response(asked: Asked) -> bytes:
        body, field = problem(409, "replayed")
        signed = signed_answer(
            world.fake.key, asked.question, status=409, fields=(field,), body=body
        )
        return answer_bytes(409, signed, body)

    world.fake.response = response

    for method in ("GET", "POST"):
        got = ask(world, method)
        assert (got.status, got.code) == (502, "outcome_unknown")


def test_a_refusal_of_the_peer_reaches_the_app_as_it_is(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/private"

    got = world.call(request("GET", path, ("Host", "x"), world.token("box")))

    assert (got.status, got.code) == (403, "not_allowed")
    assert got.all("portal-refusal") == []
    assert got.all("portal-peer-refusal") == [b"not_allowed"]
    assert world.bob_app.received == b""
