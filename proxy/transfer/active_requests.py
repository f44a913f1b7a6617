"""What runs just now, by its subject: the access that it depends on. Without that it is revoked.

Whoever is revoked ends itself (``proxy.transfer.relay``), and gives up the connection to its app or
peer too. Where no response has begun, the refusal that a new request would get follows; otherwise
only a broken connection tells. Everything here belongs to one event loop.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from proxy.core.errors import Refusal
from proxy.core.gate import AccessContext
from proxy.core.revocation import Subject, revocation_reason


class Revocable(Protocol):
    """What can be ended because its subject is gone: a relay."""

    def revoke(self, reason: Refusal) -> None:
        """End it with ``reason``; a second call does nothing."""


class ActiveRequests:
    """All that run just now."""

    def __init__(self) -> None:
        self._by_subject: dict[Subject, set[Revocable]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_subject.values()))

    def __iter__(self) -> Iterator[Revocable]:
        """Go through all of them."""
        return chain.from_iterable(self._by_subject.values())

    def add(self, subject: Subject, active: Revocable) -> None:
        """Count ``active`` among them, until it is discarded.

        Before anything is waited for since ``subject`` was found to be there.
        """
        runs = self._by_subject.get(subject)
        if runs is None:
            runs = self._by_subject[subject] = set()
        runs.add(active)

    def discard(self, subject: Subject, active: Revocable) -> None:
        """Count it no more."""
        runs = self._by_subject.get(subject)
        if runs is not None:
            runs.discard(active)
            if not runs:
                del self._by_subject[subject]

    def revoke_lost(self, context: AccessContext, now: float) -> None:
        """Revoke whatever has lost its subject in ``context``, ``now`` in Unix seconds.

        All of them are looked at, whatever changed: one that began while a change was being taken
        over is found the next time.
        """
        for subject in tuple(self._by_subject):
            reason = revocation_reason(subject, context, now)
            if reason is not None:
                for active in tuple(self._by_subject.get(subject, ())):  # one may have ended others
                    active.revoke(reason)
