"""Peers' identity documents: fetched over an untrusted wire, verified, and kept until they expire.

Nothing is ever fetched for a stranger: only contacts of the owner, and what an owner types, get
here.
"""

import asyncio
import time
from collections.abc import Callable

from proxy.core.access.policy import Contact
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, values_of
from proxy.core.http.web_server import explain_unproven
from proxy.core.identity import PublicKey
from proxy.core.identity_document import MAX_BYTES, PATH, Document, verify_document
from proxy.core.signature.base import Message
from proxy.core.signature.response import Untrusted
from proxy.http.upstream import (
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamTimeouts,
)
from proxy.outbound.destinations import destination_of
from proxy.transfer.failures import peer_failed

PATIENCE = 10.0
"""Seconds for each phase of fetching a document, at most."""
RENEWAL_PAUSE = 10.0
"""Seconds between two fetches of a contact's document that an unproven response asks for."""


async def fetch_document(
    upstream: Upstream, to: Destination, expected: str, *, now: float, patience: float = PATIENCE
) -> Document:
    """Fetch and verify the identity document at ``to``.

    ``expected`` is the full ID, or a prefix of it where an owner typed one; ``patience`` is seconds
    for each phase. Raises ``Refusal`` (``PEER_UNREACHABLE``, ``PEER_TIMEOUT``, ``PEER_UNTRUSTED``).
    """
    head, body = await ask_for_document(upstream, to, patience)
    try:
        return verify_document(expected, head, body, now=now)
    except Untrusted as error:
        raise Refusal(Code.PEER_UNTRUSTED, f"{to.origin}: {error}{_unproven(to, head)}") from None


def _unproven(to: Destination, head: Message) -> str:
    """Return what an owner is told of a response that nobody signed."""
    if values_of(head.fields, b"signature"):
        return ""
    return f". {explain_unproven(head.status or 0, head.fields, to.origin.host)}"


async def ask_for_document(
    upstream: Upstream, to: Destination, patience: float
) -> tuple[Message, bytes]:
    """Fetch what is at ``to`` in the place of the identity document; nothing of it is verified yet.

    Raises as ``fetch_document`` does.
    """
    host: Field = (b"host", to.origin.authority.encode("ascii"))
    accept: Field = (b"accept", b"application/json")
    timeouts = UpstreamTimeouts(patience, patience, patience)
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
    return Message(fields=response.fields, status=response.status), body


class Directory:
    """The documents of contacts. Many who ask at once for one of them cause one fetch."""

    def __init__(
        self,
        upstream: Upstream,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        self._upstream = upstream
        self._clock = clock
        self.patience = patience
        """Seconds to wait for a document."""
        self._kept: dict[Contact, Document] = {}
        self._fetches: dict[Contact, asyncio.Task[Document]] = {}
        self._renewed: dict[Contact, float] = {}
        """When a document was last fetched because ``renewed`` was asked for."""

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    async def document(self, contact: Contact) -> Document:
        """Return the contact's document, fetched where none is kept; raises as ``fetch`` does."""
        return self.kept(contact) or await self.fetch(contact)

    def kept(self, contact: Contact) -> Document | None:
        """Return the contact's document where none need be fetched."""
        kept = self._kept.get(contact)
        return kept if kept is not None and self._clock() < kept.expires else None

    def public_key(self, contact: Contact) -> PublicKey | None:
        """Return the key that the contact's last document proved, be that over or not.

        A contact is known by the hash of its key, so that one never becomes another.
        """
        kept = self._kept.get(contact)
        return kept.key if kept is not None else None

    def forget(self, contact: Contact, document: Document) -> None:
        """Fetch again next time, unless another document than this one came meanwhile."""
        if self._kept.get(contact) is document:
            del self._kept[contact]

    async def renewed(self, contact: Contact, document: Document) -> Document:
        """Return another document than this one, if there is one by now; else the kept one.

        Fetches it at most each ``RENEWAL_PAUSE`` seconds: whoever answers in the peer's place could
        have us ask for it with every call. Raises as ``fetch`` does; the old one is kept then.
        """
        kept, now = self._kept.get(contact), self._clock()
        if kept is not None and kept is not document and now < kept.expires:
            return kept
        recent = {each: at for each, at in self._renewed.items() if abs(now - at) < RENEWAL_PAUSE}
        if contact in recent and contact not in self._fetches:
            return document
        self._renewed = {**recent, contact: recent.get(contact, now)}
        return await self.fetch(contact)

    async def has_another_key(self, contact: Contact, document: Document) -> bool:
        """Look at the document anew; tell whether it names another sealing key than ``document``.

        One that can't be had, or believed, tells nothing: what it is looked at for failed for
        another reason.
        """
        try:
            newer = await self.renewed(contact, document)
        except Refusal:
            return False
        now = self._clock()
        before, after = document.sealing_key(now), newer.sealing_key(now)
        return after is not None and (before is None or after.config != before.config)

    async def fetch(self, contact: Contact) -> Document:
        """Fetch the contact's document and keep it.

        Raises ``Refusal`` (``PEER_UNREACHABLE``, ``PEER_TIMEOUT``, ``PEER_UNTRUSTED``). Goes on
        when whoever asked first is cancelled: others wait for it too.
        """
        fetch = self._fetches.get(contact)
        if fetch is None:
            fetch = asyncio.create_task(self._fetch(contact))
            fetch.add_done_callback(lambda done: self._take(contact, done))
            self._fetches[contact] = fetch
        return await asyncio.shield(fetch)

    async def _fetch(self, contact: Contact) -> Document:
        to = destination_of(contact)
        return await fetch_document(
            self._upstream, to, contact.id, now=self._clock(), patience=self.patience
        )

    def _take(self, contact: Contact, done: "asyncio.Task[Document]") -> None:
        self._fetches.pop(contact, None)
        if not done.cancelled() and done.exception() is None:
            self._kept[contact] = done.result()
