"""Contacts and changes for the tests of the contact list's file."""

from collections.abc import Callable
from pathlib import Path

from proxy.core.access.policy import Contact, ContactList
from proxy.state.contacts import with_contact

DOMAIN = "p.example.org"
BOB = Contact("b" * 103, "Bob", "https://bbbbbb.p.example.org")
EVE = Contact("e" * 103, "Eve", "https://eeeeee.p.example.org")


def adding(contact: Contact) -> Callable[[ContactList], ContactList]:
    return lambda contacts: with_contact(contacts, contact)


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}
