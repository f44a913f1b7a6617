"""The answer is believed only when the peer that was called proves it; here it tries otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from proxy.core.signature.parameters import find_signature
from proxy.core.signature.request import TAG
from proxy.core.signature.response import Question

from .harness.raw import Raw, request
from .harness.recorder import Trap
from .harness.signer import Asked, answer_bytes, new_key, signed_answer

if TYPE_CHECKING:
    from .conftest import World

SECRET = b"a body that must not be seen " * 2000
Reply = Callable[[Asked], bytes]


def ask(world: World, method: str = "GET") -> Raw:
    """Call the fake peer as the app ``wide``."""
    body = b"asked" if method == "POST" else None
    return world.ask(world.fake.key.public.portal_id, "/a?b", method=method, body=body)


def honest(world: World, asked: Asked, **changes: object) -> bytes:
    fields = signed_answer(world.fake.key, asked.question, body=SECRET)
    return answer_bytes(200, fields, SECRET, **changes)  # type: ignore[arg-type]


def problem(status: int, code: str, **members: object) -> tuple[bytes, tuple[bytes, bytes]]:
    """Return the body of a refusal, and the field that marks it as one."""
    body = json.dumps({"status": status, "code": code, **members}).encode()
    return body, (b"portal-refusal", code.encode())


def test_the_honest_twin_is_believed(world: World) -> None:
    world.fake.reply = lambda asked: honest(world, asked)

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
    "reply",
    [
        another_key, named_key, unsigned, wrong_nonce, another_status, swapped_body,
        swapped_digest, no_digest, covered_field_twice, cut_at_the_end_of_the_connection,
        redirect, forged_error, forged_time,
    ],
    ids=lambda reply: reply.__name__,
)  # fmt: skip
def test_an_answer_without_its_proof_is_a_502_and_the_app_sees_none_of_it(
    world: World, reply: Callable[[World, Asked], bytes], method: str, code: str
) -> None:
    with Trap() as trap:
        port = str(trap.port).encode()
        world.fake.reply = lambda asked: reply(world, asked).replace(b"TRAP", port)

        got = ask(world, method)

        assert (got.status, got.code) == (502, code)
        assert b"seen" not in got.body
        assert len(world.fake.asked) == 1
        assert trap.connections == 0


def test_an_answer_of_another_call_is_not_believed(world: World) -> None:
    world.fake.reply = lambda asked: honest(world, asked)
    ask(world)
    first = world.fake.asked[0]
    world.fake.reply = lambda _: honest(world, first)

    assert ask(world).code == "peer_untrusted"


def test_a_peer_cant_answer_for_another(world: World) -> None:
    """Bob's own signature, on an answer in the fake peer's place."""
    world.fake.reply = lambda asked: answer_bytes(
        200, signed_answer(world.bob.key, asked.question, body=SECRET), SECRET
    )

    assert ask(world).code == "peer_untrusted"


def test_what_the_answers_signature_doesnt_cover_is_dropped(world: World) -> None:
    world.fake.reply = lambda asked: honest(world, asked).replace(
        b"\r\n", b"\r\nX-Evil: 1\r\nSet-Cookie: evil=1\r\nVia: 1.1 tunnel\r\n", 1
    )

    got = ask(world)

    assert got.body == SECRET
    assert [name for name, _ in got.fields] == [b"content-length"]


def test_a_whole_answer_that_ends_with_its_connection_is_believed(world: World) -> None:
    world.fake.reply = lambda asked: honest(world, asked, length=-1)

    assert ask(world).body == SECRET


@pytest.mark.parametrize("cut", [0, 1, 20, 300, -len(SECRET), -30000, -1])
@pytest.mark.parametrize(
    ("method", "code"),
    [("GET", "peer_unreachable"), ("POST", "outcome_unknown")],
)
def test_an_answer_that_breaks_off_is_a_502_at_every_point(
    world: World, cut: int, method: str, code: str
) -> None:
    world.fake.reply = lambda asked: honest(world, asked)[:cut]

    got = ask(world, method)

    assert (got.status, got.code) == (502, code)
    assert b"seen" not in got.body
    assert len(world.fake.asked) == 1


@pytest.mark.parametrize("cut", [0, 1, 20, 300])
def test_an_answer_to_head_that_breaks_off_is_a_502_too(world: World, cut: int) -> None:
    world.fake.reply = lambda asked: honest(world, asked)[:cut]

    assert ask(world, "HEAD").status == 502


@pytest.mark.parametrize(
    ("method", "code"), [("GET", "peer_unreachable"), ("POST", "outcome_unknown")]
)
def test_what_isnt_http_is_a_broken_answer(world: World, method: str, code: str) -> None:
    world.fake.reply = lambda _: b"SSH-2.0-OpenSSH\r\n\r\n"

    assert ask(world, method).code == code


def test_a_peer_that_is_down_is_unreachable_whatever_was_asked(world: World) -> None:
    for method in ("GET", "POST"):
        got = world.ask(world.gone, method=method, body=b"x")
        assert (got.status, got.code) == (502, "peer_unreachable")


def test_an_answer_above_the_limit_is_refused(world: World) -> None:
    huge = bytes(33 * 1024 * 1024)
    world.fake.reply = lambda asked: answer_bytes(
        200, signed_answer(world.fake.key, asked.question, body=huge), huge
    )

    got = ask(world)

    assert (got.status, got.code) == (502, "answer_too_large")


def test_an_app_of_the_peer_that_answers_too_much_is_refused_there(world: World) -> None:
    world.bob_app.script(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(33 * 1024 * 1024), close=True)

    got = world.ask(world.bob.id)

    assert (got.status, got.code) == (502, "answer_too_large")


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_request_above_the_limit_goes_nowhere(world: World, in_chunks: bool) -> None:  # noqa: FBT001
    huge = bytes(33 * 1024 * 1024)
    path = f"/internal/call_peer/{world.bob.id}/x".encode()
    name, token = world.token()
    framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(huge)
    lines = [b"PUT " + path + b" HTTP/1.1", b"Host: x", f"{name}: {token}".encode(), framing]
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(huge), huge) if in_chunks else huge

    got = world.call(b"\r\n".join([*lines, b"", b""]) + body)

    assert (got.status, got.code) == (413, "too_large")
    assert world.bob_app.received == b""
    assert bytes(world.relay.sent) == b""


def times_and_nonces(world: World) -> list[tuple[object, object]]:
    read = [find_signature(asked.request.fields, TAG).parameters for asked in world.fake.asked]
    return [(parameters["created"], parameters["nonce"]) for parameters in read]


def test_a_proven_time_is_taken_over_once_with_the_same_nonce(world: World) -> None:
    theirs = int(time.time()) + 3600

    def reply(asked: Asked) -> bytes:
        if len(world.fake.asked) > 1:
            return honest(world, asked)
        body, field = problem(401, "out_of_time", now=theirs)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.reply = reply

    got = ask(world, "POST")

    assert (got.status, got.body) == (200, SECRET)
    (_, first), (created, second) = times_and_nonces(world)
    assert first == second
    assert created == theirs
    assert [asked.request.body for asked in world.fake.asked] == [b"asked", b"asked"]


def test_a_peer_that_keeps_saying_so_is_asked_twice_and_no_more(world: World) -> None:
    def reply(asked: Asked) -> bytes:
        body, field = problem(401, "out_of_time", now=int(time.time()) + 999)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.reply = reply

    got = ask(world)

    assert got.status == 401
    assert len(world.fake.asked) == 2


@pytest.mark.parametrize("members", [{}, {"now": "1"}, {"now": -5}, {"now": 1.5}, {"now": True}])
def test_a_time_that_isnt_told_is_not_guessed(world: World, members: dict[str, object]) -> None:
    def reply(asked: Asked) -> bytes:
        body, field = problem(401, "out_of_time", **members)
        signed = signed_answer(
            world.fake.key, asked.question, status=401, fields=(field,), body=body
        )
        return answer_bytes(401, signed, body)

    world.fake.reply = reply

    assert ask(world).code == "peer_untrusted"
    assert len(world.fake.asked) == 1


def test_a_proven_replay_means_that_the_outcome_is_unknown(world: World) -> None:
    def reply(asked: Asked) -> bytes:
        body, field = problem(409, "replayed")
        signed = signed_answer(
            world.fake.key, asked.question, status=409, fields=(field,), body=body
        )
        return answer_bytes(409, signed, body)

    world.fake.reply = reply

    for method in ("GET", "POST"):
        got = ask(world, method)
        assert (got.status, got.code) == (502, "outcome_unknown")


def test_a_refusal_of_the_peer_reaches_the_app_as_it_is(world: World) -> None:
    path = f"/internal/call_peer/{world.bob.id}/private"

    got = world.call(request("GET", path, ("Host", "x"), world.token("box")))

    assert (got.status, got.code) == (403, "not_allowed")
    assert got.all("portal-refusal") == []
    assert world.bob_app.received == b""
