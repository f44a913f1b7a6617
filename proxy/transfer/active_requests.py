"""What runs just now, by its subject: the access that it depends on. Without that it is revoked.

To revoke an exchange is to cancel the task that serves it, and so the connection to its app or peer
is given up too. Where no response has begun, the refusal that a new request would get follows;
otherwise only a broken connection tells. Everything here belongs to one event loop.
"""

import asyncio
from types import TracebackType
from typing import Protocol, Self

from proxy.core.errors import Code, Refusal
from proxy.core.gate import AccessContext
from proxy.core.log_line import REVOKED, RequestLine
from proxy.core.revocation import Subject, revocation_reason
from proxy.http.upstream import UpstreamFailed


class Revoked(UpstreamFailed):
    """An exchange whose response had begun was revoked."""


class Revocable(Protocol):
    """An exchange that can be ended because its subject is gone."""

    def revoke(self, reason: Refusal) -> None:
        """End it with ``reason``; a second call does nothing."""


class ActiveRequests:
    """All exchanges that run just now."""

    def __init__(self) -> None:
        self._by_subject: dict[Subject, set[Revocable]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_subject.values()))

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

    def run(self, subject: Subject, line: RequestLine) -> "ActiveRequest":
        """Return the context in which the current task serves an exchange.

        Enter it before anything is awaited since ``subject`` was found to be there. Being revoked
        raises out of it: ``Refusal`` where ``line`` knows of no response that has begun, else
        ``Revoked``.
        """
        return ActiveRequest(self, subject, line)

    def revoke_lost(self, context: AccessContext, now: float) -> None:
        """Revoke every exchange whose subject is gone in ``context``, ``now`` in Unix seconds.

        All of them are looked at, whatever changed: one that began while a change was being taken
        over is found the next time.
        """
        for subject in tuple(self._by_subject):
            reason = revocation_reason(subject, context, now)
            if reason is not None:
                for active in tuple(self._by_subject[subject]):
                    active.revoke(reason)


class ActiveRequest:
    """One exchange: a context manager, around all that serves it."""

    __slots__ = ("_active", "_cancelling", "_line", "_reason", "_subject", "_task")

    def __init__(self, active: ActiveRequests, subject: Subject, line: RequestLine) -> None:
        self._active = active
        self._subject = subject
        self._line = line
        self._reason: Refusal | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    @property
    def revoked_for(self) -> Code | None:
        """Why it may not go on; None while it may."""
        return self._reason.code if self._reason is not None else None

    def revoke(self, reason: Refusal) -> None:
        """End it with ``reason``; a second call does nothing."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._line.outcome, self._line.detail = REVOKED, reason.detail
            self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be revoked")
        self._task, self._cancelling = task, task.cancelling()
        self._active.add(self._subject, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._active.discard(self._subject, self)
        if self._reason is None or self._task is None:
            return
        # Somebody else may have cancelled the task too: a client that left, or the server.
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            if self._line.first is not None:
                raise Revoked(self._reason.detail) from None
            raise Refusal(self._reason.code, self._reason.detail) from None
