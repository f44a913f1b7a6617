"""Refusals as exceptions: which class, who refused, and what may be tried again."""

import json
import pickle

import httpx
import pytest

from portal_peers import Busy, CallTimedOut, OutcomeUnknown, PeerUnavailable, Refused
from portal_peers.errors import BY_CODE, failed, refusal_in, refused
from portal_peers.fake import _REFUSALS, FakePortal, refusal
from proxy.core.errors import Code

NOT_OF_CALLS = {
    "bad_handshake", "device_token_exposed", "foreign_page",
    "not_an_envelope", "pairing_refused", "pairing_store_down", "sealing_key_unknown",
    "too_many_attempts", "websocket_version",
}  # fmt: skip
"""What browsers and devices get, and what a proxy gets outside an envelope."""


def test_every_code_that_a_call_can_be_refused_with_has_a_class() -> None:
    """A new code needs a line in the class that tells apps what to do about it."""
    assert {code.public for code in Code} - NOT_OF_CALLS <= set(BY_CODE)


def test_the_fake_refuses_as_the_proxy_does() -> None:
    codes = {code.public: code for code in reversed(Code)}
    for name, (status, title) in _REFUSALS.items():
        assert (status, title) == (codes[name].status, codes[name].title)


@pytest.mark.parametrize(
    ("code", "method", "retriable", "perhaps"),
    [
        ("peer_unreachable", "POST", True, False),
        ("outcome_unknown", "POST", False, True),
        ("app_timeout", "POST", False, True),
        ("app_timeout", "GET", True, False),
        ("not_allowed", "GET", False, False),
        ("rate_limited", "POST", True, False),
        ("no_such_peer", "GET", False, False),
        ("some_new_code", "GET", False, False),
    ],
)
def test_what_may_be_tried_again(code: str, method: str, retriable: bool, perhaps: bool) -> None:  # noqa: FBT001
    response = httpx.Response(400, headers={"portal-refusal": code})
    error = refused(response, b"", f"{method} /x at abcdef")
    assert type(error) is BY_CODE.get(code, Refused)
    assert (error.is_retriable, error.perhaps_carried_out) == (retriable, perhaps)


def test_an_exception_tells_what_the_refusal_told() -> None:
    response = refusal("app_busy", "peer")
    response.headers["x-request-id"] = "abc"
    error = refused(response, response.content, "POST /peer/x at abcdef")
    assert isinstance(error, Busy)
    assert (error.code, error.status, error.by, error.retry_after) == ("app_busy", 503, "peer", 5)
    assert error.request_id == "abc"
    assert str(error) == (
        "The peer's Portal refused POST /peer/x at abcdef: "
        "The app has as many requests running as it may. (app_busy, 503)"
    )


def test_what_stands_beside_a_code_and_in_the_detail_is_understood() -> None:
    response = httpx.Response(401, headers={"portal-refusal": "out_of_time;now=17"})
    error = refused(response, json.dumps({"title": "Late.", "detail": "Set it."}).encode(), "")
    assert (error.code, error.title) == ("out_of_time", "Late. Set it.")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"title": 3}', b"\xff", b"[" * 60000])
def test_a_refusal_without_a_sentence_is_one_all_the_same(body: bytes) -> None:
    response = httpx.Response(502, headers={"portal-refusal": "peer_unreachable"})
    assert isinstance(refused(response, body, "GET /"), PeerUnavailable)


def test_an_app_that_says_the_same_refused_nothing() -> None:
    problem = {"content-type": "application/problem+json"}
    assert refusal_in(httpx.Response(403, headers=problem, json={"code": "not_allowed"})) is None


def test_exceptions_travel_between_processes() -> None:
    error = refused(refusal("outcome_unknown"), b'{"title": "Perhaps."}', "POST /x")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is OutcomeUnknown
    assert (str(copy), copy.perhaps_carried_out) == (str(error), True)
    late = pickle.loads(pickle.dumps(CallTimedOut("late", "POST")))
    assert (str(late), late.perhaps_carried_out) == ("late", True)


def test_a_failure_on_the_way_to_the_portal_tells_whether_something_was_sent() -> None:
    connect = failed(httpx.ConnectError("refused"), "POST")
    assert (connect.is_retriable, connect.perhaps_carried_out) == (True, False)
    broken = failed(httpx.ReadError(""), "POST")
    assert (broken.is_retriable, broken.perhaps_carried_out) == (False, True)
    assert failed(httpx.ReadTimeout(""), "GET").is_retriable


def test_a_fake_refuses_nothing_that_no_app_gets() -> None:
    with pytest.raises(ValueError, match="isn't a code"):
        FakePortal().refuse("pairing_refused")
