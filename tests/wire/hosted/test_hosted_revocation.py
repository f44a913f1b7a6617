"""Revocation under other servers: the same, but for frames, which don't reach us there."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from tests.patience import PATIENCE
from tests.wire.harness.recorder import eventually
from tests.wire.harness.revoking import Stage, remove_app
from tests.wire.harness.sockets import WebSocketApp, dial
from tests.wire.test_revocation import (
    stage,
    stage_,
    test_a_change_that_removes_nothing_ends_nothing,
    test_a_connection_that_carries_others_too_goes_on,
    test_a_handshake_that_the_app_has_not_answered_is_refused,
    test_a_signed_request_that_is_still_held_never_reaches_the_app,
    test_a_strangers_requests_end_with_the_app,
    test_what_a_peer_has_running_ends_with_what_it_lives_on,
)

__all__ = [
    "stage",
    "stage_",
    "test_a_change_that_removes_nothing_ends_nothing",
    "test_a_connection_that_carries_others_too_goes_on",
    "test_a_handshake_that_the_app_has_not_answered_is_refused",
    "test_a_signed_request_that_is_still_held_never_reaches_the_app",
    "test_a_strangers_requests_end_with_the_app",
    "test_what_a_peer_has_running_ends_with_what_it_lives_on",
]

OPEN = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'


def test_a_websocket_is_told_on_both_sides(stage: Stage) -> None:
    with WebSocketApp() as app:
        for name in ("lost", "twin"):
            stage.bob.add_app(name, OPEN, app.port)
        stage.await_app("lost", "twin")
        with (
            dial(stage.bob, "/public/echo", "lost") as lost,
            dial(stage.bob, "/public/echo", "twin") as twin,
        ):
            lost.send("hello")
            assert lost.recv() == "hello"
            remove_app(stage.bob, "lost")
            with pytest.raises(ConnectionClosed) as closed:
                lost.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            twin.send("hello")
            assert twin.recv() == "hello"
        eventually(lambda: app.seen()["seen"])
        (ended,) = [each for each in app.seen()["seen"] if each["code"] == 1008]
        assert ended["path"] == "/public/echo"
        remove_app(stage.bob, "twin")
