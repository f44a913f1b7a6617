"""Where a contact is reached: its address, or where the owner's ``connect`` leads instead."""

from functools import lru_cache

from proxy.core.access.policy import Contact
from proxy.http.upstream import Destination

_KEPT = 256
"""How many of each are remembered: they are asked for with each call."""


@lru_cache(_KEPT)
def destination_of(contact: Contact) -> Destination:
    """Return where a contact's Portal is reached."""
    return Destination(contact.origin, connect_of(contact.connect))


@lru_cache(_KEPT)
def app_destination(contact: Contact, app: str) -> Destination:
    """Return where ``app`` on a contact's Portal is reached.

    The connection goes to the Portal's own host; the name that TLS shows and verifies is the
    app's, as in ``Host``: a front server that compares the two would refuse anything else.
    """
    portal = destination_of(contact)
    own = (portal.origin.host.strip("[]"), portal.origin.port)
    return Destination(portal.origin.of_app(app), portal.connect or own)


def connect_of(text: str) -> tuple[str, int] | None:
    """Read ``host:port`` as the contact list keeps it; "" is None."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
