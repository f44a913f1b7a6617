"""Portals of our own, as their owners run them: made in a folder, then ``portal-proxy serve``."""

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.crew import ROOT, Crew, Member, wait_for
from bench.endpoint import LOOPBACK, Endpoint
from proxy.core.access.policy import Contact, ContactList, Mode
from proxy.core.identity import PrivateKey, short_id
from proxy.state.contacts.format import serialise_contacts
from proxy.state.files import write_atomically
from proxy.state.identity_key import create_identity
from proxy.state.replay_file import connect, read_stand
from proxy.state.tokens import TokenStore

DOMAIN = "portal.localhost"
Paths = Mapping[str, Mapping[str, object]]
"""The rules of an app.json, by prefix."""
PUBLIC: Paths = {"": {"access": "public"}}
PEERS: Paths = {"": {"access": "peer"}}
_PORTAL_YAML = """\
id: new
name: {name}
domain: {domain}
public_url: {scheme}://{{short_id}}.{domain}:{public}
aliases: [{aliases}]
accept: [sealed, signed]
state: ../state
# All come from one address, which as a stranger's has a quarter of an app's places.
limits: {{requests_per_app: 65536, connections: 16384, connections_per_address: 16384}}
listen: {{public: "127.0.0.1:{public}", apps: "127.0.0.1:{apps}", owner: "127.0.0.1:{owner}"}}
{tls}"""
_TLS = """\
tls: {{certificate: {}, key: {}}}
"""


@dataclass(frozen=True)
class Portal:
    """A Portal's folder, key and ports. It runs once it is launched."""

    name: str
    folder: Path
    key: PrivateKey
    public: int
    apps: int
    tree: Path = ROOT
    """Whose code it runs."""
    secure: bool = False
    """Whether its public listener speaks TLS."""
    owner: int = 0
    """The port of its owner's listener."""

    @property
    def id(self) -> str:
        """The full Portal ID."""
        return self.key.public.portal_id

    @property
    def host(self) -> str:
        """The Portal's own authority."""
        return f"{short_id(self.id)}.{DOMAIN}:{self.public}"

    def epoch(self) -> bytes:
        """Return the epoch under which calls to it are to be signed; it must be running."""
        with closing(connect(self.folder / "state" / "replay.sqlite3", 1)) as store:
            return read_stand(store).epoch

    def add_app(self, name: str, upstream: int, paths: Paths) -> None:
        """Add an app that is behind the port ``upstream``."""
        folder = self.folder / "config" / "apps" / name
        folder.mkdir(parents=True)
        app = {"v": "3.2", "name": name, "port": 80, "paths": paths}
        (folder / "app.json").write_text(json.dumps(app))
        (folder / "proxy.yaml").write_text(f"upstream: http://{LOOPBACK}:{upstream}\n")

    def knows(self, *contacts: Contact, apps: Iterable[str]) -> None:
        """Write the contact list; ``apps`` may know everybody in it."""
        listed = ContactList(contacts, dict.fromkeys(apps, "all"))
        write_atomically(self.folder / "state" / "contacts.yaml", serialise_contacts(listed))

    def as_contact(self, mode: Mode) -> Contact:
        """Return this Portal as another one's contact, called in ``mode``."""
        return contact(self.key, self.name, self.public, mode)

    def way_in(self, app: str) -> Endpoint:
        """Return where strangers and peers ask for ``app``."""
        return Endpoint(self.public, f"{app}.{self.host}", secure=self.secure)

    def way_out(self, app: str, peer: str) -> Endpoint:
        """Return where ``app`` calls itself at the Portal with the full ID ``peer``."""
        token = TokenStore(self.folder / "state" / "tokens").token(app)
        prefix = f"/internal/call_peer/{peer}"
        return Endpoint(self.apps, prefix=prefix, fields=(f"portal-token: {token}",))

    def launch(self, crew: Crew, workers: int = 0) -> Member:
        """Start the proxy without waiting for it: so many workers on all cores, or 0: one on its.

        Raises ``NotStarted``.
        """
        line = [sys.executable, "-m", "proxy", "--config", str(self.folder / "config"), "serve"]
        if workers:
            line += ["--workers", str(workers)]
        name, ports = f"portal-{self.name}", (self.public, self.apps)
        return crew.launch(name, line, *ports, everywhere=bool(workers), tree=self.tree)


def make(
    crew: Crew,
    name: str,
    *,
    alias: str = "",
    tree: Path = ROOT,
    pair: tuple[Path, Path] | None = None,
) -> Portal:
    """Make a Portal that has no apps and knows nobody; ``alias`` is a further Host that it is.

    It will run the code of ``tree``, and speak TLS with a ``pair``: a certificate and its key.
    """
    folder = crew.new_folder("portal")
    (folder / "config").mkdir()
    portal = Portal(
        name, folder, create_identity(folder / "state" / "identity.key"), crew.port(), crew.port(),
        tree, secure=pair is not None, owner=crew.port(),
    )  # fmt: skip
    text = _PORTAL_YAML.format(
        name=name, domain=DOMAIN, aliases=f'"{alias}"' if alias else "",
        scheme="https" if pair else "http", tls=_TLS.format(*pair) if pair else "",
        public=portal.public, apps=portal.apps, owner=portal.owner,
    )  # fmt: skip
    (folder / "config" / "portal.yaml").write_text(text)
    portal.knows(apps=())
    return portal


def contact(key: PrivateKey, name: str, port: int, mode: Mode) -> Contact:
    """Return who has ``key`` and is found at ``port``, as a contact called in ``mode``."""
    portal_id = key.public.portal_id
    address = f"http://{short_id(portal_id)}.{DOMAIN}:{port}"
    return Contact(portal_id, name, address, f"{LOOPBACK}:{port}", mode)


def serve(crew: Crew, *portals: Portal) -> tuple[Member, ...]:
    """Start the Portals all at once, and wait for each; raises ``NotStarted``."""
    members = tuple(portal.launch(crew) for portal in portals)
    wait_for(*members)
    return members
