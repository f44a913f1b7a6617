"""The fake Portal: scripted peers, refusals, and what was called."""

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from email.message import Message

import httpx
import pytest

import portal_peers
from portal_peers import (
    AppUnavailable,
    AsyncPortal,
    Busy,
    NotAllowed,
    OutcomeUnknown,
    Portal,
    TokenRefused,
)
from portal_peers.fake import FakePortal


def test_an_app_that_names_no_portal_finds_the_fake(fake_portal_core: FakePortal) -> None:
    bob = fake_portal_core.add_peer("Bob")
    bob.respond("/peer/entries", json=[1, 2])
    (peer,) = portal_peers.peers()
    assert peer.get("/peer/entries").json() == [1, 2]
    with Portal() as portal:
        assert portal.peers() == [peer]


async def test_so_does_one_with_an_event_loop(fake_portal_core: FakePortal) -> None:
    fake_portal_core.add_peer("Bob").respond(content=b"x" * 10)
    async with AsyncPortal() as portal:
        (bob,) = await portal.peers()
        assert (await bob.post("/peer/x", json={"a": 1})).content == b"x" * 10
        async with bob.stream("PUT", "/peer/y", content=_pieces()) as response:
            assert [piece async for piece in response.aiter_bytes()] == [b"x" * 10]
    first, second = fake_portal_core.calls
    assert (first.json(), first.path, second.content) == ({"a": 1}, "/peer/x", b"abc")


async def _pieces() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"c"


def test_calls_are_recorded_as_the_peers_app_would_get_them(fake_portal_core: FakePortal) -> None:
    bob = fake_portal_core.add_peer("Bob")
    portal_peers.peers()[0].post("/peer/%41?a=1&a=2&b=", headers={"X-Own": "1"}, content="hé")
    (call,) = bob.calls
    assert (call.method, call.target, call.peer) == ("POST", b"/peer/%41?a=1&a=2&b=", bob)
    assert call.query == {"a": ["1", "2"], "b": [""]}
    assert (call.headers["x-own"], call.content) == ("1", "hé".encode())
    assert "host" not in call.headers


def test_the_last_script_that_fits_answers(fake_portal_core: FakePortal) -> None:
    bob = fake_portal_core.add_peer("Bob")
    (peer,) = portal_peers.peers()
    assert peer.get("/x").status_code == 404
    bob.respond(status=418)
    bob.respond("/x", method="post", status=201)
    bob.handle(lambda call: httpx.Response(200, text=call.method), "/y")
    told = [peer.get("/x"), peer.post("/x"), peer.put("/y")]
    assert [each.status_code for each in told] == [418, 201, 200]
    assert told[-1].text == "PUT"


def test_refusals_come_from_whose_proxy_gives_them(fake_portal_core: FakePortal) -> None:
    bob = fake_portal_core.add_peer("Bob")
    (peer,) = portal_peers.peers()
    bob.refuse("not_allowed", "/private")
    with pytest.raises(NotAllowed) as caught:
        peer.get("/private")
    assert caught.value.by == "peer"
    bob.refuse("rate_limited", by="peer")
    with pytest.raises(Busy) as limited:
        peer.get("/x")
    assert (limited.value.by, limited.value.is_retriable) == ("peer", True)
    bob.refuse("outcome_unknown", method="POST")
    with pytest.raises(OutcomeUnknown) as unknown:
        peer.post("/x")
    assert (unknown.value.by, unknown.value.perhaps_carried_out) == ("portal", True)
    bob.refuse("app_timeout")
    with pytest.raises(AppUnavailable):
        peer.get("/x")
    fake_portal_core.refuse("token_unknown")
    with pytest.raises(TokenRefused):
        portal_peers.peers()
    fake_portal_core.refuse("")
    assert portal_peers.peers() == [peer]


def test_an_app_cannot_be_made_to_refuse(fake_portal_core: FakePortal) -> None:
    """A Portal takes its marks off what apps answer."""
    bob = fake_portal_core.add_peer("Bob")
    bob.respond(status=403, headers={"Portal-Refusal": "not_allowed"})
    bob.respond("/b", status=403, headers={"Portal-Peer-Refusal": "not_allowed"})
    (peer,) = portal_peers.peers()
    assert [peer.get(path).status_code for path in ("/a", "/b")] == [403, 403]


def test_what_calls_by_other_means_finds_it_at_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakePortal()
    bob = fake.add_peer("Bob")
    bob.respond("/peer/entries", status=201, json=[1], headers={"X-Own": "1"})
    bob.refuse("not_allowed", "/private")
    with fake.served("box") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        (told,) = json.loads(_ask("GET", "http://portal_core/protected/peers")[2])
        assert told == {"id": bob.id, "name": "Bob", "is_reachable": True}
        by_path = f"http://portal_core/internal/call_peer/{bob.id}"
        by_host = f"http://box.{bob.id[:6]}.portal.localhost:9180/peer/entries"
        got = _ask("POST", f"{by_path}/peer/entries?q=%41", iter([b"a", b"b"]))
        assert (got[0], got[2], got[1]["X-Own"]) == (201, b"[1]", "1")
        assert _ask("PUT", by_host, b'{"a": 1}')[0] == 201
        refused = _ask("GET", f"{by_path}/private")
        assert (refused[0], refused[1]["Portal-Peer-Refusal"]) == (403, "not_allowed")
        assert [peer.id for peer in portal_peers.peers()] == [bob.id]
    first, second = fake.calls
    assert (first.target, first.content) == (b"/peer/entries?q=%41", b"ab")
    assert (second.method, second.json()) == ("PUT", {"a": 1})
    assert "proxy-authorization" not in second.headers


def _ask(
    method: str, url: str, data: bytes | Iterator[bytes] | None = None
) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
