"""The changes to a contact list that commands make: pure, and refused with a one-line reason.

Each takes the list and returns the new one. Changing a name never changes whom we trust.
"""

from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from proxy.core.access.policy import Contact, ContactList, Mode, Visibility
from proxy.core.display_names import name_problem
from proxy.core.http.origin import is_dns_label
from proxy.core.identity import is_portal_id


def with_contact(contacts: ContactList, contact: Contact) -> ContactList:
    """Add a peer at the end; raises ``ValueError`` where the ID is no full ID or is there already.

    Which apps may know the peer doesn't change: those set to ``all`` do, nobody else.
    """
    if not is_portal_id(contact.id):
        raise ValueError(f"{contact.id!r} isn't a full Portal ID")
    existing = contacts.find(contact.id)
    if existing is not None:
        raise ValueError(f"{contact.id} is a peer already, named {existing.name!r}")
    _check_name(contact.name)
    return replace(contacts, peers=(*contacts.peers, contact))


def without_contact(contacts: ContactList, portal_id: str) -> ContactList:
    """Remove a peer, also from every app's list; raises ``ValueError`` where it isn't one."""
    _require(contacts, portal_id)
    apps = {
        app: setting if isinstance(setting, str) else setting - {portal_id}
        for app, setting in contacts.apps.items()
    }
    peers = tuple(contact for contact in contacts.peers if contact.id != portal_id)
    return ContactList(peers, MappingProxyType(apps))


def changed(
    contacts: ContactList,
    portal_id: str,
    *,
    name: str | None = None,
    address: str | None = None,
    connect: str | None = None,
    mode: Mode | None = None,
) -> ContactList:
    """Change what is given of a peer; the address and ``connect`` are in their one spelling.

    Raises ``ValueError`` where it isn't a peer, and for a name that can't be one.
    """
    _require(contacts, portal_id)
    if name is not None:
        _check_name(name)
    given = {"name": name, "address": address, "connect": connect, "mode": mode}
    changes: Any = {member: value for member, value in given.items() if value is not None}
    peers = tuple(
        replace(contact, **changes) if contact.id == portal_id else contact
        for contact in contacts.peers
    )
    return replace(contacts, peers=peers)


def with_visibility(
    contacts: ContactList, app: str, setting: Literal["all", "none"] | Collection[str]
) -> ContactList:
    """Set which peers an app may know: ``all``, ``none`` or full IDs, each of them a peer.

    Raises ``ValueError`` for an ID that isn't a peer and a name that can't be an app's.
    """
    if not is_dns_label(app):
        raise ValueError(f"{app!r} can't be an app's name: it is a DNS label (a-z, 0-9, -)")
    checked: Visibility
    if setting == "all" or setting == "none":  # noqa: PLR1714 - tells mypy the two
        checked = setting
    elif isinstance(setting, str):
        raise ValueError(f"{setting!r} is neither all, none nor a list of full IDs")
    else:
        for portal_id in setting:
            _require(contacts, portal_id)
        checked = frozenset(setting)
    return replace(contacts, apps=MappingProxyType({**contacts.apps, app: checked}))


def _require(contacts: ContactList, portal_id: str) -> None:
    if contacts.find(portal_id) is None:
        raise ValueError(f"{portal_id!r} isn't the full ID of a peer")


def _check_name(name: str) -> None:
    problem = name_problem(name)
    if problem:
        raise ValueError(f"the name {name!r} can't be used: {problem}")
