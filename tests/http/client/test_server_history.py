"""What is known of a server lasts a while, and its oldest word counts."""

from __future__ import annotations

import pytest

from proxy.core.http.origin import Origin
from proxy.http.client.server_history import (
    KNOWN_SECONDS,
    NO_KEEP_ALIVE_SECONDS,
    ServerHistory,
)
from proxy.http.upstream import Destination


@pytest.fixture
def server() -> ServerHistory:
    return ServerHistory(Destination(Origin("http", "app.example", 80)))


@pytest.mark.parametrize(
    ("responses", "minor"),
    [
        ([], None),
        ([(1, 200)], 1),
        ([(1, 404)], 1),
        ([(1, 400)], None),
        ([(1, 501)], None),
        ([(0, 200)], 0),
        ([(0, 400)], 0),
        ([(1, 200), (0, 200)], 0),
        ([(0, 200), (1, 200)], 0),
    ],
)
def test_it_speaks_the_oldest_that_it_was_heard_to_speak(
    server: ServerHistory, responses: list[tuple[int, int]], minor: int | None
) -> None:
    """What a server refuses by itself doesn't tell what is behind it."""
    for version, status in responses:
        server.note_response(version, status, 100.0)
    assert server.minor(100.0) == minor
    assert server.invites(100.0) is (minor != 0)
    assert server.minor(100.0 + KNOWN_SECONDS) is None
    assert server.is_forgotten(100.0 + KNOWN_SECONDS)


def test_what_is_assumed_gives_way_to_a_response(server: ServerHistory) -> None:
    server.assume_old(110.0)
    assert (server.minor(100.0), server.minor(110.0)) == (0, None)
    server.note_response(1, 200, 100.0)
    assert server.minor(100.0) == 1


def test_what_is_forgotten_is_what_it_speaks_not_how_it_closes(server: ServerHistory) -> None:
    server.note_response(0, 200, 100.0)
    server.silent_until = 700.0
    server.sends_bodies_behind_heads = True
    server.disable_keep_alive(100.0)
    server.forget()
    assert server.minor(100.0) is None
    assert server.invites(100.0)
    assert not server.sends_bodies_behind_heads
    assert not server.is_forgotten(100.0)
    assert server.is_forgotten(100.0 + NO_KEEP_ALIVE_SECONDS)
