"""Calls on the wire: what goes out byte for byte, and what is made of what comes back."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import portal_peers
from both import BOTH, Client
from portal_peers import (
    CallBrokenOff,
    CallTimedOut,
    NotAllowed,
    NotAPortal,
    Portal,
    PortalUnreachable,
    RedirectRefused,
    TokenRefused,
)
from server import Asked, http, serving

PEER = "abcdef"
OWN = f"/internal/call_peer/{PEER}"
PEERS = b'[{"id": "abcdefg", "name": "Bob", "is_reachable": true}]'

Make = Callable[..., Client]
both = pytest.mark.parametrize("make", BOTH)


@both
def test_a_call_goes_out_as_it_was_written(make: Make) -> None:
    path = "/peer/./a/../b%2F%41//;x|\"?q=%zz'"
    with serving(http(200, b"hello")) as server, make(server.url, token="s3cret") as portal:
        got = portal.call(
            PEER, "POST", path, content=b"x", headers={"X-Own": "1", "Portal-Token": "other"}
        )
        assert (got.status_code, got.text) == (200, "hello")
        assert "s3cret" not in f"{got.request.headers.raw}", "which an app may log"
        (asked,) = server.asked
    assert asked.head.split(b"\r\n")[0] == f"POST {OWN}{path} HTTP/1.1".encode()
    assert (asked.all("host"), asked.all("portal-token")) == (["portal_core"], ["s3cret"])
    assert (asked.all("x-own"), asked.body) == (["1"], b"x")


@both
def test_the_peers_are_listed(make: Make) -> None:
    with serving(http(200, PEERS)) as server, make(server.url) as portal:
        assert portal.peers("b&") == [("abcdefg", "Bob", True)]
        (asked,) = server.asked
    assert asked.target == "/protected/peers?name=b%26"
    assert asked.all("portal-token") == []


@both
@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>"), http(200, b"{}"), http(200, b'[{"id": 1}]'), http(302, b""),
        http(500, b"[]"),
    ],
)  # fmt: skip
def test_what_is_no_portal_is_told_as_such(make: Make, answer: bytes) -> None:
    with (
        serving(answer) as server,
        make(server.url) as portal,
        pytest.raises(NotAPortal),
    ):
        portal.peers()


@both
def test_no_other_proxy_and_no_netrc_is_asked(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n", "ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(http(200)) as server, make(server.url, token="t") as portal:
        portal.call(PEER, "GET", "/")
        assert server.asked[0].all("authorization") == []


@both
def test_a_peers_cookies_are_for_nobody(make: Make) -> None:
    with serving(http(200, b"", "Set-Cookie: a=1; Path=/")) as server, make(server.url) as portal:
        for peer in (PEER, "bbbbbb"):
            portal.call(peer, "GET", "/")
        assert [asked.all("cookie") for asked in server.asked] == [[], []]


@both
def test_a_redirect_is_a_response_unless_it_is_to_be_followed(make: Make) -> None:
    away = http(307, b"", f"Location: {OWN}/b")
    with serving(away, away, http(200, b"there")) as server, make(server.url) as portal:
        assert portal.call(PEER, "POST", "/a").status_code == 307
        got = portal.call(PEER, "POST", "/a", content=b"body", follow_redirects=True)
        assert (got.text, len(got.history)) == ("there", 1)
        last = server.asked[-1]
    assert (last.target, last.body, last.head[:4]) == (f"{OWN}/b", b"body", b"POST")


@both
def test_a_redirect_to_look_elsewhere_takes_no_body_along(make: Make) -> None:
    away = http(303, b"", "Location: /b")
    with serving(away, http(200)) as server, make(server.url, token="t") as portal:
        portal.call(PEER, "POST", "/a", json={"a": 1}, follow_redirects=True)
        last = server.asked[-1]
    assert (last.target, last.body, last.head[:4]) == (f"{OWN}/b", b"", b"GET ")
    assert last.all("content-type") + last.all("content-length") == []
    assert last.all("portal-token") == ["t"]


@both
def test_a_redirect_away_is_not_followed(make: Make) -> None:
    with serving(http(302, b"", "Location: http://evil.example/")) as server:
        with make(server.url, token="t") as portal, pytest.raises(RedirectRefused, match="evil"):
            portal.call(PEER, "GET", "/a", follow_redirects=True)
        assert len(server.asked) == 1
    with serving(http(302, b"", "Location: /a")) as server, make(server.url) as portal:
        with pytest.raises(RedirectRefused, match="more than"):
            portal.call(PEER, "GET", "/a", follow_redirects=True)
        with pytest.raises(RedirectRefused, match="spent"):
            portal.call(PEER, "PUT", "/a", content=iter([b"x"]), follow_redirects=True)


@both
def test_a_body_that_is_spent_is_not_sent_twice(make: Make) -> None:
    with serving(http(308, b"", "Location: /b")) as server, make(server.url) as portal:
        with pytest.raises(RedirectRefused, match="spent"):
            portal.call(PEER, "PUT", "/a", content=iter([b"x"]), follow_redirects=True)
        assert len(server.asked) == 1


@both
def test_a_file_is_sent_from_where_it_stands_with_its_length(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10 + b"y" * 200_000)
    with serving(http(200)) as server, make(server.url) as portal, path.open("rb") as file:
        file.seek(10)
        portal.call(PEER, "PUT", "/a", content=file)
        portal.call(PEER, "PUT", "/a", content=io.BytesIO(b"abc"))
        first, second = server.asked
    assert (first.all("content-length"), first.body) == (["200000"], b"y" * 200_000)
    assert (second.all("content-length"), second.body) == (["3"], b"abc")


@both
def test_an_iterator_is_sent_in_chunks(make: Make) -> None:
    with serving(http(200)) as server, make(server.url) as portal:
        portal.call(PEER, "PUT", "/a", content=(piece for piece in (b"ab", b"c")))
        (asked,) = server.asked
    assert asked.all("transfer-encoding") == ["chunked"]
    assert asked.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


@both
def test_a_response_is_read_while_it_comes(make: Make) -> None:
    with serving(http(200, b"z" * 300_000)) as server, make(server.url) as portal:
        pieces = portal.stream(PEER, "GET", "/a")
    assert b"".join(pieces) == b"z" * 300_000
    assert len(pieces) > 1


@both
def test_a_response_that_breaks_off_is_none(make: Make) -> None:
    with serving(http(200, b"half", length=8)) as server, make(server.url) as portal:
        with pytest.raises(CallBrokenOff) as caught:
            portal.call(PEER, "POST", "/a")
        assert caught.value.perhaps_carried_out
        with pytest.raises(CallBrokenOff):
            portal.stream(PEER, "GET", "/a")


@both
def test_silence_ends_a_call(make: Make) -> None:
    with serving(b"") as server, make(server.url, timeout=0.2) as portal:
        with pytest.raises(CallTimedOut) as caught:
            portal.call(PEER, "GET", "/a")
        assert caught.value.is_retriable


@both
def test_a_portal_that_is_not_there_got_nothing(make: Make) -> None:
    with serving(http(200)) as server:
        url = server.url
    with make(url) as portal, pytest.raises(PortalUnreachable) as caught:
        portal.call(PEER, "POST", "/a")
    assert not caught.value.perhaps_carried_out


@both
def test_a_refusal_is_raised_and_the_apps_own_words_are_not(make: Make) -> None:
    body = b'{"title": "No.", "status": 403, "code": "not_allowed"}'
    answers = (
        http(403, body, "Content-Type: application/problem+json"),
        http(403, body, "Portal-Peer-Refusal: not_allowed"),
        http(403, b"", "Portal-Refusal: not_allowed"),
    )
    with serving(*answers) as server, make(server.url) as portal:
        assert portal.call(PEER, "GET", "/a").status_code == 403
        with pytest.raises(NotAllowed, match=r"The peer's Portal refused GET /a at abcdef: No\."):
            portal.call(PEER, "GET", "/a?secret=1")
        with pytest.raises(NotAllowed) as caught:
            portal.stream(PEER, "HEAD", "/a")
        assert caught.value.by == "portal"


@both
def test_a_refusal_that_breaks_off_or_never_ends_is_one(make: Make) -> None:
    mark = "Portal-Refusal: not_allowed"
    answers = (http(403, b"{", mark, length=9), http(403, b"[" * 300_000, mark))
    with serving(*answers) as server, make(server.url) as portal:
        for _ in answers:
            with pytest.raises(NotAllowed):
                portal.call(PEER, "GET", "/a")


@both
def test_a_token_that_changed_in_its_file_is_read_again(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old", "ascii")

    def answer(asked: Asked) -> bytes:
        known = asked.all("portal-token") == ["new"]
        return http(200) if known else http(401, b"", "Portal-Refusal: token_unknown")

    with serving(answer) as server, make(server.url, token_file=str(file)) as portal:
        with pytest.raises(TokenRefused):
            portal.call(PEER, "POST", "/a", content=b"x")
        file.write_text("new", "ascii")
        assert portal.call(PEER, "POST", "/a", content=b"x").status_code == 200
        assert [asked.all("portal-token") for asked in server.asked] == [["old"], ["old"], ["new"]]


@both
def test_an_entrance_may_be_a_unix_socket(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "entrance"
    with serving(http(200, PEERS), path=path), make(f"unix:{path}") as portal:
        assert portal.peers()[0].name == "Bob"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda url: monkeypatch.setenv("PORTAL_CORE_URL", url)


def test_the_modules_functions_follow_the_environment(environment: Callable[[str], None]) -> None:
    with serving(http(200, PEERS)) as one, serving(http(200, b"[]")) as other:
        environment(one.url)
        (bob,) = portal_peers.peers()
        assert (bob.name, repr(bob), bob.is_reachable) == ("Bob", "Peer('Bob', abcdef)", True)
        environment(other.url)
        assert portal_peers.peers() == []


def test_each_method_has_its_name() -> None:
    with serving(http(200, PEERS), http(200)) as server, Portal(server.url) as portal:
        (bob,) = portal.peers()
        calls: list[Callable[..., httpx.Response]] = [
            bob.get, bob.head, bob.options, bob.post, bob.put, bob.patch, bob.delete,
        ]  # fmt: skip
        for call in calls:
            call("/x", params={"a": 1})
        bob.request("REPORT", "/x?a=1")
        told: Any = [asked.head.split(b" ")[:2] for asked in server.asked[1:]]
    names = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "REPORT"]
    target = b"/internal/call_peer/abcdefg/x?a=1"
    assert told == [[name.encode(), target] for name in names]


def test_a_peer_is_known_by_its_id() -> None:
    with serving(http(200, PEERS)) as server, Portal(server.url) as portal:
        assert {*portal.peers(), *portal.peers()} == set(portal.peers())
