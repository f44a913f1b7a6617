"""Who may reach what: callers, access rules and the contact list as frozen data, and the decisions.

Strictness is public < peer < private < closed. Trust is in full Portal IDs alone.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Literal, get_args

from proxy.core.http.origin import Origin, parse_origin
from proxy.core.identity import is_id_prefix

Mode = Literal["sealed", "signed"]
"""How a call is protected."""
MODES: tuple[Mode, ...] = get_args(Mode)
Visibility = frozenset[str] | Literal["all", "none"]
"""Which contacts an app may know: full IDs, or all or none of them."""


class Access(IntEnum):
    """What a path asks of its caller, in order of strictness."""

    PUBLIC = 0
    PEER = 1
    PRIVATE = 2
    CLOSED = 3
    """Nobody's; no app.json says so. It holds where a request can be read as ``PEER`` and as
    ``PRIVATE``: each lets in who mustn't enter the other."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request, as far as it was proven."""

    type: Literal["anonymous", "peer", "terminal"]
    id: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.type} {self.id}".rstrip()


ANONYMOUS = Caller("anonymous")


@dataclass(frozen=True)
class Contact:
    """One peer in the owner's contact list; ``id`` is the full Portal ID."""

    id: str
    name: str
    address: str
    """The Portal's own host as others reach it: ``scheme://host[:port]``."""
    connect: str = ""
    """``host:port`` to connect to instead of resolving ``address``; "" resolves it."""
    mode: Mode = "sealed"

    @cached_property
    def origin(self) -> Origin:
        """``address``, read once; raises ``ValueError`` where nobody checked it."""
        return parse_origin(self.address)


@dataclass(frozen=True)
class ContactList:
    """The owner's peers, and which app may know which of them. An app not named: none."""

    peers: tuple[Contact, ...] = ()
    apps: Mapping[str, Visibility] = field(default_factory=lambda: MappingProxyType({}))
    _by_id: Mapping[str, Contact] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {contact.id: contact for contact in self.peers}
        object.__setattr__(self, "_by_id", MappingProxyType(by_id))

    def find(self, portal_id: str) -> Contact | None:
        """Return the contact with exactly this full ID."""
        return self._by_id.get(portal_id)

    def may_know(self, app: str, portal_id: str) -> bool:
        """Tell whether ``app`` may know this contact: in its list, as it calls, and when called."""
        if portal_id not in self._by_id:
            return False
        setting = self.apps.get(app, "none")
        if isinstance(setting, str):
            return setting == "all"
        return portal_id in setting

    def known_to(self, app: str) -> tuple[Contact, ...]:
        """Return the contacts that ``app`` may know, in the owner's order."""
        return tuple(contact for contact in self.peers if self.may_know(app, contact.id))

    def resolve(self, app: str, prefix: str) -> Contact | None:
        """Return the one contact that ``prefix`` names, if ``app`` may know it.

        ``prefix`` is a full ID or at least six characters of one. It must fit exactly one of *all*
        contacts: were hidden ones not counted, a call meant for one of them could reach another
        whose short ID was ground to match.
        """
        if not is_id_prefix(prefix):
            return None
        matches = self.fitting(prefix)
        if len(matches) != 1 or not self.may_know(app, matches[0].id):
            return None
        return matches[0]

    def fitting(self, prefix: str) -> tuple[Contact, ...]:
        """Return all contacts whose ID begins with ``prefix``, however many others there are."""
        start = end = bisect_left(self._sorted, prefix, key=_id)
        while end < len(self._sorted) and self._sorted[end].id.startswith(prefix):
            end += 1
        return self._sorted[start:end]

    def at_host(self, host: str) -> tuple[Contact, ...]:
        """Return all contacts whose address has this host (lower case), in the owner's order."""
        return self._by_host.get(host, ())

    @cached_property
    def _sorted(self) -> tuple[Contact, ...]:
        return tuple(sorted(self.peers, key=_id))

    @cached_property
    def _by_host(self) -> Mapping[str, tuple[Contact, ...]]:
        by_host: dict[str, list[Contact]] = {}
        for contact in self.peers:
            by_host.setdefault(contact.origin.host, []).append(contact)
        return {host: tuple(contacts) for host, contacts in by_host.items()}


def _id(contact: Contact) -> str:
    return contact.id


def may_enter(access: Access, caller: Caller, *, knows_caller: bool) -> bool:
    """Decide the table "who may come in" (docs/protocol.md).

    ``knows_caller``: the app may know this peer. A terminal doesn't enter ``peer`` paths, because
    apps read the ID they get there as a peer's.
    """
    if access is Access.PUBLIC:
        return True
    if access is Access.PEER:
        return caller.type == "peer" and knows_caller
    return access is Access.PRIVATE and caller.type == "terminal"
