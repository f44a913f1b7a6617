"""The cookie of the owner's devices on the wire: when it counts, and that no app gets it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.core.terminals.cookie import COOKIE_SECURE
from proxy.core.terminals.terminals import LIFETIME, RENEW_AFTER, Terminal, TerminalList
from tests.patience import soon
from tests.wire.harness.raw import Raw, exchange, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.harness.sockets import RawSocket, handshake, switched
from tests.wire.harness.terminals import HTML, NAME, Device, pair, remove, terminal_store, terminals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import World

OTHERS = f"{NAME}={'O' * 43}"


@pytest.fixture(scope="module")
def phone_(cast: World) -> Iterator[Device]:
    phone = pair(cast.bob)
    yield phone
    remove(cast.bob, phone.id)


@pytest.fixture
def phone(phone_: Device, world: World) -> Device:
    del world
    return phone_


def _ask(world: World, *fields: tuple[str, str], path: str = "/x", method: str = "GET") -> Raw:
    host = ("Host", world.bob.app_host("box"))
    return world.bobs(request(method, path, host, *fields))


# --- it reaches no app ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (["{ours}"], []),
        (["{ours}", "a=1"], ["a=1"]),
        (["a=1; {ours}; b=2"], ["a=1; b=2"]),
        (["a=1;{ours}", "{ours}", "b=2"], ["a=1", "b=2"]),
        (["{ours}; {ours}; a=1"], ["a=1"]),
        (['a="x y"; b=%41==;  c;{ours}'], ['a="x y"; b=%41==;  c']),
        (["a=1; {quoted}"], ["a=1"]),
        (["{secure}; a=1"], ["a=1"]),
        (['a="1; {ours}; b=2"'], ['a="1; b=2"']),
        (["{others}; a=1"], ["a=1"]),
        (["{name}; a=1"], ["a=1"]),
        (["{name} = x; a=1"], ["a=1"]),
    ],
)
def test_our_cookie_reaches_no_app_in_any_spelling(
    world: World, phone: Device, sent: list[str], left: list[str]
) -> None:
    words = {
        "ours": phone.cookie[1], "name": NAME, "quoted": f'{NAME}="{phone.token}"',
        "others": OTHERS, "secure": f"{COOKIE_SECURE.decode()}={phone.token}",
    }  # fmt: skip
    fields = [("Cookie", value.format_map(words)) for value in sent]
    assert _ask(world, *fields, path="/public/x").status == 200
    cookies = [value.decode() for value in world.bob_app.request.all("cookie")]
    assert [value.strip() for value in cookies] == left
    assert phone.token.encode() not in world.bob_app.received


@pytest.mark.parametrize("value", ["a=1", 'a="b;c"; d', "  x = y ;z", "portal-terminals=1; a", ""])
def test_other_cookies_pass_byte_for_byte(world: World, value: str) -> None:
    _ask(world, ("Cookie", value), path="/public/x")
    assert world.bob_app.request.all("cookie") == [value.strip().encode()]


def test_no_handshake_takes_the_cookie_to_an_app(world: World, phone: Device) -> None:
    world.bob_app.script(switched())
    own = ("Origin", f"http://{world.bob.app_host('box')}")
    with RawSocket(world.bob.public) as wire:
        wire.open(handshake(world.bob.app_host("box"), "/x", phone.cookie, ("Cookie", "a=1"), own))
    assert world.bob_app.request.all("cookie") == [b"a=1"]
    assert phone.token.encode() not in world.bob_app.received


@pytest.mark.parametrize("status", [200, 302, 404])
def test_an_app_sets_no_cookie_of_ours(world: World, status: int) -> None:
    name = COOKIE_SECURE.decode()
    forged = [f"{NAME}=x; Domain=y", f" {NAME} =x", f"{NAME.upper()}=", f"={NAME}=x", f"{name}=x"]
    lines = [("Set-Cookie", value) for value in ("a=1; Path=/", *forged, "b=portal-terminal")]
    world.bob_app.script(response(status, *lines))
    got = world.stranger("site", "/")
    assert got.all("set-cookie") == [b"a=1; Path=/", b"b=portal-terminal"]


# --- it counts for our own pages --------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_that_another_sites_page_forged_is_a_strangers(
    world: World, phone: Device, method: str
) -> None:
    own, portal = f"http://{world.bob.app_host('box')}", f"http://{world.bob.host}"
    sibling = f"http://8271dd.portal.localhost:{world.bob.public}"
    other_app = f"http://{world.bob.app_host('site')}"
    for origin in (sibling, other_app, "null", "https://evil.example", own + ".evil.example"):
        got = _ask(world, phone.cookie, ("Origin", origin), method=method)
        assert (got.status, got.code) == (401, "proof_required")
    assert world.bob_app.connections == 0
    for origin in (own, portal):
        assert _ask(world, phone.cookie, ("Origin", origin), method=method).status == 200


def test_a_link_from_anywhere_opens_a_private_page(world: World, phone: Device) -> None:
    came = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
    assert _ask(world, phone.cookie, HTML, *came, ("Sec-Fetch-Dest", "document")).status == 200
    framed = _ask(world, phone.cookie, HTML, *came, ("Sec-Fetch-Dest", "iframe"))
    assert framed.status == 401
    form = _ask(world, phone.cookie, HTML, *came, ("Sec-Fetch-Dest", "document"), method="POST")
    assert form.status == 401


@pytest.mark.parametrize("path", ["/private", "/public"])
def test_a_websocket_of_a_foreign_origin_gets_nothing_by_the_cookie(
    world: World, phone: Device, path: str
) -> None:
    world.bob_app.script(switched())
    host = world.bob.app_host("box")
    for origin in ("https://evil.example", "null", f"http://{world.bob.app_host('site')}"):
        asked = handshake(host, path, phone.cookie, ("Origin", origin))
        if path == "/private":
            got = exchange(world.bob.public, asked)
            assert (got.status, got.code) == (401, "proof_required")
            assert world.bob_app.connections == 0
        else:
            with RawSocket(world.bob.public) as wire:
                wire.open(asked)
            assert world.bob_app.request.one("x-ptl-client-type") == b"anonymous"
            world.bob_app.clear()
            world.bob_app.script(switched())
    with RawSocket(world.bob.public) as wire:
        wire.open(handshake(host, path, phone.cookie, ("Origin", f"http://{host}")))
    assert world.bob_app.request.one("x-ptl-client-type") == b"terminal"


# --- it can't be made, nor taken away ---------------------------------------------------------


def test_what_a_sibling_portal_tosses_lets_nobody_in_and_nobody_out(
    world: World, phone: Device
) -> None:
    """A Portal of the same domain may set cookies for all of it, in the same browser."""
    adas = pair(world.ada).cookie
    for tossed in (("Cookie", OTHERS), adas):
        assert _ask(world, tossed).status == 401
        assert _ask(world, tossed, phone.cookie).status == 200
        assert _ask(world, ("Cookie", f"{tossed[1]}; {phone.cookie[1]}")).status == 200
    for terminal in terminals(world.ada):
        remove(world.ada, terminal.id)


def test_a_device_that_is_removed_is_out_and_others_are_not(world: World, phone: Device) -> None:
    lost = pair(world.bob, "Lost")
    assert _ask(world, lost.cookie).status == 200
    remove(world.bob, lost.id)
    assert eventually(lambda: _ask(world, lost.cookie).status == 401) < soon(1.5)
    assert _ask(world, lost.cookie, HTML).status == 303
    assert _ask(world, phone.cookie).status == 200


def test_a_device_that_is_paired_elsewhere_is_known_at_once(world: World) -> None:
    """As by another process: this one reads the list again before it refuses."""
    known = pair(world.bob)
    store = terminal_store(world.bob)
    before = store.load()
    remove(world.bob, known.id)
    eventually(lambda: _ask(world, known.cookie).status == 401)
    store.change(lambda _: before)
    assert _ask(world, known.cookie).status == 200
    remove(world.bob, known.id)


# --- it lasts while it is used ----------------------------------------------------------------


def _seen_before(world: World, device: Device, seconds: float) -> None:
    seen = int(time.time() - seconds)
    _change(world, device, lambda each: replace(each, paired=seen, seen=seen))


def _change(world: World, device: Device, change: Callable[[Terminal], Terminal]) -> None:
    def changed(before: TerminalList) -> TerminalList:
        return TerminalList(
            tuple(change(each) if each.id == device.id else each for each in before.terminals)
        )

    terminal_store(world.bob).change(changed)


def _renewed(world: World, device: Device) -> str:
    """Ask for a private page until the cookie comes again; return it."""
    cookies: list[bytes] = []

    def came() -> bool:
        cookies.extend(_ask(world, device.cookie).all("set-cookie"))
        return bool(cookies)

    eventually(came)
    return cookies[0].decode()


def test_the_cookie_is_set_again_while_it_is_used(world: World) -> None:
    tablet = pair(world.bob, "Tablet")
    assert not _ask(world, tablet.cookie).all("set-cookie")
    _seen_before(world, tablet, RENEW_AFTER + 1)

    renewed = _renewed(world, tablet)

    assert renewed.startswith(f"{NAME}={tablet.token}; ")
    assert f"Max-Age={LIFETIME}" in renewed
    assert not _ask(world, tablet.cookie).all("set-cookie")
    remove(world.bob, tablet.id)


def test_the_cookie_is_set_again_though_a_public_page_was_the_first_of_the_day(
    world: World,
) -> None:
    tablet = pair(world.bob, "Tablet")
    paired = int(time.time()) - RENEW_AFTER - 1
    _change(world, tablet, lambda each: replace(each, paired=paired))  # and seen today
    assert _renewed(world, tablet)
    remove(world.bob, tablet.id)


def test_the_cookie_is_set_again_with_a_websocket(world: World) -> None:
    tablet = pair(world.bob, "Tablet")
    _seen_before(world, tablet, RENEW_AFTER + 1)

    def opened() -> bytes:
        world.bob_app.script(switched())
        with RawSocket(world.bob.public) as wire:
            return wire.open(handshake(world.bob.app_host("box"), "/x", tablet.cookie))

    eventually(lambda: f"{NAME}={tablet.token}; ".encode() in opened())
    remove(world.bob, tablet.id)


def test_a_device_that_was_not_used_for_half_a_year_is_out(world: World) -> None:
    tablet = pair(world.bob, "Tablet")
    _seen_before(world, tablet, LIFETIME + 1)
    eventually(lambda: _ask(world, tablet.cookie).status == 401)
    remove(world.bob, tablet.id)
