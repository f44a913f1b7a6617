"""h1spec's cases at the real public listener, with an app behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.http.server.test_protocol_h1spec import ANSWERS, WAITS
from tests.wire.harness.raw import RawConnection

if TYPE_CHECKING:
    from .conftest import World

pytestmark = pytest.mark.more  # http/server runs the same rows at the same reader


def at_the_app(world: World, data: bytes) -> bytes:
    """Return the case's bytes for the host of an app that is public."""
    host = world.bob.app_host("site").encode("ascii")
    return data.replace(b"localhost", b"example.com").replace(b"example.com", host)


@pytest.mark.parametrize("row", ANSWERS)
def test_it_answers(world: World, row: str) -> None:
    data, expected = ANSWERS[row]
    with RawConnection(world.bob.public) as wire:
        wire.send(at_the_app(world, data))
        status = int(wire.until(b"\r\n").split(b" ")[1])
    assert status in expected


@pytest.mark.parametrize("row", WAITS)
def test_it_waits_for_the_rest(world: World, row: str) -> None:
    before = world.bob_app.connections
    with RawConnection(world.bob.public) as wire:
        wire.send(at_the_app(world, WAITS[row]))
        wire.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            wire.socket.recv(100)
    assert world.bob_app.connections == before
