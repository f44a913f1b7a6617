"""Responses that break off, are too large or are no responses: each a refusal, none of it shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.fakes import SECRET, ask, honest
from tests.wire.harness.signer import answer_bytes, signed_answer

if TYPE_CHECKING:
    from .conftest import World


@pytest.mark.parametrize("cut", [0, 1, 20, 300, -len(SECRET), -30000, -1])
@pytest.mark.parametrize(
    ("method", "code"),
    [("GET", "peer_unreachable"), ("POST", "outcome_unknown")],
)
def test_a_response_that_breaks_off_is_a_502_at_every_point(
    world: World, cut: int, method: str, code: str
) -> None:
    world.fake.response = lambda asked: honest(world, asked)[:cut]

    got = ask(world, method)

    assert (got.status, got.code) == (502, code)
    assert b"seen" not in got.body
    assert len(world.fake.asked) == 1


@pytest.mark.parametrize("cut", [0, 1, 20, 300])
def test_a_response_to_head_that_breaks_off_is_a_502_too(world: World, cut: int) -> None:
    world.fake.response = lambda asked: honest(world, asked)[:cut]

    assert ask(world, "HEAD").status == 502


@pytest.mark.parametrize(
    ("method", "code"), [("GET", "peer_unreachable"), ("POST", "outcome_unknown")]
)
def test_what_isnt_http_is_a_broken_response(world: World, method: str, code: str) -> None:
    world.fake.response = lambda _: b"SSH-2.0-OpenSSH\r\n\r\n"

    assert ask(world, method).code == code


def test_a_peer_that_is_down_is_unreachable_whatever_was_asked(world: World) -> None:
    for method in ("GET", "POST"):
        got = world.ask(world.gone, method=method, body=b"x")
        assert (got.status, got.code) == (502, "peer_unreachable")


def test_a_response_above_the_limit_is_refused(world: World) -> None:
    huge = bytes(33 * 1024 * 1024)
    world.fake.response = lambda asked: answer_bytes(
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
