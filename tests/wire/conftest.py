"""The cast, started once for all tests of a process: Ada and Bob, and those who have only a key."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from proxy.core.identity import PrivateKey

from .harness.portals import Portal, contact, reserve_port
from .harness.raw import Raw, exchange, request
from .harness.recorder import Recorder, Relay
from .harness.signer import FakePeer, new_key

BOX = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "private"},
  "/public": {"access": "public", "headers": {"Remote-User": "guest"}},
  "/peer": {"access": "peer", "headers": {
    "X-Ptl-Foo": "{{ portal.id[:6] }}@example.com",
    "Remote-User": "{{ auth.client_type }} {{ client_name }}",
    "X-Host": "{{ portal.domain }}"}}}}"""
WIDE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}'
SITE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'


@dataclass
class World:
    """Ada and Bob as processes, with a relay between them and a recording app behind each.

    Bob's contacts: Ada; Cleo, who is only a key; Dora, likewise, hidden from every app but
    ``site``. Ada's: Bob, the fake peer, and one that is down. Mallory is nobody's contact.
    """

    ada: Portal
    bob: Portal
    ada_app: Recorder
    bob_app: Recorder
    relay: Relay
    fake: FakePeer
    cleo: PrivateKey
    dora: PrivateKey
    mallory: PrivateKey
    gone: str
    """The ID of a contact of Ada's whose port refuses connections."""

    def call(self, raw: bytes) -> Raw:
        """Send these bytes to Ada's apps listener."""
        return exchange(self.ada.apps, raw)

    def bobs(self, raw: bytes) -> Raw:
        """Send these bytes to Bob's public listener."""
        return exchange(self.bob.public, raw)

    def stranger(self, app: str, target: str, *fields: tuple[str, str]) -> Raw:
        """Ask an app of Bob's without any proof."""
        return self.bobs(request("GET", target, ("Host", self.bob.app_host(app)), *fields))

    def token(self, app: str = "wide") -> tuple[str, str]:
        """Return the field with which an app of Ada's proves itself."""
        return "Portal-Token", self.ada.token(app)

    def basic(self, app: str = "wide") -> tuple[str, str]:
        """Return the same as a client's credentials for its proxy."""
        pair = f"{app}:{self.ada.token(app)}".encode()
        return "Proxy-Authorization", "Basic " + base64.b64encode(pair).decode()

    def ask(self, portal_id: str, target: str = "/x", *fields: tuple[str, str], method: str = "GET",
            body: bytes | None = None) -> Raw:  # fmt: skip
        """Call the app ``wide`` at a peer in the path form."""
        head = (("Host", "portal_core"), self.token(), *fields)
        path = f"/internal/call_peer/{portal_id}{target}"
        return self.call(request(method, path, *head, body=body))


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        ada_app, bob_app = (stack.enter_context(Recorder()) for _ in range(2))
        fake = stack.enter_context(FakePeer())
        folder = tmp_path_factory.mktemp("cast")
        ada = Portal(folder / "ada", "Ada Größe")
        bob = Portal(folder / "bob", "Bob", aliases="bob.example, 127.0.0.1")
        relay = stack.enter_context(Relay(bob.public))
        cleo, dora, mallory, gone = (new_key() for _ in range(4))
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        for portal, app in ((ada, ada_app), (bob, bob_app)):
            stack.callback(portal.release)
            portal.add_app("box", BOX, app.port)
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
        ada.knows(
            bob.as_contact(connect=relay.port),
            contact(fake.key.public.portal_id, "Fake", fake.port, fake.port),
            contact(gone.public.portal_id, "Gone", refusing, refusing),
            apps={"box": "all", "wide": "all"},
        )
        known = frozenset({ada.id, cleo.public.portal_id})
        bob.knows(
            ada.as_contact(),
            contact(cleo.public.portal_id, "Cleo", refusing, refusing),
            contact(dora.public.portal_id, "Dora", refusing, refusing),
            apps={"box": known, "wide": known, "site": "all"},
        )
        ada.start()
        bob.start()
        yield World(ada, bob, ada_app, bob_app, relay, fake, cleo, dora, mallory,
                    gone.public.portal_id)  # fmt: skip
        for portal in (ada, bob):
            assert "Traceback" not in portal.log, portal.log


@pytest.fixture
def world(cast: World) -> World:
    """The cast, with nothing recorded yet."""
    for part in (cast.ada_app, cast.bob_app, cast.relay, cast.fake):
        part.clear()
    return cast
