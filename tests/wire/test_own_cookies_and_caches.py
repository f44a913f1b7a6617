"""What of an app's response goes on: no page of somebody's to caches, no cookie to others."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.core.terminals.terminals import RENEW_AFTER, TerminalList
from tests.wire.harness.raw import Raw, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import Asked, answer_bytes, sign_call, signed_answer
from tests.wire.harness.sockets import RawSocket, handshake, switched
from tests.wire.harness.terminals import Device, pair, remove, terminal_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import World

PUBLIC = (
    ("Cache-Control", "public, max-age=60"), ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
    ("X-Accel-Expires", "60"), ("CDN-Cache-Control", "max-age=60"),
    ("Surrogate-Control", "max-age=60"), ("Vary", "Cookie"),
)  # fmt: skip
SHARED = ("x-accel-expires", "cdn-cache-control", "surrogate-control")


@pytest.fixture(scope="module")
def phone_(cast: World) -> Iterator[Device]:
    phone = pair(cast.bob)
    yield phone
    remove(cast.bob, phone.id)


@pytest.fixture
def phone(phone_: Device, world: World) -> Device:
    del world
    return phone_


def _ask(world: World, path: str, *fields: tuple[str, str]) -> Raw:
    return world.bobs(request("GET", path, ("Host", world.bob.app_host("box")), *fields))


# --- caches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/private", "/public/x"])
def test_what_a_device_got_no_cache_may_keep(world: World, phone: Device, path: str) -> None:
    world.bob_app.script(response(200, *PUBLIC, body=b"mine"))
    got = _ask(world, path, phone.cookie)
    assert (got.status, got.body) == (200, b"mine")
    assert got.one("cache-control") == b"max-age=60, private"
    assert got.one("vary") == b"Cookie"
    assert got.one("expires").endswith(b"2099 00:00:00 GMT")
    assert [got.all(name) for name in SHARED] == [[], [], []]

    world.bob_app.script(response(200, body=b"mine"))
    assert _ask(world, path, phone.cookie).one("cache-control") == b"private"


def test_what_a_stranger_got_a_cache_may_keep(world: World) -> None:
    world.bob_app.script(response(200, *PUBLIC))
    got = _ask(world, "/public/x")
    for name, value in PUBLIC:
        assert got.one(name.lower()).decode() == value
    world.bob_app.script(response(200))
    assert _ask(world, "/public/x").all("cache-control") == []


def test_beside_our_cookie_nothing_is_stored(world: World) -> None:
    tablet = pair(world.bob, "Tablet")
    seen = int(time.time()) - RENEW_AFTER - 1
    terminal_store(world.bob).change(
        lambda before: TerminalList(
            tuple(
                replace(each, paired=seen, seen=seen) if each.id == tablet.id else each
                for each in before.terminals
            )
        )
    )
    renewed: list[Raw] = []

    def came() -> bool:
        world.bob_app.script(response(200, *PUBLIC))
        got = _ask(world, "/private", tablet.cookie)
        if got.all("set-cookie"):
            renewed.append(got)
        return bool(renewed)

    eventually(came)
    assert renewed[0].all("cache-control") == [b"no-store"]
    assert [renewed[0].all(name) for name in SHARED] == [[], [], []]
    remove(world.bob, tablet.id)


def test_a_signed_response_no_cache_may_keep(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide", b"/x")
    world.bob_app.script(response(200, *PUBLIC, body=b"answer"))
    got = world.bobs(call.raw)
    assert got.one("cache-control") == b"no-store"
    assert got.one("portal-app-cache-control") == b"public, max-age=60"
    assert got.one("portal-app-expires").endswith(b"GMT")
    assert [got.all(name) for name in (*SHARED, "expires")] == [[], [], [], []]
    assert call.believes(got, world.bob.id)


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_a_calling_app_gets_what_the_app_said_of_caches(world: World, mode: str) -> None:
    world.bob_app.script(response(200, *PUBLIC, body=b"answer"))
    got = world.ask_sealed() if mode == "sealed" else world.ask(world.bob.id)
    assert (got.status, got.body) == (200, b"answer")
    for name, value in PUBLIC:
        assert got.one(name.lower()).decode() == value
    assert not [name for name, _ in got.fields if name.startswith(b"portal-app-")]


def test_a_signed_refusal_no_cache_may_keep(world: World) -> None:
    call = sign_call(world.mallory, world.bob, "wide", b"/x")
    got = world.bobs(call.raw)
    assert (got.status, got.one("cache-control")) == (403, b"no-store")
    assert call.believes(got, world.bob.id)


@pytest.mark.parametrize(
    "target",
    ["/.well-known/portal-identity", "/core/public/meta/whoareyou", "/.well-known/ohttp-gateway",
     "/nothing", "/core/public/pair"],
)  # fmt: skip
def test_our_own_pages_no_cache_may_keep(world: World, target: str) -> None:
    got = world.bobs(request("GET", target, ("Host", world.bob.host)))
    assert got.all("cache-control") == [b"no-store"]


def test_who_is_refused_or_sent_to_pair_isnt_kept_either(world: World) -> None:
    page = ("Accept", "text/html")
    navigating = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), page)
    for fields in ((), (page,), navigating):
        got = _ask(world, "/private", *fields)
        assert got.status in {303, 401}
        assert got.all("cache-control") == [b"no-store"]


# --- cookies ----------------------------------------------------------------------------------


def _cookies(world: World) -> tuple[list[tuple[str, str]], list[bytes]]:
    portal = world.bob.host.partition(":")[0]
    own = f"site.{portal}"
    passing = ["a=1", f"b=2; Domain={own}", f"c=3; domain=.{own.upper()}; Path=/", "d=4; Domain=",
               f"e=5; Domain=x.{own}"]  # fmt: skip
    tossed = [f"f=6; Domain={portal}", f"g=7; DOMAIN = .{portal}", f"h=8; Domain=box.{portal}",
              f"i=9; Domain={own}; Domain={portal}"]  # fmt: skip
    sent = [("Set-Cookie", value) for pair in zip(passing, tossed, strict=False) for value in pair]
    return [*sent, ("Set-Cookie", passing[-1])], [value.encode() for value in passing]


def test_an_app_sets_cookies_for_its_own_host_alone(world: World) -> None:
    sent, passing = _cookies(world)
    world.bob_app.script(response(200, *sent))
    assert world.stranger("site", "/").all("set-cookie") == passing
    told = "site: its cookie f isn't handed on: its Domain is more than the app's own host"
    eventually(lambda: told in world.bob.log)
    assert world.bob.log.count(told) == 1


def test_in_a_handshake_too(world: World) -> None:
    sent, passing = _cookies(world)
    world.bob_app.script(switched(*sent), close=True)
    with RawSocket(world.bob.public) as wire:
        head = wire.open(handshake(world.bob.app_host("site"), "/"))
    cookies = [line.partition(b": ")[2] for line in head.split(b"\r\n") if b"ookie: " in line]
    assert cookies == passing


def test_for_the_name_that_was_asked_for(world: World) -> None:
    sent = (
        ("Set-Cookie", "a=1; Domain=site.bob.example"),
        ("Set-Cookie", "b=2; Domain=bob.example"),
    )
    world.bob_app.script(response(200, *sent))
    got = world.bobs(request("GET", "/", ("Host", "Site.Bob.Example")))
    assert got.all("set-cookie") == [b"a=1; Domain=site.bob.example"]
    world.bob_app.script(response(200, *sent))
    assert world.stranger("site", "/").all("set-cookie") == []


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_to_a_peers_app_too(world: World, mode: str) -> None:
    portal = world.bob.host.partition(":")[0]
    sent = (("Set-Cookie", f"a=1; Domain=wide.{portal}"), ("Set-Cookie", f"b=2; Domain={portal}"))
    world.bob_app.script(response(200, *sent))
    got = world.ask_sealed() if mode == "sealed" else world.ask(world.bob.id)
    assert got.all("set-cookie") == [f"a=1; Domain=wide.{portal}".encode()]


def test_a_peer_that_lets_them_through_sets_none(world: World) -> None:
    portal = world.fake.key.public.portal_id[:6] + ".portal.localhost"
    fields = tuple(
        (b"set-cookie", f"a=1; Domain={domain}".encode())
        for domain in ("portal.localhost", portal, f"wide.{portal}")
    )

    def careless(asked: Asked) -> bytes:
        return answer_bytes(200, signed_answer(world.fake.key, asked.question, fields=fields), b"")

    world.fake.response = careless
    got = world.ask(world.fake.key.public.portal_id)
    assert got.all("set-cookie") == [f"a=1; Domain=wide.{portal}".encode()]
