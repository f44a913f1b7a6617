"""What the owner says in proxy.yaml of the fields that an app gets, and what nobody's app gets.

For strangers, for peers however they call, in a WebSocket's handshake, and behind a body.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from proxy.core.identity import PrivateKey
from tests.wire.conftest import World
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import Raw, RawConnection, chunked, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.sockets import handshake, switched

_RULES = {
    "": {"access": "private"},
    "/public/": {"access": "public", "headers": {"SCRIPT_NAME": "/box", "X_Mine": "ours"}},
    "/peer/": {"access": "peer"},
}
MANIFEST = json.dumps({"v": "3.2", "port": 80, "paths": _RULES})
SENT = (
    ("Script_Name", "evil"), ("Path-Info", "evil"), ("my_field", "mine"), ("X-Other", "other"),
    ("X-HTTP-Method-Override", "DELETE"), ("X-Mine", "evil"),
)  # fmt: skip


@dataclass
class Street:
    """A Portal with an app of each setting, all of them behind one recording app."""

    portal: Portal
    app: Recorder
    cleo: PrivateKey

    def stranger(self, name: str, *fields: tuple[str, str]) -> Raw:
        host = ("Host", self.portal.app_host(name))
        assert (
            exchange(self.portal.public, request("GET", "/public/x", host, *fields)).status == 200
        )
        return self.app.requests[-1]

    def peer(self, name: str, *fields: tuple[str, str]) -> Raw:
        assert self.call(name, *fields).status == 200
        return self.app.requests[-1]

    def call(self, name: str, *fields: tuple[str, str]) -> Raw:
        sent = tuple((name.lower().encode(), value.encode()) for name, value in fields)
        call = sign_call(self.cleo, self.portal, name, b"/peer/x", fields=sent)
        return exchange(self.portal.public, call.raw)


@pytest.fixture(scope="module")
def built(portals: type[Portal], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        cleo = new_key()
        fay = portals(tmp_path_factory.mktemp("fields"), "Fay", aliases="fay.example")
        stack.callback(fay.release)
        fay.add_app("plain", MANIFEST, app.port)
        fay.add_app("wide", MANIFEST, app.port, "underscores: pass\n")
        fay.add_app("less", MANIFEST, app.port, "drop_fields: [x_other]\nunderscores: pass\n")
        fay.add_app("named", MANIFEST, app.port, "host: Box.Lan:8384\n")
        fay.add_app("secure", MANIFEST, app.port, "peer_scheme: https\n")
        apps = dict.fromkeys(("plain", "wide", "less", "named", "secure"), "all")
        fay.knows(contact(cleo.public.portal_id, "Cleo", 1, 1), apps=apps)  # type: ignore[arg-type]
        fay.start()
        yield Street(fay, app, cleo)
        assert fay.MISTAKE not in fay.log, fay.log


@pytest.fixture
def street(built: Street) -> Street:
    built.app.clear()
    return built


@pytest.mark.parametrize("by", ["stranger", "peer"])
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("plain", {"x-other": b"other"}),
        ("wide", {"x-other": b"other", "my_field": b"mine"}),
        ("less", {"my_field": b"mine"}),
    ],
)
def test_what_could_change_the_request_reaches_no_app(
    street: Street, by: str, name: str, kept: dict[str, bytes]
) -> None:
    arrived = street.peer(name, *SENT) if by == "peer" else street.stranger(name, *SENT)

    assert b"evil" not in street.app.received
    for field in ("x-other", "my_field"):
        assert arrived.all(field) == ([kept[field]] if field in kept else [])
    # No rule looks at a method: who overrides it gets past none.
    assert arrived.one("x-http-method-override") == b"DELETE"
    # The app's own word passes, whatever its name.
    if by == "stranger":
        assert (arrived.one("script_name"), arrived.one("x_mine")) == (b"/box", b"ours")


def test_a_handshake_loses_them_too(street: Street) -> None:
    street.app.script(switched(), close=True)
    raw = handshake(street.portal.app_host("plain"), "/public/x", *SENT)
    with RawConnection(street.portal.public) as wire:
        wire.send(raw)
        assert wire.read(to_head=True).status == 101
    assert b"evil" not in street.app.received
    assert street.app.request.all("my_field") == []
    assert street.app.request.one("x-other") == b"other"


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Path-Info", "X-Other"])
def test_no_trailer_reaches_an_app(street: Street, name: str) -> None:
    trailers = f"{name}: evil\r\n".encode()
    head = request(
        "POST", "/public/x", ("Host", street.portal.app_host("wide")),
        ("Transfer-Encoding", "chunked"),
    )  # fmt: skip
    with RawConnection(street.portal.public) as wire:
        wire.send(head + chunked(b"a body", trailers=trailers))
        assert wire.read().status == 200
    assert street.app.requests[-1].body == b"a body"
    assert b"evil" not in street.app.received


@pytest.mark.parametrize("by", ["stranger", "peer"])
def test_an_app_is_told_the_host_that_its_owner_sets(street: Street, by: str) -> None:
    arrived = street.peer("named") if by == "peer" else street.stranger("named")

    asked = (street.portal.told_host if by == "peer" else street.portal.app_host)("named").encode()
    assert arrived.one("host") == b"Box.Lan:8384"
    assert arrived.one("x-forwarded-host") == asked
    assert b'host="' + asked + b'"' in arrived.one("forwarded")
    twin = street.peer("plain") if by == "peer" else street.stranger("plain")
    assert twin.one("host") == asked.replace(b"named", b"plain")


@pytest.mark.parametrize("name", ["plain", "secure"])
def test_an_app_is_told_by_which_scheme_peers_ask(street: Street, name: str) -> None:
    arrived, whole = street.peer(name), street.portal.app_host(name).encode()
    is_https = name == "secure"
    host = whole if is_https else whole.partition(b":")[0]
    scheme = b"https" if is_https else b"http"
    assert arrived.one("x-forwarded-proto") == scheme
    assert (arrived.one("host"), arrived.one("x-forwarded-host")) == (host, host)
    assert arrived.one("forwarded") == b'for=127.0.0.1;host="%b";proto=%b' % (host, scheme)
    # Strangers speak what they speak.
    stranger = street.stranger(name)
    assert (stranger.one("host"), stranger.one("x-forwarded-proto")) == (whole, b"http")


def test_where_an_app_is_told_https_that_is_no_redirect_to_itself(street: Street) -> None:
    told = street.portal.app_host("secure")
    for scheme, status in (("https", 302), ("http", 502)):
        street.app.script(response(302, ("Location", f"{scheme}://{told}/peer/x")))
        assert street.call("secure").status == status
    # The one that its owner sets is to the app the one that was asked for.
    street.app.script(response(302, ("Location", "https://box.lan/peer/x")))
    assert street.call("named").status == 502


def test_a_handshake_is_told_that_host(street: Street) -> None:
    street.app.script(switched(), close=True)
    with RawConnection(street.portal.public) as wire:
        wire.send(handshake("named.fay.example", "/public/x"))
        assert wire.read(to_head=True).status == 101
    assert street.app.request.one("host") == b"Box.Lan:8384"
    assert street.app.request.one("x-forwarded-host") == b"named.fay.example"


def test_what_is_dropped_is_told_once(street: Street) -> None:
    for _ in range(3):
        street.stranger("plain", ("told_once", "secret"))
    told = "plain: a field told_once isn't handed on to this app"
    eventually(lambda: told in street.portal.log)
    assert street.portal.log.count(told) == 1
    assert "secret" not in street.portal.log


@pytest.mark.usefixtures("sealed")
def test_a_covered_field_is_dropped_behind_a_sealed_call_too(world: World) -> None:
    for ask in (world.ask_sealed, lambda *more: world.ask(world.bob.id, *more)):
        assert ask("/x", ("script_name", "/evil"), ("X-Kept", "good")).status == 200
        assert world.bob_app.requests[-1].one("x-kept") == b"good"
    assert b"evil" not in world.bob_app.received
