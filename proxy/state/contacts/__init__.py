"""The owner's contact list: who is a peer, and which app may know whom. One source of truth.

``format`` is the file's text, ``edits`` are the changes that commands make, ``store`` is the file
that processes share, and a running proxy's view of it.
"""

from proxy.state.contacts.edits import changed, with_contact, with_visibility, without_contact
from proxy.state.contacts.format import derived_address, parse_contacts, serialise_contacts
from proxy.state.contacts.store import ContactStore, ContactWatch

__all__ = [
    "ContactStore",
    "ContactWatch",
    "changed",
    "derived_address",
    "parse_contacts",
    "serialise_contacts",
    "with_contact",
    "with_visibility",
    "without_contact",
]
