"""The owner's contact list: who is a peer, and which app may know whom. One source of truth.

``form`` is the file's text, ``edits`` are the changes that commands make, ``store`` is the file
that processes share, ``watch`` is a running proxy's view of it.
"""

from proxy.contacts.edits import renamed, with_contact, with_visibility, without_contact
from proxy.contacts.form import derived_address, parse_contacts, serialise_contacts
from proxy.contacts.store import ContactStore
from proxy.contacts.watch import ContactWatch

__all__ = [
    "ContactStore",
    "ContactWatch",
    "derived_address",
    "parse_contacts",
    "renamed",
    "serialise_contacts",
    "with_contact",
    "with_visibility",
    "without_contact",
]
