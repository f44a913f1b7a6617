"""A Portal with one name alone: peers call its apps sealed, and nobody else comes to one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from proxy.core.access.policy import Contact, Mode
from proxy.core.identity import short_id
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, Raw, exchange, request, response
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.signer import sign_call
from tests.wire.harness.terminals import (
    HTML,
    ask_page,
    from_the_page,
    new_code,
    send_form,
    terminals,
)

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "/in?x=1"
UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "AAECAwQFBgcICQoLDA0ODw=="))  # fmt: skip


@dataclass
class OneName(Portal):
    """A Portal whose one name has nothing of its ID."""

    settings: str = "app_hosts: false\n"
    called: str = ""

    @property
    def host(self) -> str:
        return f"{self.called}:{self.public}"

    def write_config(self, folder: Path, *, listen: tuple[int, int, int] | None = None) -> None:
        super().write_config(folder, listen=listen)
        file = folder / "portal.yaml"
        text = file.read_text()
        file.write_text(text.replace("{short_id}.portal.localhost", self.called))

    def as_contact(self, *, connect: int | None = None, mode: Mode = "sealed") -> Contact:
        where = f"{LOOPBACK}:{connect or self.public}"
        return Contact(self.id, self.name, f"http://{self.host}", where, mode)


@dataclass
class Street:
    """Two Portals that know each other, and a third that calls signed."""

    ada: OneName
    bob: OneName
    cleo: Portal
    ada_app: Recorder
    bob_app: Recorder

    def call(self, caller: Portal, to: Portal, body: bytes = b"Hello") -> Raw:
        fields = (("Host", "portal_core"), ("Portal-Token", caller.token("wide")))
        target = f"/internal/call_peer/{to.id}{TARGET}"
        return exchange(caller.apps, request("POST", target, *fields, body=body))


@pytest.fixture(scope="module")
def street_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("one-name")
    with Recorder() as ada_app, Recorder() as bob_app:
        # An address will do as well, where a path-less name is all there is.
        ada = OneName(folder / "ada", "Ada", called="portal.ada.localhost")
        bob = OneName(folder / "bob", "Bob", called=LOOPBACK)
        cleo = Portal(folder / "cleo", "Cleo")
        street = Street(ada, bob, cleo, ada_app, bob_app)
        for portal, app in ((ada, ada_app), (bob, bob_app), (cleo, ada_app)):
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
        both = (ada.as_contact(), cleo.as_contact())
        ada.knows(bob.as_contact(), cleo.as_contact(), apps={"wide": "all"})
        bob.knows(*both, apps={"wide": "all"})
        cleo.knows(bob.as_contact(mode="signed"), apps={"wide": "all"})
        try:
            for portal in (ada, bob, cleo):
                portal.start()
            yield street
        finally:
            for portal in (ada, bob, cleo):
                portal.release()
    for portal in (ada, bob, cleo):
        assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture
def street(street_: Street) -> Street:
    street_.ada_app.clear()
    street_.bob_app.clear()
    return street_


def test_sealed_calls_go_both_ways(street: Street) -> None:
    ways = (
        (street.ada, street.bob, street.bob_app),
        (street.bob, street.ada, street.ada_app),
    )
    for caller, to, app in ways:
        app.script(response(201, body=b"welcome"))
        got = street.call(caller, to)
        assert (got.status, got.body) == (201, b"welcome")
        arrived = app.request
        assert arrived.first_line == f"POST {TARGET} HTTP/1.1".encode()
        assert arrived.body == b"Hello"
        assert arrived.one("host") == to.told_host("wide").encode()
        assert arrived.one("x-ptl-client-id") == caller.id.encode()


def test_a_url_of_the_peers_app_is_called_likewise(street: Street) -> None:
    """In the proxy form the app names the host that only the envelope will."""
    host = street.ada.app_host("wide")
    token = ("Proxy-Authorization", "Basic " + _basic("wide", street.bob.token("wide")))
    got = exchange(street.bob.apps, request("GET", f"http://{host}/", ("Host", host), token))
    assert got.body == b"ok"
    assert street.ada_app.request.one("x-ptl-client-type") == b"peer"


def _basic(name: str, token: str) -> str:
    return base64.b64encode(f"{name}:{token}".encode()).decode()


@pytest.mark.parametrize("fields", [(), UPGRADE], ids=["a page", "a WebSocket"])
@pytest.mark.parametrize("app", ["site", "wide", "nobody"])
def test_an_apps_host_is_refused_as_a_host_that_isnt_ours(
    street: Street, app: str, fields: tuple[tuple[str, str], ...]
) -> None:
    portal = street.ada
    for method in ("GET", "POST", "OPTIONS"):
        for target in ("/", "/.well-known/portal-identity", "/core/public/pair"):
            told = [
                exchange(portal.public, request(method, target, ("Host", host), *fields))
                for host in (portal.app_host(app), "evil.example")
            ]
            assert {(got.status, got.code, got.body) for got in told} == {
                (421, "misdirected", told[0].body)
            }
    assert street.ada_app.received == b""


def test_the_portals_own_pages_are_served(street: Street) -> None:
    host = ("Host", street.ada.host)
    document = exchange(street.ada.public, request("GET", "/.well-known/portal-identity", host))
    assert document.json()["modes"] == ["sealed"]
    assert document.json()["domain"] == "portal.ada.localhost"
    keys = exchange(street.ada.public, request("GET", "/.well-known/ohttp-gateway", host))
    assert keys.one("content-type") == b"application/ohttp-keys"
    assert ask_page(street.ada, "", HTML).status == 200


def test_a_device_is_paired_with_the_one_name_and_sent_nowhere_else(street: Street) -> None:
    """What is below that name may be anybody's: it gets no cookie, and no browser."""
    portal, elsewhere = street.ada, f"http://{street.ada.app_host('site')}/"
    page = ask_page(portal, f"?to={quote(elsewhere, safe='')}", HTML)
    assert page.status == 200
    assert b"site." not in page.body
    assert b"*." not in page.one("content-security-policy")
    paired = send_form(portal, new_code(portal), from_the_page(portal), HTML, to=elsewhere)
    assert paired.status == 303
    assert paired.one("location") == f"http://{portal.host}/core/public/pair".encode()
    assert b"domain" not in paired.one("set-cookie").lower()
    assert [device.name for device in terminals(portal)] == ["Phone"]


def test_a_signed_call_is_refused_provably(street: Street) -> None:
    got = street.call(street.cleo, street.bob)
    assert (got.status, got.code) == (403, "mode_not_accepted")
    assert street.bob_app.received == b""
    own = sign_call(street.cleo.key, street.bob, None, b"/.well-known/portal-identity")
    assert exchange(street.bob.public, own.raw).code == "mode_not_accepted"


def test_the_commands_tell(street: Street) -> None:
    card = street.ada.command("card").stdout
    assert quote(f"http://{street.ada.host}", safe="") in card or street.ada.host in card
    assert short_id(street.ada.id) not in street.ada.host
    checked = street.ada.command("check")
    assert "signed ones are refused, since they name apps' hosts" in checked.stdout
    pinged = street.ada.command("ping", "Bob")
    assert pinged.returncode == 0, pinged.stdout
    called = street.bob.command("call", "Ada", "wide", "/")
    assert called.stdout == "ok"
    assert "and to no app" in street.ada.command("terminals", "pair").stderr
    assert "and to no app" not in street.cleo.command("terminals", "pair").stderr
