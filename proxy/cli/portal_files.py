"""The Portal that a command is about: its folder, and the files of its state."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.output import DEFAULT_FOLDER, command_line, default_folder
from proxy.cli.owner import acting_as, become, owner_of
from proxy.config.apps import APPS_FOLDER, Catalogue, load_catalogue
from proxy.config.authorities import read_authorities
from proxy.config.certificate import Certificate, load_certificate
from proxy.config.config_file import is_there
from proxy.config.own_identity import is_key_elsewhere, key_file, load_own_identity
from proxy.config.portal_yaml import Config, load_config
from proxy.core.access.policy import Contact, ContactList
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.core.identity import PrivateKey
from proxy.state.contacts import ContactStore
from proxy.state.layout import State
from proxy.state.schema import refuse_later
from proxy.state.terminals import PairingStore, TerminalStore
from proxy.state.tokens import TokenStore

_CHOSEN = "proxy.cli.config"


@dataclass(frozen=True)
class PortalFiles:
    """A Portal whose portal.yaml was read; the rest is read where a command asks for it."""

    config: Config

    @property
    def folder(self) -> Path:
        """The config folder, as the owner named it."""
        return self.config.folder

    @property
    def state(self) -> State:
        return State(self.config.state)

    def as_owner(self) -> AbstractContextManager[None]:
        """Use the state as its owner, within a block of what root does."""
        return acting_as(owner_of(self.state.folder))

    @property
    def contacts(self) -> ContactStore:
        return ContactStore(self.state.contacts, self.config.domain)

    @property
    def terminals(self) -> TerminalStore:
        """The list of the owner's devices."""
        return TerminalStore(self.state.terminals)

    @property
    def pairing(self) -> PairingStore:
        """The pairing codes that are open."""
        return PairingStore(self.state.pairing, self.terminals)

    @property
    def tokens(self) -> TokenStore:
        return TokenStore(self.state.tokens)

    def identity(self) -> PrivateKey:
        """Return this Portal's key; raises ``Invalid`` where it can't be used."""
        return load_own_identity(self.config)

    @property
    def key_file(self) -> Path:
        """Where the Portal's key is."""
        return key_file(self.config)

    @property
    def is_key_elsewhere(self) -> bool:
        """Whether another program keeps it: no command makes or replaces it then."""
        return is_key_elsewhere(self.config)

    def certificate(self) -> Certificate | None:
        """Return what the public listener speaks TLS with; raises ``Invalid``."""
        tls = self.config.tls
        if self.config.acme is not None and not is_there(self.state.acme_certificate):
            command = command_line(self.folder, "init", "--acme")
            what = f"isn't there yet; this gets it: {command}"
            raise Invalid([Problem(str(self.state.acme_certificate), "", what)])
        return load_certificate(tls.certificate, tls.key) if tls is not None else None

    def peer_authorities(self) -> str:
        """Return whose certificates are believed for peers, beside the system's; "" is nobody's.

        Raises ``Invalid``.
        """
        path = self.config.peer_authorities
        return read_authorities(path) if path is not None else ""

    def catalogue(self) -> Catalogue:
        """Return the apps, with what is wrong about any of them."""
        return load_catalogue(self.folder)

    def has_app(self, name: str) -> bool:
        """Tell whether an app of this name is there, be it one whose files are wrong."""
        return is_dns_label(name) and (self.folder / APPS_FOLDER / name).is_dir()

    def apps_that_know(self, contacts: ContactList, peer: Contact) -> list[str]:
        """Return the apps that may know this peer, by name."""
        names = {*self.catalogue().apps, *contacts.apps}
        return sorted(app for app in names if contacts.may_know(app, peer.id))


def open_portal(folder: Path, *, as_root: bool = False) -> PortalFiles:
    """Read portal.yaml in ``folder``; raises ``Invalid`` with every problem in it.

    And ``LaterVersion`` where a later program wrote the state, which is left alone then.
    Root goes on as the owner of the state, unless ``as_root``: see ``PortalFiles.as_owner``.
    """
    portal = PortalFiles(load_config(folder))
    owner = None if as_root else owner_of(portal.state.folder)
    if owner is not None:
        become(owner)
    with portal.as_owner():
        refuse_later(portal.state)
    return portal


def _nearest(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """Settle on one folder: what stands behind the command, else before it, else PORTAL_CONFIG.

    Else the one in the current folder, or the machine's.
    """
    source = ctx.get_parameter_source(param.name or "")
    typed = source is not None and source.name == "COMMANDLINE"
    if value == DEFAULT_FOLDER and source is not None and source.name == "DEFAULT":
        value = default_folder()
    if typed or _CHOSEN not in ctx.meta:
        ctx.meta[_CHOSEN] = value
    chosen = ctx.meta[_CHOSEN]
    return chosen if isinstance(chosen, Path) else value


ConfigFolder = Annotated[
    Path,
    typer.Option(
        "--config",
        metavar="DIR",
        envvar="PORTAL_CONFIG",
        callback=_nearest,
        help="The folder that portal.yaml is in.",
    ),
]
"""``--config DIR``: every command takes it, before the command and behind it."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
"""``--json``, where there is a listing."""

__all__ = ["DEFAULT_FOLDER", "AsJson", "ConfigFolder", "PortalFiles", "open_portal"]
