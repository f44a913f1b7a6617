"""What runs just now, by what it lives on; it is cut when that is taken away.

A cut cancels the task that serves the exchange, and with it everything that the exchange holds: the
connection to the app or peer is given up. Where no answer has begun, the refusal of a new request
follows; otherwise only a broken connection tells. Everything here is of one event loop.
"""

import asyncio
from types import TracebackType
from typing import Self

from proxy.core.errors import Refusal
from proxy.core.gate import AccessContext
from proxy.core.log_line import REVOKED, RequestLine
from proxy.core.revocation import Subject, revocation_reason
from proxy.http.upstream import UpstreamFailed


class Revoked(UpstreamFailed):
    """An exchange that had begun to be answered lost what it lived on."""


class ActiveRequests:
    """All exchanges that run."""

    def __init__(self) -> None:
        self._by_subject: dict[Subject, set[ActiveRequest]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_subject.values()))

    def run(self, subject: Subject, line: RequestLine) -> "ActiveRequest":
        """Return the context in which the current task serves an exchange.

        Enter it before anything is awaited since ``subject`` was found to be there. A cut raises
        out of it: ``Refusal`` where ``line`` knows of no answer that has begun, else ``Revoked``.
        """
        return ActiveRequest(self._by_subject, subject, line)

    def revoke_lost(self, context: AccessContext, now: float) -> None:
        """Cut every exchange whose ground isn't there in ``context``, ``now`` in Unix seconds.

        All of them are looked at, whatever changed: one that began while a change was being taken
        over is found the next time.
        """
        for subject in tuple(self._by_subject):
            lost = revocation_reason(subject, context, now)
            if lost is not None:
                for run in tuple(self._by_subject[subject]):
                    run.cut(lost)


class ActiveRequest:
    """One exchange: a context manager, around all that serves it."""

    __slots__ = ("_by_subject", "_cancelling", "_line", "_lost", "_subject", "_task")

    def __init__(
        self, by_subject: "dict[Subject, set[ActiveRequest]]", subject: Subject, line: RequestLine
    ) -> None:
        self._by_subject = by_subject
        self._subject = subject
        self._line = line
        self._lost: Refusal | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    @property
    def is_revoked(self) -> bool:
        """Whether it is over."""
        return self._lost is not None

    def cut(self, lost: Refusal) -> None:
        """End it, because of ``lost``; once is enough."""
        if self._lost is None and self._task is not None:
            self._lost = lost
            self._line.outcome, self._line.detail = REVOKED, lost.detail
            self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cut")
        self._task, self._cancelling = task, task.cancelling()
        runs = self._by_subject.get(self._subject)
        if runs is None:
            runs = self._by_subject[self._subject] = set()
        runs.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        runs = self._by_subject[self._subject]
        runs.discard(self)
        if not runs:
            del self._by_subject[self._subject]
        if self._lost is None or self._task is None:
            return
        # Somebody else may have cancelled the task, too: a client that left, or the server.
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            if self._line.first is not None:
                raise Revoked(self._lost.detail) from None
            raise Refusal(self._lost.code, self._lost.detail) from None
