"""What runs just now, by what it lives on; it is cut when that is taken away.

A cut cancels the task that serves the exchange, and with it everything that the exchange holds: the
connection to the app or peer is given up. Where no answer has begun, the refusal of a new request
follows; otherwise only a broken connection tells. Everything here is of one event loop.
"""

import asyncio
from types import TracebackType
from typing import Self

from proxy.core.errors import Refusal
from proxy.core.gate import Site
from proxy.core.log_line import CUT, RequestLine
from proxy.core.revocation import Ground, loss
from proxy.http.upstream import UpstreamFailed


class Cut(UpstreamFailed):
    """An exchange that had begun to be answered lost what it lived on."""


class Exchanges:
    """All exchanges that run."""

    def __init__(self) -> None:
        self._by_ground: dict[Ground, set[Run]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_ground.values()))

    def run(self, ground: Ground, line: RequestLine) -> "Run":
        """Return the context in which the current task serves an exchange.

        Enter it before anything is awaited since ``ground`` was found to be there. A cut raises
        out of it: ``Refusal`` where ``line`` knows of no answer that has begun, else ``Cut``.
        """
        return Run(self._by_ground, ground, line)

    def cut_lost(self, site: Site, now: float) -> None:
        """Cut every exchange whose ground isn't there in ``site``, ``now`` in Unix seconds.

        All of them are looked at, whatever changed: one that began while a change was being taken
        over is found the next time.
        """
        for ground in tuple(self._by_ground):
            lost = loss(ground, site, now)
            if lost is not None:
                for run in tuple(self._by_ground[ground]):
                    run.cut(lost)


class Run:
    """One exchange: a context manager, around all that serves it."""

    __slots__ = ("_by_ground", "_cancelling", "_ground", "_line", "_lost", "_task")

    def __init__(
        self, by_ground: "dict[Ground, set[Run]]", ground: Ground, line: RequestLine
    ) -> None:
        self._by_ground = by_ground
        self._ground = ground
        self._line = line
        self._lost: Refusal | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    @property
    def is_cut(self) -> bool:
        """Whether it is over."""
        return self._lost is not None

    def cut(self, lost: Refusal) -> None:
        """End it, because of ``lost``; once is enough."""
        if self._lost is None and self._task is not None:
            self._lost = lost
            self._line.outcome, self._line.detail = CUT, lost.detail
            self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cut")
        self._task, self._cancelling = task, task.cancelling()
        runs = self._by_ground.get(self._ground)
        if runs is None:
            runs = self._by_ground[self._ground] = set()
        runs.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        runs = self._by_ground[self._ground]
        runs.discard(self)
        if not runs:
            del self._by_ground[self._ground]
        if self._lost is None or self._task is None:
            return
        # Somebody else may have cancelled the task, too: a client that left, or the server.
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            if self._line.first is not None:
                raise Cut(self._lost.detail) from None
            raise Refusal(self._lost.code, self._lost.detail) from None
