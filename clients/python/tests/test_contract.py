"""The fake and real Portals, held to the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest

from apps import echo
from both import BOTH, Client, Waiting
from portal_peers import CallNotCarried, NoSuchPeer, PeerUnavailable, Refused, Settings
from portal_peers.fake import FakePortal, RecordedCall
from portal_peers.testing import Portals


@dataclass
class Stage:
    """A Portal whose app may know Bob, whose app answers with what it got."""

    settings: Settings
    bob: str
    lose_bob: Callable[[], None]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.more)])
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "real":
        portals: Portals = request.getfixturevalue("portals")
        ada, bob = portals(echo)
        return Stage(ada.settings, bob.id, bob.stop)
    fake = FakePortal("Ada")
    peer = fake.add_peer("Bob")
    peer.handle(_echoed)

    def lose_bob() -> None:
        peer.is_reachable = False

    return Stage(fake.settings, peer.id, lose_bob)


def _echoed(call: RecordedCall) -> httpx.Response:
    status = int(call.path.rpartition("/")[2]) if "/status/" in call.path else 200
    told = {"method": call.method, "target": call.target.decode(), "body": call.content.decode()}
    away = {"location": call.path.partition("/to")[2]} if "/to/" in call.path else {}
    return httpx.Response(307 if away else status, json=told, headers=away)


def test_what_an_app_can_rely_on(stage: Stage) -> None:
    for make in BOTH:
        with make(settings=stage.settings) as portal:
            _the_peers(portal, stage.bob)
            _the_calls(portal, stage.bob)
            _the_refusals(portal, stage.bob)
    stage.lose_bob()
    with Waiting(settings=stage.settings) as portal:
        _the_peer_that_is_away(portal, stage.bob)


def _the_peers(portal: Client, bob: str) -> None:
    (facts,) = portal.peers()
    assert facts == (bob, "Bob", True)
    assert portal.peers("OB") == [facts]
    assert portal.peers("ada") == []
    assert portal.peer(bob) == portal.peer(bob[:6]) == facts
    own = portal.whoareyou()
    assert {"id", "name", "email", "description", "is_default", "public_key_pem", "domain"} == set(
        own
    )
    assert own["name"] == "Ada"


def _the_calls(portal: Client, bob: str) -> None:
    got = portal.call(bob, "POST", "/peer/%41b?x=%20&&", params={"y": "1"}, content=b"hello")
    told = got.json()
    assert (told["method"], told["body"]) == ("POST", "hello")
    assert told["target"] == "/peer/%41b?x=%20&&&y=1"
    assert portal.call(bob[:6], "GET", "/peer/").json()["target"] == "/peer/"
    assert portal.call(bob, "GET", "/peer/status/404").status_code == 404
    redirected = portal.call(bob, "PUT", "/peer/to/peer/x", content=b"x", follow_redirects=True)
    told = redirected.json()
    assert (told["method"], told["target"], told["body"]) == ("PUT", "/peer/x", "x")
    head = portal.call(bob, "HEAD", "/peer/x")
    assert (head.status_code, head.content) == (200, b"")


def _the_refusals(portal: Client, bob: str) -> None:
    stranger = "b" * 103
    for ask in (partial(portal.peer, stranger), partial(portal.call, stranger, "GET", "/peer/")):
        assert _refusal(ask, NoSuchPeer) == ("no_such_peer", 404, "portal")
    for path, told in {
        "/peer/../x": ("bad_target", 400, "portal"),
        "/peer/%2e%2E/x": ("bad_target", 400, "portal"),
        f"/{'x' * 8192}": ("target_too_long", 414, "portal"),
    }.items():
        assert _refusal(partial(portal.call, bob, "GET", path), CallNotCarried) == told


def _refusal(ask: Callable[[], Any], kind: type[Refused]) -> tuple[str, int, str]:
    with pytest.raises(kind) as caught:
        ask()
    error = caught.value
    assert error.response is not None
    assert error.response.headers["content-type"] == "application/problem+json"
    assert error.response.headers["cache-control"] == "no-store"
    return error.code, error.status, error.by


def _the_peer_that_is_away(portal: Client, bob: str) -> None:
    for method in ("GET", "POST"):
        ask = partial(portal.call, bob, method, "/peer/x")
        assert _refusal(ask, PeerUnavailable) == ("peer_unreachable", 502, "portal")
