"""What an owner types to name a peer or an app, and what to say where it names none.

Strict on purpose: a prefix must fit exactly one contact. Six characters can be ground out by
anybody, so what was typed is resolved among the owner's own contacts only. A name does as well,
where nobody else could be meant.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

import typer

from proxy.cli.output import USAGE, Stop
from proxy.core.access.policy import Contact, ContactList, Visibility
from proxy.core.display_names import MAX_NAME_LENGTH
from proxy.core.http.origin import parse_connect, parse_origin
from proxy.core.identity import ALPHABET, ID_LENGTH, SHORT_ID_LENGTH, is_id_prefix, short_id
from proxy.core.written_id import GROUP, GROUPS, MistypedId, read_id

Peer = Annotated[
    str,
    typer.Argument(
        metavar="PEER", help="A contact: its ID, six or more characters of it, or its name."
    ),
]
"""``PEER``, as every command about one takes it; for ``the_contact``."""

AppName = Annotated[
    str, typer.Argument(metavar="APP", help="The app's name: that of its folder in apps/.")
]
"""``APP``, as the commands about this Portal's apps take it."""


def id_problem(text: str) -> str | None:
    """Return what is wrong with ``text`` as an ID or the beginning of one, or None."""
    if is_id_prefix(text):
        return None
    if is_id_prefix(text.lower()):
        return f"IDs are written in lower case: {text.lower()}"
    if not text:
        return f"an ID has {SHORT_ID_LENGTH} to {ID_LENGTH} characters, and this one is empty"
    groups = text.replace("-", " ").split()
    if len(groups) > 1:
        return _grouping_problem(groups)
    strange = [character for character in dict.fromkeys(text) if character not in ALPHABET]
    if strange:
        return (
            f"{strange[0]!r} is in no ID: IDs are made of a to z without i, m, o and u, "
            "and of 0 to 9"
        )
    return f"an ID has {SHORT_ID_LENGTH} to {ID_LENGTH} characters, and this one has {len(text)}"


def _grouping_problem(groups: list[str]) -> str:
    """Return what is wrong with an ID in groups that together are too long or too short."""
    if len(groups) != GROUPS:
        return f"it has {len(groups)} groups, and a whole one has {GROUPS}"
    lengths = [GROUP + 1] * (GROUPS - 1) + [ID_LENGTH % GROUP + 1]
    at = next(at for at in range(GROUPS) if len(groups[at]) != lengths[at])
    what = "has too few characters or too many: compare it"
    return f"group {at + 1} of {GROUPS}, {groups[at]!r}, {what}"


def typed_id(text: str) -> str:
    """Return a full ID, in either of its written forms, or the beginning of one, as it is.

    Refuses what can be neither, and says where a full one was mistyped.
    """
    try:
        whole = read_id(text)
    except MistypedId as mistake:
        raise Stop(f"{text!r} isn't an ID: {mistake}") from None
    if whole is not None:
        return whole
    problem = id_problem(text)
    if problem is not None:
        raise Stop(f"{text!r} isn't an ID: {problem}")
    return text


def the_contact(contacts: ContactList, text: str) -> Contact:
    """Return the one contact that ``text`` can mean: its name, its ID, or the beginning of one.

    A name that looks like the ID of another contact names neither: a peer may have chosen it.
    """
    portal_id = _beginning(text)
    meant = [
        contact
        for contact in contacts.peers
        if contact.name == text or (portal_id and contact.id.startswith(portal_id))
    ]
    if len(meant) == 1:
        return meant[0]
    if meant:
        several = ", ".join(f"{contact.id} ({contact.name})" for contact in meant)
        raise Stop(f"{text!r} can mean several contacts, give more of the ID: {several}")
    if len(text) > MAX_NAME_LENGTH:
        typed_id(text)  # it can't be a name: say where it is wrong as an ID
    close = get_close_matches(text, [contact.name for contact in contacts.peers], n=1)
    hint = f"did you mean {close[0]!r}?" if close else "portal-proxy peers list shows them all"
    raise Stop(f"{text!r} is no contact's name, nor the beginning of one's ID; {hint}")


def _beginning(text: str) -> str:
    """Return the ID that ``text`` is, or the beginning of one; "" where it is neither."""
    try:
        whole = read_id(text)
    except MistypedId:
        return ""
    return whole or (text if is_id_prefix(text) else "")


def read_visibility(contacts: ContactList, who: list[str]) -> Visibility:
    """Read ``all``, ``none`` or IDs as the setting of an app."""
    if who == ["all"]:
        return "all"
    if who == ["none"]:
        return "none"
    if {"all", "none"} & {*who}:
        raise Stop("all and none stand alone, without IDs", status=USAGE)
    return frozenset(the_contact(contacts, text).id for text in who)


def read_address(typed: str) -> str:
    """Return a Portal's address in its one spelling; refuses what is none."""
    try:
        return str(parse_origin(typed))
    except ValueError as error:
        raise Stop(f"--address: {error}") from None


def read_connect(typed: str) -> str:
    """Return ``host:port`` in lower case; refuses what is none."""
    try:
        return parse_connect(typed)
    except ValueError as error:
        raise Stop(f"--connect: {error}") from None


def shortest_id(contacts: ContactList, contact: Contact) -> str:
    """Return the short ID where it fits this contact alone, else the full one."""
    short = short_id(contact.id)
    alone = sum(other.id.startswith(short) for other in contacts.peers) == 1
    return short if alone else contact.id


def unknown_app(name: str, known: Iterable[str]) -> Stop:
    """Return the refusal of an app that isn't there, with the nearest name that is."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1)
    if close:
        return Stop(f"there is no app {name!r}; did you mean {close[0]}?")
    if names:
        return Stop(f"there is no app {name!r}; there are: {', '.join(names)}")
    return Stop(f"there is no app {name!r}, nor any other: each is a folder in apps/ of the config")
