"""A scope of another server as ours: what it lost is lost, what it let pass is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD
from proxy.embedded import request as module
from proxy.embedded.request import as_ours, framed
from proxy.http.scope import RAW, TARGET, UPGRADE
from tests.embedded.server import Server, http, request

if TYPE_CHECKING:
    from starlette.types import Scope

    from proxy.core.http.headers import Field

CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("raw", "path", "query", "target"),
    [
        (b"/", "/", b"", b"/"),
        (b"/a%2Fb", "/a/b", b"c=%20d", b"/a%2Fb?c=%20d"),
        (b"/%C3%A9", "/é", b"", b"/%C3%A9"),
        (b"/%ff", "/\ufffd", b"", b"/%ff"),
        (b"/a/../b", "/a/../b", b"?", b"/a/../b??"),
        (b"*", "*", b"", b"*"),
        (b"/\xe9", "/\ufffd", b"", b"/\xe9"),  # for the gate to refuse
    ],
)
def test_the_target_is_the_raw_one(raw: bytes, path: str, query: bytes, target: bytes) -> None:
    scope = as_ours({**http(), "raw_path": raw, "path": path, "query_string": query})
    assert scope["state"][TARGET] == target


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"root_path": "/below"}, "root_path"),
        ({"raw_path": None}, "raw_path"),
        ({"raw_path": b""}, "raw_path"),
        ({"path": "/public", "raw_path": b"/private"}, "changed"),
        ({"path": "/a%2Fb", "raw_path": b"/a%2Fb"}, "changed"),
        ({"path": "/b", "raw_path": b"/a/../b"}, "changed"),
    ],
)
def test_where_nobody_knows_what_was_asked_for_nobody_guesses(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        as_ours(http(**changes))
    assert refused.value.code is Code.INTERNAL


def test_a_server_that_leaves_raw_path_out_is_no_other_case() -> None:
    scope = dict(http())
    del scope["raw_path"]
    with pytest.raises(Refusal) as refused:
        as_ours(scope)
    assert refused.value.code is Code.INTERNAL


def test_fields_are_bytes_in_lower_case_without_blanks_around() -> None:
    scope = http()
    scope["headers"] = [(memoryview(b"Host"), b" a.example\t"), (b"X", b"\xe9 y"), (b"x", b"z")]
    assert as_ours(scope)["headers"] == [(b"host", b"a.example"), (b"x", b"\xe9 y"), (b"x", b"z")]


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [("1.0", True), ("1.1", True), ("2", True), ("3", True), ("0.9", False), ("1.2", False)],
)
def test_a_version_is_one_that_is_known(version: str, *, is_taken: bool) -> None:
    scope = http(version=version)
    if is_taken:
        assert as_ours(scope)["http_version"] == (version if version < "2" else "1.1")
    else:
        with pytest.raises(Refusal) as refused:
            as_ours(scope)
        assert refused.value.code is Code.VERSION_UNSUPPORTED


FRAMINGS: dict[str, tuple[list[Field], bool]] = {
    "none": ([], True),
    "a length": ([(b"content-length", b"3")], True),
    "chunks": ([CHUNKED], True),
    "chunks in capitals": ([(b"Transfer-Encoding", b"CHUNKED")], True),
    "two lengths": ([(b"content-length", b"3"), (b"content-length", b"4")], False),
    "the same length twice": ([(b"content-length", b"3"), (b"Content-Length", b"3")], False),
    "a list of lengths": ([(b"content-length", b"3, 3")], False),
    "a signed length": ([(b"content-length", b"+3")], False),
    "an empty length": ([(b"content-length", b"")], False),
    "a length beside chunks": ([(b"content-length", b"3"), CHUNKED], False),
    "another coding": ([(b"transfer-encoding", b"gzip")], False),
    "two codings": ([(b"transfer-encoding", b"gzip, chunked")], False),
    "two lines of codings": ([CHUNKED, CHUNKED], False),
}


@pytest.mark.parametrize("row", FRAMINGS)
def test_a_body_has_one_end_or_none(row: str) -> None:
    fields, is_taken = FRAMINGS[row]
    scope = http("a.example", b"/", *fields, method="POST")
    if is_taken:
        assert len(as_ours(scope)["headers"]) == 1 + len(fields)
        return
    with pytest.raises(Refusal) as refused:
        as_ours(scope)
    assert refused.value.code is Code.BAD_REQUEST


def test_there_are_no_chunks_in_http_1_0() -> None:
    with pytest.raises(Refusal, match="Transfer-Encoding"):
        as_ours(http("a.example", b"/", CHUNKED, version="1.0"))


@pytest.mark.parametrize(
    ("fields", "target", "is_taken"),
    [
        ([(b"x", b"y")] * (MAX_FIELDS - 1), b"/", True),
        ([(b"x", b"y")] * MAX_FIELDS, b"/", False),
        ([(b"x", b"y" * (MAX_HEAD - 100))], b"/", True),
        ([(b"x", b"y" * MAX_HEAD)], b"/", False),
        ([], b"/" + b"a" * MAX_HEAD, False),
    ],
    ids=["many fields", "too many", "a long one", "too long", "a long target"],
)
def test_a_head_is_as_bounded_as_ours(
    fields: list[Field], target: bytes, *, is_taken: bool
) -> None:
    scope = http("a.example", target, *fields)
    if is_taken:
        assert as_ours(scope)["headers"][1:] == fields
        return
    with pytest.raises(Refusal) as refused:
        as_ours(scope)
    assert refused.value.code is Code.HEAD_TOO_LARGE


def test_the_crumbs_of_http_2_are_one_cookie() -> None:
    crumbs = [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")]
    whole = [(b"host", b"a.example"), (b"x", b"y"), (b"cookie", b"a=1; b=2")]
    assert as_ours(http("a.example", b"/", *crumbs, version="2"))["headers"] == whole
    assert as_ours(http("a.example", b"/", *crumbs))["headers"][1:] == crumbs
    assert as_ours(http("a.example", b"/", crumbs[0], version="2"))["headers"][1:] == crumbs[:1]


def test_of_the_extensions_only_our_own_upgrade_is_left() -> None:
    extensions: dict[str, Any] = {"http.response.push": {}, UPGRADE: {}, RAW: {}}
    assert as_ours(http(extensions=extensions))["extensions"] == {UPGRADE: {}}
    plain = http()
    del plain["extensions"]
    assert as_ours(plain)["extensions"] == {}


def test_the_server_s_own_scope_stays_as_it_was() -> None:
    scope = http(state={"pool": 1})
    assert as_ours(scope)["state"] == {"pool": 1, TARGET: b"/"}
    assert scope["state"] == {"pool": 1}


# The framing of HTTP/2 and HTTP/3, which only the end of a request tells.


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.1", []), ("1.0", []), ("1.1", [CHUNKED]), ("2", [(b"content-length", b"3")])],
)
async def test_where_the_framing_is_known_nothing_is_received(
    version: str, fields: list[Field]
) -> None:
    server = Server()
    scope = http("a.example", b"/", *fields, version=version)
    assert await framed(scope, server.receive, version) == (scope, server.receive)
    assert server.asked == 0


@pytest.mark.parametrize(
    ("first", "has_body"),
    [
        (request(), False),
        ({"type": "http.request"}, False),
        (request(b"a"), True),
        (request(more=True), True),
        ({"type": "http.disconnect"}, False),
    ],
)
@pytest.mark.parametrize("version", ["2", "3"])
async def test_the_first_message_tells_whether_there_is_a_body_and_isn_t_lost(
    first: dict[str, Any], version: str, *, has_body: bool
) -> None:
    server = Server()
    server.says(first, request(b"next"))
    scope, receive = await framed(http(version=version), server.receive, version)
    assert (CHUNKED in scope["headers"]) == has_body
    assert await receive() == first
    assert await receive() == request(b"next")


async def test_a_client_that_waits_may_have_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_WAIT", 0.01)
    server = Server()
    before: Scope = http(version="2")
    scope, receive = await framed(before, server.receive, "2")
    assert CHUNKED in scope["headers"]
    assert CHUNKED not in before["headers"]
    server.says(request(b"late"))
    assert await receive() == request(b"late")
