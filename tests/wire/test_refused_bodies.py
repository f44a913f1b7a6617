"""A body that is refused unread, and what a client sends behind it on the same connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import RawConnection
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from .conftest import World

_BOUND = 256 * 1024
"""Bytes of a refused body that are read past to keep the connection."""


def _put(world: World, app: str, path: str, size: int) -> bytes:
    lines = (f"PUT {path} HTTP/1.1", f"Host: {world.bob.app_host(app)}", f"Content-Length: {size}")
    return "\r\n".join((*lines, "", "")).encode()


@pytest.mark.parametrize("together", [True, False], ids=["together", "after the response"])
@pytest.mark.parametrize("size", [_BOUND + 1, 263_000, 270_000, 285_000, 300_000])
def test_nothing_behind_a_large_refused_body_is_carried_out(
    world: World, size: int, *, together: bool
) -> None:
    behind = b"x" * size + _put(world, "site", "/up", 2) + b"hi"
    with RawConnection(world.bob.public) as wire:
        wire.send(_put(world, "wide", "/private", size))
        if together:
            wire.send(behind)
        got = wire.read()
        if not together:
            wire.send(behind)
        assert got.status == 401
        # What had come in whole by then may stay on a connection that goes on; else it says so.
        is_last = (b"connection", b"close") in got.fields
        assert is_last or together
        assert is_last or wire.read().status == 200
    assert len(world.bob_app.requests) == (0 if is_last else 1)


@pytest.mark.parametrize("size", [1, 1000, _BOUND])
def test_what_stands_behind_a_small_one_is(world: World, size: int) -> None:
    with RawConnection(world.bob.public) as wire:
        wire.send(_put(world, "wide", "/private", size))
        assert (b"connection", b"close") not in wire.read().fields
        wire.send(b"x" * size + _put(world, "site", "/up", 2) + b"hi")
        assert wire.read().status == 200
    eventually(lambda: [got.body for got in world.bob_app.requests] == [b"hi"])


def test_who_sends_slowly_reads_why_it_was_refused(world: World) -> None:
    """As Python's http.client does: all of the body first. It took 2 s before, then a reset."""
    with RawConnection(world.bob.public) as wire:
        wire.send(_put(world, "wide", "/private", _BOUND * 2))
        for _ in range(8):
            wire.send(b"x" * 1000)
            time.sleep(0.4)
        got = wire.read()
        assert (got.status, got.code) == (401, "proof_required")
        assert (b"connection", b"close") in got.fields
        assert wire.rest() == b""
    assert world.bob_app.requests == []
