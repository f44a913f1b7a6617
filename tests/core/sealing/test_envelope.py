"""How an envelope shows itself over HTTP, and which responses are about its key."""

import json

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import KEY_PROBLEM, refusal_response
from proxy.core.sealing.envelope import (
    CHUNKED_REQUEST,
    CHUNKED_RESPONSE,
    is_key_problem,
    is_sealed_request,
    is_sealed_response,
    may_be_key_problem,
    media_type,
)

PROBLEM = ((b"content-type", b"application/problem+json"),)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], b""),
        ([b"text/plain"], b"text/plain"),
        ([b"Text/PLAIN; charset=utf-8"], b"text/plain"),
        ([b"text/plain ;x"], b"text/plain"),
        ([b""], b""),
        ([b";x"], b""),
        ([b"text/plain", b"text/plain"], b""),
        ([b"text/plain, text/html"], b"text/plain, text/html"),
    ],
)
def test_a_media_type_is_read_without_its_parameters(values: list[bytes], expected: bytes) -> None:
    assert media_type([(b"content-type", value) for value in values]) == expected


@pytest.mark.parametrize(
    ("value", "is_it"),
    [
        (b"message/ohttp-chunked-req", True),
        (b"Message/OHTTP-Chunked-Req", True),
        (b"message/ohttp-chunked-req; x=y", True),
        (b"message/ohttp-req", False),
        (b"message/ohttp-chunked-res", False),
        (b"message/ohttp-chunked-req, text/plain", False),
        (b"application/json", False),
    ],
)
def test_a_request_is_an_envelope_by_its_media_type_alone(value: bytes, *, is_it: bool) -> None:
    assert is_sealed_request([(b"content-type", value)]) is is_it
    assert not is_sealed_request([(b"accept", value)])


@pytest.mark.parametrize("status", [200, 201, 204, 206, 302, 400, 401, 502])
def test_a_response_is_sealed_with_status_200_alone(status: int) -> None:
    assert is_sealed_response(status, [CHUNKED_RESPONSE]) is (status == 200)
    assert not is_sealed_response(status, [CHUNKED_REQUEST])
    assert not is_sealed_response(status, [])


@pytest.mark.parametrize(
    ("status", "maybe"), [(200, False), (302, False), (400, True), (401, True), (422, True),
                          (499, True), (500, False), (502, False)]
)  # fmt: skip
def test_only_a_problem_document_of_a_refused_request_is_read(status: int, *, maybe: bool) -> None:
    assert may_be_key_problem(status, PROBLEM) is maybe
    assert not may_be_key_problem(status, [(b"content-type", b"application/json")])
    assert not may_be_key_problem(status, [])


def test_what_our_gateway_says_of_a_key_is_understood() -> None:
    response = refusal_response(Refusal(Code.SEALING_KEY_UNKNOWN))
    assert may_be_key_problem(response.status, response.fields)
    assert is_key_problem(response.body)


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.SEALING_KEY_UNKNOWN])
def test_no_other_refusal_is_taken_for_it(code: Code) -> None:
    assert not is_key_problem(refusal_response(Refusal(code, now=1)).body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ohttp-key",
        b"null",
        b"[]",
        json.dumps([{"type": KEY_PROBLEM}]).encode(),
        json.dumps(KEY_PROBLEM).encode(),
        json.dumps({"type": [KEY_PROBLEM]}).encode(),
        json.dumps({"type": KEY_PROBLEM.upper()}).encode(),
        json.dumps({"type": KEY_PROBLEM + "s"}).encode(),
        json.dumps({"title": KEY_PROBLEM}).encode(),
        b'{"type": "about:blank", "type": "%s"}' % KEY_PROBLEM.encode(),
        json.dumps({"type": KEY_PROBLEM}).encode()[:-1],
        b"\xff" + json.dumps({"type": KEY_PROBLEM}).encode(),
        b"[" * 100_000,
    ],
)
def test_what_only_looks_like_a_key_problem_is_none(body: bytes) -> None:
    assert not is_key_problem(body)


def test_members_beside_the_type_do_no_harm() -> None:
    assert is_key_problem(json.dumps({"type": KEY_PROBLEM, "title": "x", "now": 1}).encode())
