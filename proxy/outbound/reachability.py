"""Whether peers were reachable just now, and proved who they are."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from proxy.core.access.policy import Contact
from proxy.core.errors import Refusal
from proxy.core.identity import PublicKey
from proxy.outbound.identity_documents import Directory

FRESH = 60.0
"""Seconds for which a peer counts as reachable, or not, without asking again."""
PATIENCE = 2.0
"""Seconds that a list of peers waits for those that were not asked lately."""
AT_ONCE = 16


class Reachability:
    """What is known of each contact, from its calls or from asking it."""

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock
        self._asked: dict[Contact, tuple[float, bool]] = {}

    def note(self, contact: Contact, *, reachable: bool) -> None:
        """Remember that a contact just answered, or didn't."""
        self._asked[contact] = (self._clock(), reachable)

    async def of(self, contacts: Iterable[Contact]) -> dict[str, bool]:
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

    def public_key(self, contact: Contact) -> PublicKey | None:
        """Return the contact's key, if it has proved it to this process."""
        return self._directory.public_key(contact)

    def _is_stale(self, contact: Contact) -> bool:
        asked = self._asked.get(contact)
        return asked is None or not 0 <= self._clock() - asked[0] < FRESH

    async def _ask(self, contact: Contact, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                await self._directory.fetch(contact)
            except Refusal:
                self.note(contact, reachable=False)
            else:
                self.note(contact, reachable=True)
