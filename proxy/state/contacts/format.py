"""contacts.yaml as text: read with every problem at once, and written (docs/glossary.md).

The file may be written by hand, so each problem names its place. What is trusted is the full ID;
the name is the owner's, the address only says where to look. What commands write begins with a
checksum and tells the version of its form, ``v``; the owner may leave out both.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import yaml

from proxy.core.access.policy import MODES, Contact, ContactList, Mode, Visibility
from proxy.core.display_names import name_problem
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label, parse_connect, parse_origin
from proxy.core.identity import ID_LENGTH, is_portal_id, short_id
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.core.text_files.text import listed, refuse_later_version, shown, step
from proxy.state.checksum import check_intact, with_checksum

HEAD = """\
# The contact list: who is a peer of this Portal, and which app may know whom.
# Commands write this file: comments in it aren't kept.
# To change it by hand, use `portal-proxy peers edit`, which checks it and lets no change be lost.
"""
MAX_BYTES = 8 * 1024 * 1024
"""Ten thousand contacts have 2 MB, and 1 MB more for each app that may know each of them by ID."""
VERSION = 1
_DAMAGED = "put contacts.yaml.before or a backup in its place. `portal-proxy peers edit` shows it"
_CONTACT_KEYS = ("id", "name", "address", "connect", "mode")
_LONG_LINE = 1 << 16


def derived_address(portal_id: str, domain: str) -> str:
    """Return where a Portal of ``domain`` is when nobody says otherwise."""
    return f"https://{short_id(portal_id)}.{domain}"


def parse_contacts(file: str, data: bytes, domain: str) -> ContactList:
    """Read the file's bytes; ``domain`` is ours, for addresses that are left out.

    Raises ``Invalid`` with every problem. ``peers`` must be there: an editor that empties the file
    before it writes would otherwise show a list without a peer.
    """
    check_intact(file, data, _DAMAGED)
    return _Reader(file, domain).read(parse_yaml(file, data, MAX_BYTES))


def serialise_contacts(contacts: ContactList) -> bytes:
    """Write the list as the file's bytes; ``parse_contacts`` of them gives the same list."""
    order = {contact.id: index for index, contact in enumerate(contacts.peers)}
    tree = {
        "v": VERSION,
        "peers": [_contact_tree(contact) for contact in contacts.peers],
        "apps": {
            app: setting if isinstance(setting, str) else sorted(setting, key=order.__getitem__)
            for app, setting in sorted(contacts.apps.items())
        },
    }
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=_LONG_LINE)
    return with_checksum((HEAD + text).encode())


def _contact_tree(contact: Contact) -> dict[str, str]:
    tree = {key: cast(str, getattr(contact, key)) for key in _CONTACT_KEYS}
    return {key: value for key, value in tree.items() if value}


class _Reader:
    """One pass over one file's tree, collecting problems as it goes."""

    def __init__(self, file: str, domain: str) -> None:
        self._file = file
        self._domain = domain
        self._problems: list[Problem] = []

    def read(self, tree: object) -> ContactList:
        if isinstance(tree, dict):
            refuse_later_version(self._file, tree.get("v"), VERSION)
        root = self._mapping("", tree, known=("v", "peers", "apps"))
        if root is not None and "peers" not in root:
            self._problem("peers", "is missing; a list without a peer is `peers: []`")
        root = root or {}
        if root.get("v", str(VERSION)) != str(VERSION):
            self._problem("v", f"is {_kind(root['v'])}; expected {VERSION}, or nothing")
        peers = self._peers(root.get("peers", ""))
        apps = self._apps(root.get("apps", ""), {contact.id for contact in peers})
        if self._problems:
            raise Invalid(self._problems)
        return ContactList(tuple(peers), MappingProxyType(apps))

    def _peers(self, tree: object) -> list[Contact]:
        peers: list[Contact] = []
        first: dict[str, str] = {}
        for index, item in enumerate(self._list("peers", tree)):
            place = step("peers", index)
            contact = self._contact(place, item)
            if contact is None:
                continue
            if contact.id in first:
                self._problem(f"{place}.id", f"is that of {first[contact.id]} too")
            first.setdefault(contact.id, place)
            peers.append(contact)
        return peers

    def _contact(self, place: str, tree: object) -> Contact | None:
        """Return the contact, with what could be read of it, so that apps may still name it."""
        entry = self._mapping(place, tree, known=_CONTACT_KEYS)
        if entry is None:
            return None
        values = {key: self._text(f"{place}.{key}", entry.get(key, "")) for key in _CONTACT_KEYS}
        portal_id, mode = values["id"], values["mode"] or "sealed"
        if not is_portal_id(portal_id):
            what = f"{shown(portal_id)} isn't a full ID ({ID_LENGTH} characters)"
            self._problem(f"{place}.id", what)
        name_fault = name_problem(values["name"])
        if name_fault:
            self._problem(f"{place}.name", name_fault)
        if mode not in MODES:
            self._problem(f"{place}.mode", f"{shown(mode)} is neither sealed nor signed")
        address = values["address"] or derived_address(portal_id, self._domain)
        return Contact(
            portal_id,
            values["name"],
            self._address(f"{place}.address", address) if is_portal_id(portal_id) else address,
            self._connect(f"{place}.connect", values["connect"]),
            cast(Mode, mode),
        )

    def _address(self, place: str, text: str) -> str:
        try:
            return str(parse_origin(text))
        except ValueError as error:
            self._problem(place, str(error))
            return text

    def _connect(self, place: str, text: str) -> str:
        try:
            return parse_connect(text) if text else ""
        except ValueError as error:
            self._problem(place, str(error))
            return text

    def _apps(self, tree: object, known_ids: set[str]) -> dict[str, Visibility]:
        apps: dict[str, Visibility] = {}
        for app, setting in (self._mapping("apps", tree or {}) or {}).items():
            place = step("apps", app)
            if not is_dns_label(app):
                self._problem(place, "an app's name is a DNS label: a-z, 0-9, and - inside")
            elif isinstance(setting, list):
                apps[app] = self._ids(place, setting, known_ids)
            elif setting == "all" or setting == "none":  # noqa: PLR1714 - tells mypy the two
                apps[app] = setting
            else:
                what = f"is {_kind(setting)}; expected all, none or a list of full IDs"
                self._problem(place, what)
        return apps

    def _ids(self, place: str, tree: list[object], known_ids: set[str]) -> frozenset[str]:
        ids: set[str] = set()
        for index, item in enumerate(tree):
            text = self._text(f"{place}[{index}]", item)
            if text in ids:
                self._problem(f"{place}[{index}]", "stands in this list twice")
            elif text not in known_ids:
                self._problem(f"{place}[{index}]", f"{shown(text)} isn't the full ID of a contact")
            ids.add(text)
        return frozenset(ids)

    def _mapping(
        self, place: str, tree: object, known: tuple[str, ...] = ()
    ) -> Mapping[str, object] | None:
        if not isinstance(tree, dict):
            self._problem(place, f"is {_kind(tree)}, where `key: value` lines are expected")
            return None
        mapping = cast(dict[str, object], tree)
        for key in mapping:
            if known and key not in known:
                self._problem(step(place, key), f"isn't known; expected {listed(list(known))}")
        return mapping

    def _list(self, place: str, tree: object) -> list[object]:
        if isinstance(tree, list):
            return tree
        if tree != "":
            self._problem(place, f"is {_kind(tree)}, where a list is expected")
        return []

    def _text(self, place: str, tree: object) -> str:
        if isinstance(tree, str):
            return tree
        self._problem(place, f"is {_kind(tree)}, where text is expected")
        return ""

    def _problem(self, place: str, what: str) -> None:
        self._problems.append(Problem(self._file, place, what))


def _kind(tree: object) -> str:
    if isinstance(tree, dict):
        return "a mapping"
    return "a list" if isinstance(tree, list) else shown(str(tree))
