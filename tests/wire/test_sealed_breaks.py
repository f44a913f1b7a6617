"""Sealed calls whose ends break off, leave early, or are many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.meddler import hang_up
from tests.wire.harness.raw import RawConnection, exchange, read_message, request, response
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import World
    from .harness.recorder import Accepted

LARGE = 300_000


def live_request(world: World, method: str, body: bytes | None = None) -> bytes:
    """Return what Eda's app ``live`` sends to call Bob's."""
    own = (("Host", "x"), ("Portal-Token", world.eda.token("live")))
    return request(method, f"/internal/call_peer/{world.bob.id}/live", *own, body=body)


@pytest.mark.parametrize("size", [7, 3 * 1024 * 1024])
def test_an_app_may_answer_before_it_read_the_body(sealed: World, size: int) -> None:
    sealed.bob_app.script(response(413, body=b"too much for me"), before_body=True)

    got = sealed.ask_sealed(method="POST", body=bytes(size))

    assert (got.status, got.body) == (413, b"too much for me")


def test_many_calls_at_once_keep_to_themselves(sealed: World) -> None:
    def echo(wire: Accepted) -> None:
        while True:
            wire.send(response(200, body=read_message(wire).body))

    sealed.live.act = echo
    sealed.meddler.stream()
    bodies = [b"%d " % number * (3 ** (number % 11)) for number in range(40)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        raws = [live_request(sealed, "POST", body) for body in bodies]
        responses = list(pool.map(lambda raw: exchange(sealed.eda.apps, raw), raws))
    assert [got.body for got in responses] == bodies


def test_one_connection_carries_many_calls(sealed: World) -> None:
    with RawConnection(sealed.eda.apps) as wire:
        for number in range(20):
            wire.send(sealed.sealed_request(sealed.bob.id, method="POST", body=b"x" * number))
            assert wire.read().body == b"ok"
    assert [len(raw.body) for raw in sealed.bob_app.requests] == list(range(20))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_app_that_breaks_off_before_its_response_has_failed(sealed: World, method: str) -> None:
    def break_off(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        hang_up(wire.socket)

    sealed.live.act = break_off
    got = exchange(sealed.eda.apps, live_request(sealed, method))
    assert (got.status, got.json()["code"]) == (502, "app_failed")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("reset", [True, False])
def test_an_app_that_breaks_off_in_a_small_response_has_failed(
    sealed: World, method: str, *, reset: bool
) -> None:
    """Nothing of it has gone yet: the refusal is sealed like a response, the peer reachable."""

    def break_off(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        hang_up(wire.socket, reset=reset)

    sealed.live.act = break_off
    got = exchange(sealed.eda.apps, live_request(sealed, method))
    assert (got.status, got.json()["code"]) == (502, "app_failed")


_OK = b"HTTP/1.1 200 OK\r\n"
_LENGTH, _CHUNKED = _OK + b"Content-Length: %d\r\n\r\n", _OK + b"Transfer-Encoding: chunked\r\n\r\n"
SPOILT = {
    "a byte more than its length": _LENGTH % 5 + b"five!!",
    "many bytes more": _LENGTH % 5 + b"five!" + bytes(10_000),
    "another response behind it": _LENGTH % 5 + b"five!" + _LENGTH % 2 + b"no",
    "a body where there is none": _LENGTH % 0 + b"x",
    "a byte less": _LENGTH % 5 + b"five",
    "nothing of it": _LENGTH % 5,
    "a byte less than 16 KiB": _LENGTH % 16_383 + bytes(16_382),
    "a length that is none": _OK + b"Content-Length: 5x\r\n\r\nfive!",
    "two lengths": _OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nfive!",
    "half a head": _OK + b"Content-Le",
}
"""What an app sends before it closes; when that is known nothing of it has reached the peer."""
SPOILT_LATE = {
    "a chunk's size that is none": _CHUNKED + b"5\r\nfive!\r\nZZ\r\n",
    "half a chunk": _CHUNKED + b"5\r\nfi",
    "no last chunk": _CHUNKED + b"5\r\nfive!\r\n",
    "a large one that is short": _LENGTH % 100_000 + bytes(99_999),
}

ANY_SPOILT = SPOILT | SPOILT_LATE


def _play(app_sends: bytes) -> Callable[[Accepted], None]:
    def act(wire: Accepted) -> None:
        read_message(wire)
        wire.send(app_sends)
        hang_up(wire.socket, reset=False)

    return act


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_app_whose_small_response_is_spoilt_has_failed(
    sealed: World, method: str, spoilt: bytes
) -> None:
    """What the calling app is told is the same whatever was wrong: the peer was reached."""
    sealed.live.act = _play(spoilt)
    got = exchange(sealed.eda.apps, live_request(sealed, method))
    assert (got.status, got.json()["code"]) == (502, "app_failed")


@pytest.mark.parametrize("spoilt", SPOILT_LATE.values(), ids=SPOILT_LATE)
def test_a_response_that_has_begun_is_never_taken_for_a_whole_one(
    sealed: World, spoilt: bytes
) -> None:
    sealed.live.act = _play(spoilt)
    sealed.meddler.stream()
    with RawConnection(sealed.eda.apps) as wire:
        wire.send(live_request(sealed, "GET"))
        try:
            got = wire.read()
        except EOFError:
            return
    assert (got.status, got.json()["code"]) in {(502, "app_failed"), (502, "peer_unreachable")}


@pytest.mark.parametrize("spoilt", ANY_SPOILT.values(), ids=ANY_SPOILT)
def test_a_spoilt_response_to_a_signed_call_is_the_apps_failure(
    sealed: World, spoilt: bytes
) -> None:
    sealed.live.act = _play(spoilt)
    call = sign_call(sealed.cleo, sealed.bob, "live")
    got = exchange(sealed.bob.public, call.raw)
    assert (got.status, got.code) == (502, "app_failed")


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_response_that_breaks_off_breaks_off_at_the_calling_app(
    sealed: World, framing: str, *, reset: bool
) -> None:
    may_break = threading.Event()

    def break_off(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n3\r\nabc\r\n" % framing.encode())
        may_break.wait(PATIENCE)
        hang_up(wire.socket, reset=reset)

    sealed.live.act = break_off
    sealed.meddler.stream()
    with RawConnection(sealed.eda.apps) as wire:
        wire.send(live_request(sealed, "GET"))
        wire.put_back(wire.until(b"abc"))
        may_break.set()
        with pytest.raises(EOFError):
            wire.read()


def test_a_caller_that_leaves_breaks_the_call_at_the_app(sealed: World) -> None:
    ended: list[bytes] = []
    begun, over = threading.Event(), threading.Event()

    def notice(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        begun.set()
        ended.append(wire.rest())
        over.set()

    sealed.live.act = notice
    sealed.meddler.stream()
    for reset in (True, False):
        begun.clear()
        over.clear()
        with RawConnection(sealed.eda.apps) as wire:
            head = live_request(sealed, "POST", bytes(LARGE))[: -LARGE // 2]
            wire.send(head)
            assert begun.wait(PATIENCE)
            hang_up(wire.socket, reset=reset)
        assert over.wait(PATIENCE)
        assert len(ended.pop()) < LARGE
    assert sealed.ask_sealed().status == 200


def test_a_caller_that_leaves_while_it_is_answered_stops_the_app(sealed: World) -> None:
    stopped = threading.Event()

    def pour(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        try:
            while True:
                wire.send(bytes(1 << 16))
        except OSError:
            stopped.set()

    sealed.live.act = pour
    sealed.meddler.stream()
    with RawConnection(sealed.eda.apps) as wire:
        wire.send(live_request(sealed, "GET"))
        wire.until(b"\r\n\r\n")
    assert stopped.wait(PATIENCE)
