"""Redirects and links of a peer's app: whoever follows them stays on the way of the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import Raw, exchange, request, response

if TYPE_CHECKING:
    from proxy.core.access.policy import Mode

    from .conftest import World


@dataclass
class Way:
    """How Ada's or Eda's app ``wide`` calls Bob's."""

    mode: Mode
    form: str

    def ask(self, world: World, target: str, *fields: tuple[str, str], method: str = "GET") -> Raw:
        caller = world.caller(self.mode)
        token = ("Portal-Token", caller.token("wide"))
        if self.form == "path":
            url = f"/internal/call_peer/{world.bob.id[:6]}{target}"
            host = ("Host", "portal_core")
        else:
            url = f"http://{world.bob.told_host('wide').upper()}{target}"
            host = ("Host", world.bob.told_host("wide"))
        return exchange(caller.apps, request(method, url, host, token, *fields))

    def below(self, world: World) -> str:
        """Return what stands before a path of Bob's app."""
        if self.form == "path":
            return f"/internal/call_peer/{world.bob.id[:6]}"
        return f"http://{world.bob.told_host('wide').upper()}"


ways = pytest.mark.parametrize(
    "way",
    [Way("signed", "path"), Way("signed", "proxy"), Way("sealed", "path"), Way("sealed", "proxy")],
    ids=lambda way: f"{way.mode}-{way.form}",
)


@ways
def test_whole_uris_of_the_peers_app_lead_back_on_the_way_of_the_call(
    sealed: World, way: Way
) -> None:
    own, below = f"https://{sealed.bob.app_host('wide')}", way.below(sealed)
    elsewhere = f"https://{sealed.bob.app_host('other')}/x"
    sealed.bob_app.script(
        response(
            307, ("Location", f"{own}/y/?a=%2f#b"), ("Content-Location", f"{own}/z"),
            ("Link", f'<{own}/p2>; rel="next"; title="<{own}/>", <{elsewhere}>'),
            ("Link", f"<{elsewhere}>"), ("X-Link", f"<{own}/x>"), body=f"see {own}/y".encode(),
        )
    )  # fmt: skip

    got = way.ask(sealed, "/y?a")

    assert got.status == 307
    assert got.one("location").decode() == f"{below}/y/?a=%2f#b"
    assert got.one("content-location").decode() == f"{below}/z"
    links = f'<{below}/p2>; rel="next"; title="<{own}/>", <{elsewhere}>', f"<{elsewhere}>"
    assert [line.decode() for line in got.all("link")] == list(links)
    assert got.one("x-link").decode() == f"<{own}/x>"
    assert got.body.decode() == f"see {own}/y"


@ways
def test_what_is_relative_stays_below_the_peer(sealed: World, way: Way) -> None:
    by_path, below = way.form == "path", way.below(sealed)
    cookies = ("a=b; Path=/y; HttpOnly", "c=d; Path=/", "e=f")
    sealed.bob_app.script(
        response(
            201, ("Location", "/y/7"), ("Content-Location", "../../../protected/peers"),
            ("Link", "</p2>; rel=next, <?page=3>; rel=last"),
            *(("Set-Cookie", cookie) for cookie in cookies),
        )
    )  # fmt: skip

    got = way.ask(sealed, "/y/", method="POST")

    told = {name: got.one(name).decode() for name in ("location", "content-location", "link")}
    assert told == {
        "location": f"{below}/y/7" if by_path else "/y/7",
        "content-location": f"{below}/protected/peers" if by_path else "../../../protected/peers",
        "link": f"<{below if by_path else ''}/p2>; rel=next, <?page=3>; rel=last",
    }
    expected = [c.replace("Path=", f"Path={below}") if by_path else c for c in cookies]
    assert [line.decode() for line in got.all("set-cookie")] == expected
    if by_path:
        sealed.bob_app.script(response(200, body=b"there"))
        followed = request(
            "GET", told["location"], ("Host", "portal_core"),
            ("Portal-Token", sealed.caller(way.mode).token("wide")),
        )  # fmt: skip
        assert exchange(sealed.caller(way.mode).apps, followed).body == b"there"
        assert sealed.bob_app.requests[-1].target == b"/y/7"


@ways
def test_a_peer_leads_nobody_to_a_third_one_by_a_name_of_the_callers_portal(
    sealed: World, way: Way
) -> None:
    """Its caller would be sent, body and all, to call somebody else in its own name."""
    third, own = f"/internal/call_peer/{sealed.gone}/x", f"/internal/call_peer/{sealed.bob.id}/back"
    port = sealed.caller(way.mode).apps
    for at in ("http://portal_core", "HTTP://a@SHARD_CORE.:80", f"//127.0.0.1:{port}"):
        sealed.bob_app.script(
            response(307, ("Location", at + third), ("Link", f"<{at}{third}>"), body=b"")
        )
        got = way.ask(sealed, "/x", method="POST")
        assert got.one("location").decode() == f"{way.below(sealed)}{third}"
        assert got.one("link").decode() == f"<{way.below(sealed)}{third}>"
    sealed.bob_app.script(response(307, ("Location", f"http://portal_core{own}"), body=b""))
    back = f"http://portal_core{own}"
    assert way.ask(sealed, "/x", method="POST").one("location").decode() == back


@ways
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_redirect_to_https_alone_is_refused_and_its_owner_told_of_the_setting(
    sealed: World, way: Way, method: str
) -> None:
    path = f"/itself/{way.mode}/{way.form}/{method}"
    location = f"https://{sealed.bob.told_host('wide')}{path}?x"
    sealed.bob_app.script(
        response(307, ("Location", location), body=None if method == "HEAD" else b"")
    )

    got = way.ask(sealed, f"{path}?x", method=method)

    assert got.status == 502
    if method != "HEAD":
        assert got.json()["code"] == "redirects_to_itself"
        assert "peer_scheme" in got.json()["title"]
    sealed.bob.settled_log()
    (line,) = sealed.bob.lines(path=path)
    assert (line["code"], line["outcome"]) == ("redirects_to_itself", "refused")
    assert "peer_scheme: https" in line["detail"]
    assert "wide" in line["detail"]
    assert sealed.bob_app.request.one("x-forwarded-proto") == b"http"


def test_a_stranger_gets_such_a_redirect_as_it_is(world: World) -> None:
    location = f"https://{world.bob.app_host('site')}/x"
    world.bob_app.script(response(301, ("Location", location), ("Set-Cookie", "a=b; Path=/x")))

    got = world.stranger("site", "/x")

    assert (got.status, got.one("location").decode()) == (301, location)
    assert got.one("set-cookie") == b"a=b; Path=/x"


@pytest.mark.parametrize("mode", ["signed", "sealed"])
@pytest.mark.parametrize(
    ("destination", "arrives"),
    [
        ("http://portal_core/internal/call_peer/{short}/a%2Fb?c", "/a%2Fb?c"),
        ("/internal/call_peer/{full}/x", "/x"),
        ("http://Portal_Core:80/internal/call_peer/{short}", "/"),
        ("http://127.0.0.1:1/internal/call_peer/{short}//x", "//x"),
        ("http://{wide}/x", "http://{wide}/x"),
        ("https://{wide}:9/x", "http://{wide}/x"),
        ("/x", "/x"),
    ],
)
def test_a_destination_in_the_path_form_is_one_at_the_peer(
    sealed: World, mode: Mode, destination: str, arrives: str
) -> None:
    bob = sealed.bob
    names = {"short": bob.id[:6], "full": bob.id, "wide": bob.told_host("wide")}
    to = ("Destination", destination.format(**names))

    assert Way(mode, "path").ask(sealed, "/from", to, method="MOVE").status == 200

    arrived = sealed.bob_app.request
    assert arrived.one("destination").decode() == arrives.format(**names)


@pytest.mark.parametrize(
    "destination",
    ["/internal/call_peer/{other}/x", "http://portal_core/internal/call_peer//x",
     "/internal/call_peer/../x", "/internal/call_peer/{short}x/y"],
)  # fmt: skip
def test_nothing_is_moved_to_another_peer(world: World, destination: str) -> None:
    to = destination.format(other=world.gone, short=world.bob.id[:6])

    got = Way("signed", "path").ask(world, "/from", ("Destination", to), method="MOVE")

    assert (got.status, got.json()["code"]) == (400, "bad_field")
    assert world.bob_app.requests == []


def test_who_asks_for_what_is_for_peers_is_told_how(world: World) -> None:
    got = world.stranger("wide", "/x?secret")

    assert (got.status, got.json()["code"]) == (401, "proof_required")
    how = got.json()["detail"]
    assert f"http://{world.bob.told_host('wide')}/" in how
    assert f"http://portal_core/internal/call_peer/{world.bob.id[:6]}/" in how
    assert "HTTP_PROXY" in how
    assert "secret" not in how
    page = world.stranger("wide", "/x", ("Accept", "text/html"))
    assert b"HTTP_PROXY" in page.body
    assert "detail" not in world.stranger("box", "/x").json()
