"""What an owner types to name a peer or an app, and what to say where it names none.

Strict on purpose: a prefix must fit exactly one contact. Six characters can be ground out by
anybody, so what was typed is resolved among the owner's own contacts only. What changes a contact
takes its ID alone; what only calls it takes its name too, where nobody else could be meant.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

import typer

from proxy.cli.output import Stop
from proxy.core.access.policy import Contact, ContactList
from proxy.core.identity import ALPHABET, ID_LENGTH, SHORT_ID_LENGTH, is_id_prefix, short_id

Peer = Annotated[
    str,
    typer.Argument(
        metavar="PEER", help="A contact: its ID, six or more characters of it, or its name."
    ),
]
"""``PEER``, as every command that calls one takes it; for ``the_peer``."""


def id_problem(text: str) -> str | None:
    """Return what is wrong with ``text`` as an ID or the beginning of one, or None."""
    if is_id_prefix(text):
        return None
    if is_id_prefix(text.lower()):
        return f"IDs are written in lower case: {text.lower()}"
    if not text:
        return f"an ID has {SHORT_ID_LENGTH} to {ID_LENGTH} characters, and this one is empty"
    strange = [character for character in dict.fromkeys(text) if character not in ALPHABET]
    if strange:
        return (
            f"{strange[0]!r} is in no ID: IDs are made of a to z without i, m, o and u, "
            "and of 0 to 9"
        )
    return f"an ID has {SHORT_ID_LENGTH} to {ID_LENGTH} characters, and this one has {len(text)}"


def check_id(text: str) -> None:
    """Refuse what can't be an ID or the beginning of one."""
    problem = id_problem(text)
    if problem is not None:
        raise Stop(f"{text!r} isn't an ID: {problem}")


def the_contact(contacts: ContactList, text: str) -> Contact:
    """Return the one contact whose full ID begins with ``text``; refuses none and several."""
    namesakes = [contact for contact in contacts.peers if contact.name == text]
    if namesakes and not is_id_prefix(text):
        ids = ", ".join(contact.id for contact in namesakes)
        raise Stop(f"a peer is chosen by its ID, not by its name; {text!r} is the name of {ids}")
    check_id(text)
    matches = [contact for contact in contacts.peers if contact.id.startswith(text)]
    if not matches:
        raise Stop(f"no contact's ID begins with {text}; portal-proxy peers list shows them all")
    if len(matches) > 1:
        several = ", ".join(f"{contact.id} ({contact.name})" for contact in matches)
        raise Stop(f"{text} fits several contacts, give more of the ID: {several}")
    return matches[0]


def the_peer(contacts: ContactList, text: str) -> Contact:
    """Return the one contact that ``text`` can mean, as its name or the beginning of its ID.

    A name that looks like the ID of another contact names neither: a peer may have chosen it.
    """
    meant = [
        contact
        for contact in contacts.peers
        if contact.name == text or (is_id_prefix(text) and contact.id.startswith(text))
    ]
    if len(meant) == 1:
        return meant[0]
    if meant:
        several = ", ".join(f"{contact.id} ({contact.name})" for contact in meant)
        raise Stop(f"{text!r} can mean several contacts, give more of the ID: {several}")
    close = get_close_matches(text, [contact.name for contact in contacts.peers], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise Stop(f"{text!r} is no contact's name, nor the beginning of one's ID{hint}")


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
