"""The response is believed only when the peer that was called proves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from proxy.core.signature.response import Question
from tests.wire.fakes import SECRET, ask, honest, problem
from tests.wire.harness.recorder import Trap
from tests.wire.harness.signer import Asked, answer_bytes, new_key, signed_answer

if TYPE_CHECKING:
    from .conftest import World


def test_the_honest_twin_is_believed(world: World) -> None:
    world.fake.response = lambda asked: honest(world, asked)

    got = ask(world)

    assert (got.status, got.body) == (200, SECRET)
    assert got.fields == [(b"content-length", b"%d" % len(SECRET))]


def another_key(_: World, asked: Asked) -> bytes:
    return answer_bytes(200, signed_answer(new_key(), asked.question, body=SECRET), SECRET)


def named_key(world: World, asked: Asked) -> bytes:
    """Another key that goes by the peer's ID."""
    impostor = new_key()
    impostor.public = world.fake.key.public
    return answer_bytes(200, signed_answer(impostor, asked.question, body=SECRET), SECRET)


def unsigned(_: World, __: Asked) -> bytes:
    return answer_bytes(200, [(b"content-type", b"text/plain")], SECRET)


def wrong_nonce(world: World, asked: Asked) -> bytes:
    real = asked.question
    nonce = ("A" if real.nonce[0] != "A" else "B") + real.nonce[1:]
    other = Question(real.message, real.components, nonce)
    return answer_bytes(200, signed_answer(world.fake.key, other, body=SECRET), SECRET)


def another_status(world: World, asked: Asked) -> bytes:
    return answer_bytes(201, signed_answer(world.fake.key, asked.question, body=SECRET), SECRET)


def swapped_body(world: World, asked: Asked) -> bytes:
    return honest(world, asked).replace(b"must not", b"MUST NOT")


def swapped_digest(world: World, asked: Asked) -> bytes:
    fields = signed_answer(world.fake.key, asked.question, body=SECRET, signed_body=b"another")
    return answer_bytes(200, fields, SECRET)


def no_digest(world: World, asked: Asked) -> bytes:
    fields = signed_answer(world.fake.key, asked.question, body=SECRET)
    kept = [pair for pair in fields if pair[0] != b"content-digest"]
    return answer_bytes(200, kept, SECRET)


def covered_field_twice(world: World, asked: Asked) -> bytes:
    extra = ((b"x-a", b"1"),)
    fields = signed_answer(world.fake.key, asked.question, fields=extra, body=SECRET)
    return answer_bytes(200, [*fields, (b"x-a", b"2")], SECRET)


def cut_at_the_end_of_the_connection(world: World, asked: Asked) -> bytes:
    return honest(world, asked, length=-1)[:-1]


def redirect(_: World, __: Asked) -> bytes:
    return answer_bytes(302, [(b"location", b"http://127.0.0.1:TRAP/")], SECRET)


def forged_error(_: World, __: Asked) -> bytes:
    body, field = problem(409, "replayed")
    return answer_bytes(409, [field], body)


def forged_time(_: World, __: Asked) -> bytes:
    body, field = problem(401, "out_of_time", now=int(time.time()) + 3600)
    return answer_bytes(401, [field], body)


@pytest.mark.parametrize(
    ("method", "code"), [("GET", "peer_untrusted"), ("POST", "outcome_unknown")]
)
@pytest.mark.parametrize(
    "respond",
    [
        another_key, named_key, unsigned, wrong_nonce, another_status, swapped_body,
        swapped_digest, no_digest, covered_field_twice, cut_at_the_end_of_the_connection,
        redirect, forged_error, forged_time,
    ],
    ids=lambda respond: respond.__name__,
)  # fmt: skip
def test_a_response_without_its_proof_is_a_502_and_the_app_sees_none_of_it(
    world: World, respond: Callable[[World, Asked], bytes], method: str, code: str
) -> None:
    with Trap() as trap:
        port = str(trap.port).encode()
        world.fake.response = lambda asked: respond(world, asked).replace(b"TRAP", port)

        got = ask(world, method)

        assert (got.status, got.code) == (502, code)
        assert b"seen" not in got.body
        assert len(world.fake.asked) == 1
        assert trap.connections == 0


def test_a_response_of_another_call_is_not_believed(world: World) -> None:
    world.fake.response = lambda asked: honest(world, asked)
    ask(world)
    first = world.fake.asked[0]
    world.fake.response = lambda _: honest(world, first)

    assert ask(world).code == "peer_untrusted"


def test_a_peer_cant_answer_for_another(world: World) -> None:
    """Bob's own signature, on a response in the fake peer's place."""
    world.fake.response = lambda asked: answer_bytes(
        200, signed_answer(world.bob.key, asked.question, body=SECRET), SECRET
    )

    assert ask(world).code == "peer_untrusted"


def test_what_the_responses_signature_doesnt_cover_is_dropped(world: World) -> None:
    world.fake.response = lambda asked: honest(world, asked).replace(
        b"\r\n", b"\r\nX-Evil: 1\r\nSet-Cookie: evil=1\r\nVia: 1.1 tunnel\r\n", 1
    )

    got = ask(world)

    assert got.body == SECRET
    assert [name for name, _ in got.fields] == [b"content-length"]


def test_a_whole_response_that_ends_with_its_connection_is_believed(world: World) -> None:
    world.fake.response = lambda asked: honest(world, asked, length=-1)

    assert ask(world).body == SECRET
