"""What holds for WebSockets wherever messages are carried; frames as such don't reach us there."""

from __future__ import annotations

import pytest

from tests.core.websocket.framing import MASK
from tests.wire.harness.raw import exchange, request, response
from tests.wire.harness.sockets import handshake, switched
from tests.wire.test_websockets import (
    FALSE,
    HELLO,
    REFUSED,
    SMUGGLED,
    Stage,
    stage,
    stage_,
    test_a_101_that_nobody_asked_for_is_a_502,
    test_a_client_s_close_arrives,
    test_a_client_that_breaks_off_is_known_to_the_app,
    test_a_client_that_takes_nothing_stops_the_app_and_costs_little,
    test_a_subprotocol_is_agreed_on,
    test_an_app_s_close_arrives,
    test_messages_come_back,
    test_pings_are_answered_by_the_other_side,
    test_the_app_is_told_who_asks_and_nothing_forged,
)

__all__ = [
    "stage",
    "stage_",
    "test_a_101_that_nobody_asked_for_is_a_502",
    "test_a_client_s_close_arrives",
    "test_a_client_that_breaks_off_is_known_to_the_app",
    "test_a_client_that_takes_nothing_stops_the_app_and_costs_little",
    "test_a_subprotocol_is_agreed_on",
    "test_an_app_s_close_arrives",
    "test_messages_come_back",
    "test_pings_are_answered_by_the_other_side",
    "test_the_app_is_told_who_asks_and_nothing_forged",
]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/private/echo", 401, "proof_required"),
        ("/public/../private/echo", 400, "bad_target"),
        ("/public%2f..%2fprivate", 400, "bad_target"),
    ],
)
def test_a_refusal_is_a_response(stage: Stage, path: str, status: int, code: str) -> None:
    got = exchange(stage.portal.public, handshake(stage.host, path))
    assert (got.status, got.code) == (status, code)
    assert stage.recorder.connections == 0


def test_an_app_s_refusal_is_its_response(stage: Stage) -> None:
    got = exchange(
        stage.portal.public, handshake(stage.portal.app_host("sock"), "/public/elsewhere")
    )
    assert (got.status, got.body) == (404, b"no WebSocket here\n")


@pytest.mark.parametrize("row", FALSE)
def test_a_false_101_is_a_502(stage: Stage, row: str) -> None:
    fields, without = FALSE[row]
    stage.recorder.script(switched(*fields, without=without))
    got = exchange(stage.portal.public, handshake(stage.host, "/public/ws"))
    assert (got.status, got.code) == (502, "app_failed")


_REFUSED = [row for row in REFUSED if row not in ("a body", "chunks")]  # uvicorn waits for ever


@pytest.mark.parametrize("row", [*_REFUSED, "a private path", "a false 101"])
def test_nothing_behind_a_refused_handshake_reaches_an_app(stage: Stage, row: str) -> None:
    start, without, fields, _ = REFUSED.get(row, (None, (), [], 0))
    path = "/private/echo" if row == "a private path" else "/public/ws"
    stage.recorder.script(switched(("Sec-WebSocket-Protocol", "x")))
    asked = handshake(
        stage.host, path, *fields, without=without, **({"start": start} if start else {})
    )

    got = exchange(stage.portal.public, asked + HELLO.raw(MASK) + SMUGGLED)

    assert got.status >= 400
    assert b"smuggled" not in stage.recorder.received
    stage.recorder.script(response(200, body=b"ok"))
    following = request("GET", "/public/next", ("Host", stage.host))
    assert exchange(stage.portal.public, following).body == b"ok"
