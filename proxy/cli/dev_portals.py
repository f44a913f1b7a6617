"""The Portals of ``dev``: complete ones, in a folder, that know each other.

Their files are those of any Portal, so every command works on them. Each is at a port of its own on
loopback, and has a name below ``.localhost``, which browsers find without DNS.
"""

import json
import os
import re
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from proxy.cli.app_environment import as_env_file, as_shell, environment_of
from proxy.cli.dev_apps import DevApp
from proxy.cli.init import make_stores
from proxy.cli.output import Stop
from proxy.cli.portal_files import PortalFiles
from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.apps import APPS_FOLDER, KINDS
from proxy.config.listen import LISTENERS, Address
from proxy.config.portal_yaml import FILE_NAME, load_config
from proxy.core.access.policy import Contact, ContactList, Visibility
from proxy.core.http.origin import LAST_PORT
from proxy.core.identity import PrivateKey
from proxy.core.terminals.return_address import PAIR
from proxy.state.files import make_private_folder, write_atomically
from proxy.state.identity_key import create_identity, load_identity

LOOPBACK = "127.0.0.1"
NAMES = ("Ada", "Bob", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana")
DOMAIN = "portal.localhost"
"""Browsers find every name below ``.localhost`` on this machine (RFC 6761, section 6.3)."""
FIRST_APP_JSON = """\
{
  "v": "3.2",
  "paths": {
    "": {"access": "private"},
    "/peer/": {"access": "peer"}
  }
}
"""

_PORTAL_YAML = """\
# A Portal of "portal-proxy dev". It is read again while that runs.
id: {portal_id}
name: {name}
domain: {domain}
public_url: http://{{short_id}}.{domain}:{public}
accept: [sealed]
state: ../state
log: json
grace: 1s
limits: {{connections: 500}}
listen:
  public: {loopback}:{public}
  apps: {loopback}:{apps}
  owner: {loopback}:{owner}
"""
_PORTS_APART = 10
"""From one Portal's first port to the next one's, where the owner gave the first of all."""
_UPSTREAM = re.compile(r"^upstream:.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class DevPortal:
    """One of the Portals, as it is on disk."""

    name: str
    folder: Path
    files: PortalFiles
    id: str
    upstreams: dict[str, str]
    """Where its apps are, by their names."""
    direct: tuple[str, ...] = ()
    """What else its apps reach without the proxy."""

    @property
    def config(self) -> Path:
        return self.files.folder

    @property
    def listener(self) -> str:
        """The apps listener, as ``host:port``."""
        return str(self.files.config.listen.apps)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where its listeners are."""
        listen = self.files.config.listen
        found: list[Address] = [getattr(listen, name) for name in LISTENERS]
        return tuple((each.host, each.port) for each in found)

    def page(self, app: str) -> str:
        """Return where a browser on this machine finds ``app``, and the others through a proxy."""
        return f"{self.files.config.public_origin(self.id).of_app(app)}/"

    def pairing_link(self, app: str, now: float) -> str:
        """Return a new address at which a browser becomes the owner's, and sees ``app``."""
        code = self.files.pairing.new_code(now).link
        origin = self.files.config.public_origin(self.id)
        back = quote(self.page(app), safe="")
        return f"{origin}{PAIR.decode()}?to={back}#code={code}"

    def environment(self, app: str) -> dict[str, str]:
        """Return what must be in the environment of ``app`` here."""
        token = self.files.tokens.token(app)
        where, direct = self.listener, self.direct
        return environment_of(app, token, where, peer_hosts=(DOMAIN,), direct=direct)

    def shell_file(self, app: str) -> Path:
        """Return where the environment of ``app`` is, for a shell."""
        return self.folder / f"{app}.sh"

    def env_file(self, app: str) -> Path:
        """Return where it is for Compose, docker and Node."""
        return self.folder / f"{app}.env"

    def as_contact(self) -> Contact:
        """Return it as the others know it."""
        config = self.files.config
        # Few resolvers but browsers' know the name, so the others are told where to connect.
        where = str(config.listen.public)
        return Contact(self.id, self.name, str(config.public_origin(self.id)), where)


class Ports:
    """Free ports, kept for the proxies from the moment they are chosen until they listen."""

    def __init__(self, first: int | None, avoided: Collection[int] = ()) -> None:
        """Begin at ``first``, or take any; none of those ``avoided``, where the apps will be."""
        self._first = first
        self._avoided = avoided
        self._held: list[socket.socket] = []

    def of(self, number: int) -> list[int]:
        """Return the three ports of a new Portal, the ``number``th; raises ``Stop``."""
        if self._first is None:
            return [self.hold(0, "") for _ in LISTENERS]
        first = self._first + number * _PORTS_APART
        if first + len(LISTENERS) - 1 > LAST_PORT:
            raise Stop(f"--port: {self._first} is too high, there is no port above {LAST_PORT}")
        return [self.hold(first + each, "--port: ") for each in range(len(LISTENERS))]

    def hold(self, port: int, where: str) -> int:
        """Keep ``port`` free, or any that is where it is 0; returns which. Raises ``Stop``."""
        if port in self._avoided:
            raise Stop(f"{where}port {port} is an app's, by --app: a Portal needs another one")
        # Bound and not listening: nobody else is given it, and who asks for it gets it.
        holder = socket.socket()
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((LOOPBACK, port))
        except OSError as error:
            holder.close()
            what = f"port {port} can't be used: {os.strerror(error.errno or 0).lower()}"
            raise Stop(f"{where}{what}; does another one run?") from None
        self._held.append(holder)
        number: int = holder.getsockname()[1]
        return number if number not in self._avoided else self.hold(port, where)

    def release(self) -> None:
        """Let go of all of them."""
        for holder in self._held:
            holder.close()
        self._held.clear()


@contextmanager
def held_ports(first: int | None, apps: Sequence[DevApp] = ()) -> Iterator[Ports]:
    """Give ports that are let go of at the end, whatever it is; none at which an app is."""
    with ExitStack() as stack:
        ports = Ports(first, {port for app in apps for port in app.ports})
        stack.callback(ports.release)
        yield ports


def make_portals(
    folder: Path, apps: Sequence[DevApp], ports: Ports, direct: Sequence[str] = ()
) -> tuple[DevPortal, ...]:
    """Make what is missing of the Portals in ``folder``, and have them know each other.

    What lasts there, as their keys and their ports, stays as it is; ``direct`` is what the apps
    reach without the proxy. Raises ``Stop``, ``Invalid``.
    """
    manifests = {app.name: app.manifest or _own_manifest(folder, app.name) for app in apps}
    made = [
        replace(_make(folder, number, apps, manifests, ports), direct=tuple(direct))
        for number in range(_how_many(apps))
    ]
    for portal in made:
        _acquaint(portal, [each for each in made if each is not portal])
        for app in portal.upstreams:
            variables = portal.environment(app)
            write_atomically(portal.shell_file(app), as_shell(variables).encode())
            write_atomically(portal.env_file(app), as_env_file(variables).encode())
    return tuple(made)


def own_manifest(folder: Path, app: str) -> Path:
    """Return where the app.json is of an app that has none of its own."""
    return folder / APPS_FOLDER / app / KINDS[0]


def _how_many(apps: Sequence[DevApp]) -> int:
    return max(len(app.upstreams) for app in apps)


def _own_manifest(folder: Path, app: str) -> Path:
    path = own_manifest(folder, app)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, FIRST_APP_JSON.encode(), mode=0o644)
    return path


def _make(
    folder: Path, number: int, apps: Sequence[DevApp], manifests: dict[str, Path], ports: Ports
) -> DevPortal:
    name = NAMES[number]
    own = folder / name.lower()
    config, state = own / "config", own / "state"
    make_private_folder(state)
    key = _key(state / "identity.key")
    if not (config / FILE_NAME).exists():
        config.mkdir(exist_ok=True)
        _write_portal_yaml(config, name, key, ports.of(number))
        files = PortalFiles(load_config(config, {}))
    else:
        files = PortalFiles(load_config(config, {}))
        for listener in LISTENERS:
            address: Address = getattr(files.config.listen, listener)
            ports.hold(address.port, f"{config / FILE_NAME}: listen.{listener}: ")
    make_stores(files)
    upstreams = {app.name: app.upstreams[number] for app in apps if number < len(app.upstreams)}
    for app, upstream in upstreams.items():
        _place_app(config / APPS_FOLDER / app, manifests[app], upstream)
    return DevPortal(name, own, files, key.public.portal_id, upstreams)


def _key(path: Path) -> PrivateKey:
    try:
        return create_identity(path)
    except FileExistsError:
        return load_identity(path)


def _write_portal_yaml(config: Path, name: str, key: PrivateKey, ports: Sequence[int]) -> None:
    public, apps, owner = ports
    portal_id = key.public.portal_id
    text = _PORTAL_YAML.format(
        portal_id=portal_id,
        name=json.dumps(name),
        domain=DOMAIN,
        loopback=LOOPBACK,
        public=public,
        apps=apps,
        owner=owner,
    )
    write_atomically(config / FILE_NAME, text.encode(), mode=0o644)


def _place_app(folder: Path, manifest: Path, upstream: str) -> None:
    """Link to the author's file, so that the proxy follows it, and say where the app is.

    Whatever else the owner wrote into a proxy.yaml that lasts stays there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = manifest.name if manifest.name in KINDS else KINDS[0]
    for each in KINDS:
        link = folder / each
        if link.is_symlink() or each == kind:
            link.unlink(missing_ok=True)
    (folder / kind).symlink_to(manifest)
    path, text = folder / SETTINGS_FILE, ""
    with suppress(FileNotFoundError):
        text = path.read_text("utf-8")
    rest = _UPSTREAM.sub("", text)
    # A path of a socket may hold what YAML reads otherwise.
    where = json.dumps(upstream, ensure_ascii=False)
    write_atomically(path, f"upstream: {where}\n{rest}".encode(), mode=0o644)


def _acquaint(portal: DevPortal, others: Sequence[DevPortal]) -> None:
    """Write a contact list in which each of the others is, known to each app."""
    peers = tuple(other.as_contact() for other in others)

    def edit(before: ContactList) -> ContactList:
        ours = {peer.id for peer in peers}
        kept = tuple(peer for peer in before.peers if peer.id not in ours)
        known: dict[str, Visibility] = dict.fromkeys(portal.upstreams, "all")
        return ContactList((*peers, *kept), {**known, **before.apps})

    portal.files.contacts.change(edit)
