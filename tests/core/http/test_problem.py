"""Refusals as they go out: for programs and for browsers, without the owner's details."""

import html
import json

import pytest

from proxy.core.errors import Code, Invalid, Problem, Refusal
from proxy.core.http.problem import (
    KEY_PROBLEM,
    RefusalMark,
    hint_for,
    refusal_mark,
    refusal_response,
    wants_page,
)


@pytest.mark.parametrize("code", Code)
def test_every_code_has_its_problem_document(code: Code) -> None:
    response = refusal_response(Refusal(code, "a secret detail"))
    fields = dict(response.fields)
    assert response.status == code.status
    assert fields[b"content-type"] == b"application/problem+json"
    assert fields[b"portal-refusal"] == code.public.encode()
    assert fields[b"cache-control"] == b"no-store"
    assert json.loads(response.body) == {
        "type": KEY_PROBLEM if code is Code.SEALING_KEY_UNKNOWN else "about:blank",
        "title": code.title,
        "status": code.status,
        "code": code.public,
    }


@pytest.mark.parametrize("code", Code)
def test_a_code_is_read_again_and_a_longer_one_than_any_is_none(code: Code) -> None:
    mark = (b"portal-refusal", code.public.encode())
    assert refusal_mark([mark]) == RefusalMark(code.public)
    # It is logged, and told to the app: what a peer makes up must be as short.
    assert refusal_mark([(mark[0], mark[1] + b"_" * 64)]) == RefusalMark()


@pytest.mark.parametrize("code", Code)
def test_a_browser_gets_a_page(code: Code) -> None:
    response = refusal_response(Refusal(code, "a secret detail"), page=True)
    fields = dict(response.fields)
    page = response.body.decode()
    assert fields[b"content-type"] == b"text/html; charset=utf-8"
    assert fields[b"content-security-policy"].startswith(b"default-src 'none'")
    assert fields[b"referrer-policy"] == b"same-origin"
    assert code.public in page
    assert str(code.status) in page
    assert "secret" not in page
    assert "{" not in page.partition("</style>")[2]


@pytest.mark.parametrize(
    ("code", "origin", "hint"),
    [
        (Code.FOREIGN_PAGE, b"null", "doesn't say which page"),
        (Code.PROOF_REQUIRED, b"null", "doesn't say which page"),
        (Code.FOREIGN_PAGE, b"https://a.example", "Open the page at this address"),
        (Code.PROOF_REQUIRED, b"https://a.example", ""),
        (Code.NOT_ALLOWED, b"null", ""),
    ],
)
def test_who_sent_no_origin_is_told_what_to_do(code: Code, origin: bytes, hint: str) -> None:
    found = hint_for(Refusal(code), [(b"origin", origin)])
    assert hint in found
    assert bool(found) is bool(hint)
    page = refusal_response(Refusal(code), page=True, hint=found).body.decode()
    assert html.escape(found) in page
    assert page.endswith("</p></html>\n")


def test_a_hint_is_for_the_caller_and_the_detail_isnt() -> None:
    refusal = Refusal(Code.PROOF_REQUIRED, "a secret", hint="Write <http://>.")
    told = json.loads(refusal_response(refusal).body)
    assert told["detail"] == "Write <http://>."
    assert "secret" not in refusal_response(refusal).body.decode()
    page = refusal_response(refusal, page=True, hint=hint_for(refusal, ())).body
    assert b"<p>Write &lt;http://&gt;.</p>" in page


@pytest.mark.parametrize("page", [False, True])
def test_a_missing_proof_is_challenged(page: bool) -> None:  # noqa: FBT001 - a parameter
    proof = dict(refusal_response(Refusal(Code.PROOF_REQUIRED), page=page).fields)
    assert proof[b"www-authenticate"] == b"Portal"
    token = dict(refusal_response(Refusal(Code.PROXY_TOKEN_REQUIRED), page=page).fields)
    assert token[b"proxy-authenticate"] == b'Basic realm="portal"'
    other = dict(refusal_response(Refusal(Code.NOT_ALLOWED), page=page).fields)
    assert not {b"www-authenticate", b"proxy-authenticate", b"retry-after"} & set(other)


@pytest.mark.parametrize("code", [Code.TOO_MANY_REQUESTS, Code.APP_BUSY, Code.TOO_MANY_CONNECTIONS])
def test_who_came_when_all_places_were_taken_may_try_again(code: Code) -> None:
    assert dict(refusal_response(Refusal(code)).fields)[b"retry-after"] == b"5"


@pytest.mark.parametrize("page", [False, True])
def test_who_tried_too_often_is_told_when_to_come_again(page: bool) -> None:  # noqa: FBT001
    refusal = Refusal(Code.TOO_MANY_ATTEMPTS, retry_after=42)
    assert dict(refusal_response(refusal, page=page).fields)[b"retry-after"] == b"42"
    assert b"retry-after" not in dict(refusal_response(Refusal(Code.PAIRING_REFUSED)).fields)


def test_a_request_out_of_time_is_told_the_time() -> None:
    response = refusal_response(Refusal(Code.OUT_OF_TIME, now=1_750_000_000))
    assert json.loads(response.body)["now"] == 1_750_000_000


@pytest.mark.parametrize(
    ("method", "accept", "page"),
    [
        (b"GET", [b"text/html,application/xhtml+xml;q=0.9"], True),
        (b"HEAD", [b"text/html"], True),
        (b"POST", [b"a/b", b"text/html"], True),
        (b"PUT", [b"text/html"], False),
        (b"GET", [b"*/*"], False),
        (b"GET", [b"application/json"], False),
        (b"GET", [], False),
    ],
)
def test_who_navigates_wants_a_page(method: bytes, accept: list[bytes], page: bool) -> None:  # noqa: FBT001 - a parameter
    assert wants_page(method, [(b"accept", value) for value in accept]) is page


def test_codes_of_one_name_say_the_same_and_differ_in_their_status() -> None:
    titles = {code.public: code.title for code in Code}
    assert all(titles[code.public] == code.title for code in Code)
    pairs = [(code.public, code.status) for code in Code]
    assert len(pairs) == len(set(pairs))


def test_an_invalid_file_tells_of_every_problem() -> None:
    problems = [Problem("a.json", "line 1", "is wrong"), Problem("b.json", "", "is missing")]
    assert str(Invalid(problems)) == "a.json: line 1: is wrong\nb.json: is missing"
