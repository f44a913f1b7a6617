"""Peers' identity documents: fetched over an untrusted wire, and verified.

Nothing is ever fetched for a stranger: only contacts of the owner, and what an owner types, get
here. Also the one place that knows whether a peer was reachable just now.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from proxy.core.errors import Code, Refusal
from proxy.core.headers import Field
from proxy.core.policy import Contact
from proxy.core.signature.base import Message
from proxy.core.signature.document import MAX_BYTES, PATH, Document, verify_document
from proxy.core.signature.response import Untrusted
from proxy.outcomes import peer_failed
from proxy.upstream import Destination, Timeouts, Upstream, UpstreamFailed, UpstreamRequest

FRESH = 60.0
"""Seconds for which a peer counts as reachable, or not, without asking again."""
PATIENCE = 2.0
"""Seconds that a list of peers waits for those that were not asked lately."""
AT_ONCE = 16


def destination_of(contact: Contact) -> Destination:
    """Return where a contact's Portal is reached: its address, or where ``connect`` leads."""
    return Destination(contact.origin, connect_of(contact.connect))


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


async def fetch_document(
    upstream: Upstream, to: Destination, expected: str, *, now: float, patience: float = 10.0
) -> Document:
    """Fetch and verify the identity document at ``to``.

    ``expected`` is the full ID, or a prefix of it where an owner typed one; ``patience`` is seconds
    for each phase. Raises ``Refusal`` (``PEER_UNREACHABLE``, ``PEER_TIMEOUT``, ``PEER_UNTRUSTED``).
    """
    host: Field = (b"host", to.origin.authority.encode("ascii"))
    accept: Field = (b"accept", b"application/json")
    timeouts = Timeouts(patience, patience, patience)
    request = UpstreamRequest(to, b"GET", PATH, (host, accept), None, timeouts)
    try:
        async with upstream.send(request) as response:
            body = b""
            async for piece in response.pieces():
                body += piece
                if len(body) > MAX_BYTES:
                    raise Refusal(Code.PEER_UNTRUSTED, "identity document: too large")
    except UpstreamFailed as failure:
        raise peer_failed(failure, b"GET", str(to.origin)) from None
    head = Message(fields=response.fields, status=response.status)
    try:
        return verify_document(expected, head, body, now=now)
    except Untrusted as error:
        raise Refusal(Code.PEER_UNTRUSTED, f"{to.origin}: {error}") from None


class Directory:
    """Whether each contact answered lately, and proved who it is."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float] = time.time) -> None:
        self._upstream = upstream
        self._clock = clock
        self._asked: dict[Contact, tuple[float, bool]] = {}

    def note(self, contact: Contact, *, reachable: bool) -> None:
        """Remember that a contact just answered, or didn't."""
        self._asked[contact] = (self._clock(), reachable)

    async def reachable(self, contacts: Iterable[Contact]) -> dict[str, bool]:
        """Tell for each contact, by ID, whether its Portal answers and proves who it is.

        Those not heard of for ``FRESH`` seconds are asked, at once and for ``PATIENCE`` seconds.
        """
        wanted = list(contacts)
        gate = asyncio.Semaphore(AT_ONCE)
        stale = [contact for contact in wanted if self._is_stale(contact)]
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(self._ask(contact, gate) for contact in stale))
        for contact in stale:
            if self._is_stale(contact):
                self.note(contact, reachable=False)
        return {contact.id: self._asked[contact][1] for contact in wanted}

    def _is_stale(self, contact: Contact) -> bool:
        asked = self._asked.get(contact)
        return asked is None or not 0 <= self._clock() - asked[0] < FRESH

    async def _ask(self, contact: Contact, gate: asyncio.Semaphore) -> None:
        async with gate:
            to = destination_of(contact)
            try:
                await fetch_document(self._upstream, to, contact.id, now=self._clock())
            except Refusal:
                self.note(contact, reachable=False)
            else:
                self.note(contact, reachable=True)
