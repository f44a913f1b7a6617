"""Which peers an app is told of, and that hidden and unknown ones look alike to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.patience import soon
from tests.wire.conftest import SITE, WIDE, World
from tests.wire.harness.portals import Portal, contact, reserve_port
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import sign_call

TWIN, HIDDEN_TWIN = "aaaaaa" + "b" * 97, "aaaaaa" + "c" * 97
HIDDEN, UNKNOWN = "hhhhhh" + "d" * 97, "nnnnnn" + "d" * 97
SOON = 2.0
"""A second, as promised, and one more for a busy machine."""


class Eve:
    """A Portal whose apps know all, some or none of its peers; one of those, Bob, is reachable."""

    def __init__(self, portal: Portal, bob: Portal) -> None:
        self.portal = portal
        self.bob = bob

    def get(self, app: str, path: str) -> Raw:
        token = ("Portal-Token", self.portal.token(app))
        return exchange(self.portal.apps, request("GET", path, ("Host", "portal_core"), token))

    def names(self, app: str, query: str = "") -> list[str]:
        got = self.get(app, f"/protected/peers{query}")
        assert got.status == 200
        return [peer["name"] for peer in got.json()]


@pytest.fixture(scope="module")
def eve(cast: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eve]:
    with ExitStack() as stack:
        portal = Portal(tmp_path_factory.mktemp("eve"), "Eve")
        stack.callback(portal.release)
        app = stack.enter_context(Recorder())
        for name in ("every", "some", "none", "fresh", "changing"):
            portal.add_app(name, SITE if name == "fresh" else WIDE, app.port)
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        portal.knows(
            cast.bob.as_contact(),
            contact(TWIN, "Twin", refusing, refusing),
            contact(HIDDEN_TWIN, "Other Twin", refusing, refusing),
            contact(HIDDEN, "Hidden Björk", refusing, refusing),
            contact(cast.cleo.public.portal_id, "Cleo", refusing, refusing),
            apps={
                "every": "all",
                "some": frozenset({cast.bob.id, TWIN}),
                "none": "none",
            },
        )
        yield Eve(portal.start(), cast.bob)


def test_an_app_is_told_of_all_some_or_none_in_the_owners_order(eve: Eve) -> None:
    assert eve.names("every") == ["Bob", "Twin", "Other Twin", "Hidden Björk", "Cleo"]
    assert eve.names("some") == ["Bob", "Twin"]
    assert eve.names("none") == []
    assert eve.names("fresh") == []


def test_a_peer_is_its_id_its_name_its_key_and_whether_it_answers(eve: Eve) -> None:
    """The key is PEM, and null where the peer hasn't proved it yet: so existing software has it."""
    pem = eve.bob.key.public.pem
    bob: dict[str, Any] = {"id": eve.bob.id, "name": "Bob"}
    bob |= {"public_bytes_b64": pem, "is_reachable": True}
    twin: dict[str, Any] = {"id": TWIN, "name": "Twin"}
    twin |= {"public_bytes_b64": None, "is_reachable": False}

    assert eve.get("some", "/protected/peers").json() == [bob, twin]
    assert eve.get("some", f"/protected/peers/{eve.bob.id}").json() == bob
    assert eve.get("some", f"/protected/peers/{eve.bob.id[:6]}").json() == bob
    assert eve.get("some", f"/protected/peers/{TWIN}").json() == twin


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?name=", ["Bob", "Twin", "Other Twin", "Hidden Björk", "Cleo"]),
        ("?name=twin", ["Twin", "Other Twin"]),
        ("?name=BJ%C3%96", ["Hidden Björk"]),
        ("?name=other+t", ["Other Twin"]),
        ("?name=%25", []),
        ("?name=_", []),
        ("?other=x", ["Bob", "Twin", "Other Twin", "Hidden Björk", "Cleo"]),
    ],
)
def test_the_list_can_be_searched_by_name(eve: Eve, query: str, names: list[str]) -> None:
    assert eve.names("every", query) == names


def test_a_search_finds_no_hidden_peer(eve: Eve) -> None:
    assert eve.names("some", "?name=hidden") == []


@pytest.mark.parametrize("path", ["/protected/peers/{}", "/internal/call_peer/{}/x"])
def test_hidden_and_unknown_peers_look_alike(eve: Eve, path: str) -> None:
    hidden, unknown = (eve.get("some", path.format(peer)) for peer in (HIDDEN, UNKNOWN))

    assert hidden.code == "no_such_peer"
    assert hidden.comparable == unknown.comparable
    assert hidden.status == 404


@pytest.mark.parametrize(
    "peer",
    [
        "aaaaa", "aaaaaa", HIDDEN[:6], HIDDEN_TWIN, TWIN.upper(), TWIN + "b", "%", "_", "%25",
        "%61" + TWIN[1:], "*", "..", "%2e%2e", "-", "x@evil.test%23", "127.0.0.1", "aaaaaab%",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/protected/peers/{}", "/internal/call_peer/{}/x"])
def test_what_doesnt_name_exactly_one_known_peer_is_no_peer(eve: Eve, path: str, peer: str) -> None:
    assert eve.get("some", path.format(peer)).code == "no_such_peer"


def test_the_list_has_two_paths(eve: Eve) -> None:
    for query in ("", "?name=twin"):
        with_slash, without = (
            eve.get("some", f"/protected/peers{slash}{query}") for slash in ("/", "")
        )
        assert with_slash.status == 200
        assert with_slash.json() == without.json()
    bare = exchange(eve.portal.apps, request("GET", "/protected/peers/", ("Host", "portal_core")))
    assert (bare.status, bare.code) == (401, "token_required")


@pytest.mark.parametrize("fields", [(), ("token",)])
def test_anybody_at_the_listener_is_told_that_it_is_there_and_nobody_is_known(
    eve: Eve, fields: tuple[str, ...]
) -> None:
    """An app is no device; and nothing tells one app what another one is."""
    shown = [("Portal-Token", eve.portal.token("some")) for _ in fields]

    def got(path: str, *more: tuple[str, str]) -> Any:
        asked = request("GET", path, ("Host", "portal_core"), *shown, *more)
        return exchange(eve.portal.apps, asked).json()

    nobody = {"type": "anonymous", "id": None, "name": None}
    assert got("/public/health") == {"status": "ok"}
    assert got("/public/meta/whoami") == nobody
    assert got("/public/meta/whoami", ("Cookie", "portal-terminal=x; authorization=y")) == nobody
    forged = (("X-Ptl-Client-Type", "terminal"), ("X-Ptl-Client-Id", "x"))
    assert got("/public/meta/whoami", *forged) == nobody


@pytest.mark.parametrize(
    "path", ["/internal/call_peer//x", "/internal/call_peer/", "/internal/", "/protected/peers//"]
)
def test_an_empty_id_is_no_peer(eve: Eve, path: str) -> None:
    assert eve.get("every", path).status == 404


def test_one_character_more_tells_twins_apart(eve: Eve) -> None:
    assert eve.get("some", "/protected/peers/aaaaaab").json()["id"] == TWIN
    assert eve.get("some", "/protected/peers/aaaaaac").code == "no_such_peer"
    assert eve.get("every", "/protected/peers/aaaaaac").json()["id"] == HIDDEN_TWIN


def test_a_host_that_fits_a_hidden_twin_too_leads_nowhere(eve: Eve) -> None:
    contacts = eve.portal.state / "contacts.yaml"
    port = contacts.read_text().partition("aaaaaa.portal.localhost:")[2].split("\n")[0]
    token = ("Portal-Token", eve.portal.token("some"))
    for host in (f"some.aaaaaa.portal.localhost:{port}", f"some.hhhhhh.portal.localhost:{port}"):
        target = f"http://{host}/x"

        got = exchange(eve.portal.apps, request("GET", target, ("Host", host), token))

        assert got.code == "not_a_peer_host"


def test_the_setting_holds_in_the_other_direction_and_within_a_second(
    eve: Eve, cast: World
) -> None:
    def call() -> Raw:
        return exchange(eve.portal.public, sign_call(cast.cleo, eve.portal, "changing").raw)

    assert call().code == "not_allowed"
    assert eve.names("changing") == []

    done = eve.portal.command("apps", "allow", "changing", cast.cleo.public.portal_id)
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: call().status == 200) < soon(SOON)
    assert eve.names("changing") == ["Cleo"]

    assert eve.portal.command("apps", "allow", "changing", "none").returncode == 0
    assert eventually(lambda: call().status == 403) < soon(SOON)
    assert eve.names("changing") == []


def test_a_peer_hidden_from_an_app_cant_call_it(world: World) -> None:
    for app in ("wide", "box"):
        call = sign_call(world.dora, world.bob, app, b"/public")
        got = world.bobs(call.raw)
        assert got.code == "not_allowed"
        assert call.believes(got, world.bob.id)
    assert world.bob_app.received == b""
    assert world.bobs(sign_call(world.dora, world.bob, "site").raw).status == 200


def test_the_log_tells_the_owner_which_it_was(eve: Eve) -> None:
    path = f"/internal/call_peer/{HIDDEN}/x"
    request_id = eve.get("some", path).one("x-request-id").decode()

    eventually(lambda: eve.portal.lines(request_id=request_id))
    (line,) = eve.portal.lines(request_id=request_id)
    assert (line["app"], line["path"], line["code"]) == ("some", path, "no_such_peer")
    assert f"['{HIDDEN}']" in line["detail"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/protected/peers", "method_not_allowed"),
        ("GET", "/protected", "not_found"),
        ("GET", "/protected/peers/a/b", "not_found"),
        ("GET", "/public/../protected/peers", "not_found"),
        ("GET", "/public/meta/%77hoareyou", "not_found"),
        ("GET", "/", "not_found"),
    ],
)
def test_there_is_nothing_else_here(eve: Eve, method: str, path: str, code: str) -> None:
    token = ("Portal-Token", eve.portal.token("every"))
    raw = request(method, path, ("Host", "portal_core"), token)

    assert exchange(eve.portal.apps, raw).code == code


def test_who_meant_a_server_of_its_own_is_told_what_to_do(eve: Eve) -> None:
    """As by ``http://localhost:5984/`` where NO_PROXY doesn't name that."""
    token = ("Portal-Token", eve.portal.token("every"))
    raw = request("GET", "http://localhost:5984/", ("Host", "localhost:5984"), token)

    got = exchange(eve.portal.apps, raw)

    assert got.code == "not_found"
    assert "NO_PROXY" in got.json()["detail"]
