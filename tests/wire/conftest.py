"""The cast, started once for all tests of a process: Ada and Bob, and those who have only a key."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.access.policy import Mode
from proxy.core.identity import PrivateKey
from tests.wire.harness.meddler import Meddler
from tests.wire.harness.portals import Portal, contact, reserve_port
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import Live, Recorder, Relay
from tests.wire.harness.sealer import SealedPeer
from tests.wire.harness.signer import FakePeer, new_key

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

    Bob's contacts: Ada; Eda; Cleo, who is only a key; Dora, likewise, hidden from every app but
    ``site``. Ada's: Bob, the fake peer, and one that is down. Mallory is nobody's contact.
    Eda is another Ada, who calls sealed: Bob, through the meddler, and the sealed peer. She runs
    for tests that ask for ``sealed``.
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
    eda: Portal
    meddler: Meddler
    peer: SealedPeer
    live: Live
    """What is behind Bob's app ``live``."""

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

    def caller(self, mode: Mode) -> Portal:
        """Return who calls Bob in ``mode``."""
        return self.eda if mode == "sealed" else self.ada

    def sealed_request(self, portal_id: str, target: str = "/x", *fields: tuple[str, str],
                       method: str = "GET", body: bytes | None = None) -> bytes:  # fmt: skip
        """Return what the app ``wide`` sends Eda to call a peer."""
        head = (("Host", "portal_core"), ("Portal-Token", self.eda.token("wide")), *fields)
        return request(method, f"/internal/call_peer/{portal_id}{target}", *head, body=body)

    def ask_sealed(self, target: str = "/x", *fields: tuple[str, str], method: str = "GET",
                   body: bytes | None = None) -> Raw:  # fmt: skip
        """Call Bob's app ``wide`` from Eda's."""
        raw = self.sealed_request(self.bob.id, target, *fields, method=method, body=body)
        return exchange(self.eda.apps, raw)

    def ask_peer(self, method: str = "GET", body: bytes | None = None) -> Raw:
        """Call the sealed peer from Eda's app ``wide``."""
        raw = self.sealed_request(self.peer.key.public.portal_id, method=method, body=body)
        return exchange(self.eda.apps, raw)

    def forget_peer(self) -> None:
        """Make Eda forget the sealed peer's document: a key is gone, and there is no other."""
        self.peer.clear()
        self.peer.rotate()
        self.peer.modes = ("signed",)
        self.ask_peer()
        self.peer.clear()


@contextmanager
def on_stage(folder: Path, bobs: type[Portal] = Portal) -> Iterator[World]:
    """Give the whole cast; ``bobs`` is how Bob's Portal is served."""
    with ExitStack() as stack:
        ada_app, bob_app = (stack.enter_context(Recorder()) for _ in range(2))
        fake = stack.enter_context(FakePeer())
        ada = Portal(folder / "ada", "Ada Größe")
        bob = bobs(folder / "bob", "Bob", aliases="bob.example, 127.0.0.1")
        eda = Portal(folder / "eda", "Ada Größe")
        relay = stack.enter_context(Relay(bob.public))
        meddler = stack.enter_context(Meddler(bob.public))
        peer = stack.enter_context(SealedPeer())
        live = stack.enter_context(Live())
        cleo, dora, mallory, gone = (new_key() for _ in range(4))
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        for portal, app in ((ada, ada_app), (bob, bob_app), (eda, ada_app)):
            stack.callback(portal.release)
            portal.add_app("box", BOX, app.port)
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
        for portal in (ada, bob, eda):
            portal.add_app("live", WIDE, live.port)
        ada.knows(
            bob.as_contact(connect=relay.port),
            contact(fake.key.public.portal_id, "Fake", fake.port, fake.port),
            contact(gone.public.portal_id, "Gone", refusing, refusing),
            apps={"box": "all", "wide": "all", "live": "all"},
        )
        eda.knows(
            bob.as_contact(connect=meddler.port, mode="sealed"),
            contact(peer.key.public.portal_id, "Sealed", peer.port, peer.port, "sealed"),
            contact(gone.public.portal_id, "Gone", refusing, refusing, "sealed"),
            apps={"box": "all", "wide": "all", "live": "all"},
        )
        known = frozenset({ada.id, eda.id, cleo.public.portal_id})
        bob.knows(
            ada.as_contact(),
            eda.as_contact(),
            contact(cleo.public.portal_id, "Cleo", refusing, refusing),
            contact(dora.public.portal_id, "Dora", refusing, refusing),
            apps={"box": known, "wide": known, "live": known, "site": "all"},
        )
        ada.start()
        bob.start()
        world = World(ada, bob, ada_app, bob_app, relay, fake, cleo, dora, mallory,
                      gone.public.portal_id, eda, meddler, peer, live)  # fmt: skip
        assert world.ask(bob.id).status == 200  # she has learnt his epoch: calls are sent once
        yield world
        for portal in (ada, bob, eda):
            if portal.log_file.exists():
                assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with on_stage(tmp_path_factory.mktemp("cast")) as world:
        yield world


@pytest.fixture
def app() -> Iterator[Recorder]:
    """An app of the test's own."""
    with Recorder() as app:
        yield app


@pytest.fixture
def settings() -> str:
    """Further lines of Gina's portal.yaml."""
    return "accept: [sealed, signed]\n"


@pytest.fixture
def gina(tmp_path: Path, app: Recorder, settings: str) -> Iterator[Portal]:
    """A Portal of the test's own, which isn't running yet; ``site`` is open to everybody."""
    portal = Portal(tmp_path / "gina", "Gina", settings=settings)
    portal.add_app("site", SITE, app.port)
    yield portal
    portal.release()


@pytest.fixture(scope="session")
def portals() -> type[Portal]:
    """Give how Portals are served."""
    return Portal


@pytest.fixture
def world(cast: World) -> World:
    """The cast, with nothing recorded yet."""
    recorders = (cast.ada_app, cast.bob_app, cast.live)
    for part in (*recorders, cast.relay, cast.fake, cast.meddler, cast.peer):
        part.clear()
    return cast


@pytest.fixture(scope="session")
def _eda(cast: World) -> Portal:
    """Start Eda; ``cast`` ends her."""
    return cast.eda.start()


@pytest.fixture
def sealed(world: World, _eda: Portal) -> World:
    """The cast with nothing recorded yet, and Eda running."""
    return world
