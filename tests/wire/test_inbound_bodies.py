"""Requests and responses as messages: framing, bodies, and what is no message at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import RawConnection, chunked, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from .conftest import World


def test_another_version_of_http_is_refused_as_such(world: World) -> None:
    for raw in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"):
        with RawConnection(world.bob.public) as wire:
            wire.send(raw)
            got = wire.read()
        assert (got.status, got.code) == (505, "version_unsupported")


def test_an_anonymous_body_streams_through_in_its_framing(world: World) -> None:
    host = ("Host", world.bob.app_host("site"))

    world.bobs(request("POST", "/", host, body=b"x" * 100_000))
    head = request("POST", "/", host, ("Transfer-Encoding", "chunked"))
    world.bobs(head + chunked(b"one", b"two", trailers=b"X-Ptl-Client-Id: evil\r\n"))

    whole, pieces = world.bob_app.requests
    assert (whole.one("content-length"), len(whole.body)) == (b"100000", 100_000)
    assert (pieces.one("transfer-encoding"), pieces.body) == (b"chunked", b"onetwo")
    assert b"evil" not in world.bob_app.received


def test_a_response_streams_to_an_anonymous_client_in_its_framing(world: World) -> None:
    framing = ("Transfer-Encoding", "chunked")
    world.bob_app.script(response(200, framing, body=None) + chunked(b"one", b"two"))
    assert world.stranger("site", "/").body == b"onetwo"

    world.bob_app.script(response(200, body=None) + b"until the end", close=True)
    assert world.stranger("site", "/").body == b"until the end"

    world.bob_app.script(response(304, ("Content-Length", "9"), body=None))
    assert world.stranger("site", "/").one("content-length") == b"9"


def test_a_response_that_breaks_off_never_looks_whole(world: World) -> None:
    host = world.bob.app_host("site")
    for head in (("Content-Length", "1000"), ("Transfer-Encoding", "chunked")):
        world.bob_app.script(response(200, head, body=None) + b"5\r\nhello\r\n", close=True)
        with RawConnection(world.bob.public) as wire:
            wire.send(request("GET", "/", ("Host", host)))
            got = wire.rest()
        assert b"hello" in got
        assert not got.endswith(b"0\r\n\r\n")


def test_a_signed_body_above_the_limit_is_refused(world: World) -> None:
    body = bytes(33 * 1024 * 1024)
    call = sign_call(world.cleo, world.bob, "wide", method=b"PUT", body=body)

    got = world.bobs(call.raw)

    assert (got.status, got.code) == (413, "too_large")
    assert call.believes(got, world.bob.id)
    assert world.bob_app.received == b""


def test_an_app_that_is_down_or_broken_is_said_to_be(world: World) -> None:
    for data in (b"not HTTP at all\r\n\r\n", b"", response(200, ("Bad Name", "x"))):
        world.bob_app.script(data, close=True)
        assert world.stranger("site", "/").code == "app_failed"
        call = sign_call(world.cleo, world.bob, "wide")
        got = world.bobs(call.raw)
        assert got.code == "app_failed"
        assert call.believes(got, world.bob.id)


@pytest.mark.parametrize("status", [199, 600, 999])
def test_a_status_that_cant_be_passed_on_is_a_broken_response(world: World, status: int) -> None:
    world.bob_app.script(response(status), close=True)

    call = sign_call(world.cleo, world.bob, "wide")

    assert world.stranger("site", "/").code == "app_failed"
    assert world.bobs(call.raw).code == "app_failed"


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"5\nhello", b"0x5\r\nhello\r\n"])
def test_a_body_in_bad_chunks_is_never_a_whole_one(world: World, chunk: bytes) -> None:
    before = len(world.bob.settled_log())
    framing = ("Transfer-Encoding", "chunked")
    head = request("POST", "/", ("Host", world.bob.app_host("site")), framing)
    call = sign_call(world.cleo, world.bob, "wide", method=b"POST")
    signed = call.with_field(b"Transfer-Encoding: chunked")
    for raw in (head, signed):
        got = world.bobs(raw + b"3\r\none\r\n" + chunk + b"0\r\n\r\n")
        assert (got.status, got.code) == (400, "bad_request")
    eventually(lambda: world.bob.log.count("not a request", before) == 2)
    assert world.bob_app.requests == []


def test_two_lengths_and_a_name_with_a_blank_are_refused(world: World) -> None:
    host = ("Host", world.bob.app_host("site"))
    both = (host, ("Transfer-Encoding", "chunked"), ("Content-Length", "4"))
    for raw in (
        request("POST", "/", *both) + b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
        request("GET", "/", host, ("X-Ptl-Client-Id ", "evil")),
        request("GET", "private", host),
        request("OPTIONS", "*", host),
        request("GET", "/\x01", host),
        b"nonsense\r\n\r\n",
    ):
        with RawConnection(world.bob.public) as wire:
            wire.send(raw)
            got = wire.read()
        assert got.status == 400
        assert got.code in {"bad_request", "bad_target"}
    assert world.bob_app.connections == 0


def test_an_absolute_target_at_another_host_is_misdirected(world: World) -> None:
    host = ("Host", world.bob.app_host("site"))
    with RawConnection(world.bob.public) as wire:
        wire.send(request("GET", "http://evil/", host))
        got = wire.read()
    assert (got.status, got.code) == (421, "misdirected")
    assert world.bob_app.connections == 0


def test_interim_responses_are_passed_on(world: World) -> None:
    early = response("103 Early Hints", ("Link", "</a.css>; rel=preload"), body=None)
    processing = response("102 Processing", body=None)
    world.bob_app.script(processing + early + response(200, body=b"page"))

    with RawConnection(world.bob.public) as wire:
        wire.send(request("GET", "/", ("Host", world.bob.app_host("site"))))
        heads = [wire.until(b"\r\n\r\n") for _ in range(3)]
        body = wire.exactly(4)

    assert [int(head.split(b" ")[1]) for head in heads] == [102, 103, 200]
    assert b"link: </a.css>; rel=preload\r\n" in heads[1]
    assert body == b"page"
