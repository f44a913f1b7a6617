"""How many requests ended, and how: counted where the log's line is made, for ``/metrics``.

Each worker counts in memory that all of them share, in a part of its own, so nobody locks anything
and any of them can tell the numbers of all. Nothing is written to a disk. What a worker counted
stays when it ends, however it ends, and whoever takes its place goes on from there: a number never
becomes smaller while the proxy runs.

A part is a list of rows that only grows. A row is a ``RequestKind``, as JSON, and its numbers; it
is written whole before the list is made longer. Nothing of a kind is a stranger's to choose: it has
no path, no ID and no address, and an app's name is that of an app that is there.
"""

import json
import mmap
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from proxy.core.log_line import RequestLine

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Up to which durations are counted together; what is longer is the last."""

_PART = 1 << 20
"""Bytes of a worker's part, some four thousand rows; what is never written to takes no memory."""
_NUMBER = 8
_USED, _MISSED, _FIRST = 0, 1, 2
"""The part's first two numbers, and where its rows begin."""
_COUNT, _IN, _OUT, _TIME, _BY_TIME = range(5)
_VALUES = _BY_TIME + len(SECONDS) + 1


class RequestKind(NamedTuple):
    """What requests have in common that are counted together; "" and 0 stand for nothing."""

    listener: str
    app: str
    access: str
    mode: str
    outcome: str
    code: str
    status_class: int
    """The first digit of the status."""


class RequestTotals(NamedTuple):
    """What was counted of one kind."""

    number: int
    bytes_in: int
    bytes_out: int
    seconds: float
    by_seconds: tuple[int, ...]
    """How many took so long: one for each of ``SECONDS``, and one for what is longer."""


class RequestCounts:
    """The counts of ``workers`` processes that are forked from this one, or of this one alone."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = mmap.mmap(-1, workers * _PART)
        whole = memoryview(self._memory)
        self._parts = [whole[at : at + _PART] for at in range(0, workers * _PART, _PART)]

    def of_worker(self, worker: int) -> "RequestCounter":
        """Return what counts in this worker's part; it goes on from what is there."""
        return RequestCounter(self, self._parts[worker])

    def totals(self) -> dict[RequestKind, RequestTotals]:
        """Return what all workers counted."""
        sums: dict[RequestKind, list[float]] = {}
        for part in self._parts:
            numbers = part.cast("d")
            for kind, at in _rows(part):
                row = numbers[at : at + _VALUES]
                known = sums.get(kind)
                sums[kind] = list(row) if known is None else list(map(sum, zip(known, row)))  # noqa: B905 - of one length
        return {kind: _totals(row) for kind, row in sums.items()}

    @property
    def missed(self) -> int:
        """How many requests weren't counted, as there were too many kinds."""
        return sum(int(part.cast("d")[_MISSED]) for part in self._parts)


class RequestCounter:
    """Counts the requests of one worker."""

    def __init__(self, counts: RequestCounts, part: memoryview) -> None:
        self.counts = counts
        """Those of all workers."""
        self._part = part
        self._numbers = part.cast("d")
        self._at: dict[tuple[object, ...], int] = {}
        for kind, at in _rows(part):
            self._at[kind] = at

    def count(self, line: RequestLine) -> None:
        """Count a request that is over; its line has its outcome."""
        kind = (
            line.listener, line.app, line.access, line.mode, line.outcome, line.code,
            line.status // 100,
        )  # fmt: skip
        at = self._at.get(kind)
        if at is None:
            at = self._begin(RequestKind(*kind))
            if not at:
                return
        numbers, seconds = self._numbers, line.seconds
        numbers[at] += 1
        numbers[at + _IN] += line.bytes_in
        numbers[at + _OUT] += line.bytes_out
        numbers[at + _TIME] += seconds
        numbers[at + _BY_TIME + bisect_left(SECONDS, seconds)] += 1

    def _begin(self, kind: RequestKind) -> int:
        """Begin a row; returns where its numbers are, 0 where there is no room for it."""
        numbers = self._numbers
        text = json.dumps(kind).encode("ascii")
        start = _FIRST + int(numbers[_USED])
        at = start + 1 + -(-len(text) // _NUMBER)
        end = at + _VALUES
        if end > len(numbers):
            numbers[_MISSED] += 1
            return 0
        self._part[(start + 1) * _NUMBER :][: len(text)] = text
        for value in range(at, end):
            numbers[value] = 0
        numbers[start] = len(text)
        numbers[_USED] = end - _FIRST
        self._at[kind] = at
        return at


def _rows(part: memoryview) -> Iterator[tuple[RequestKind, int]]:
    """Go through the rows of a part: the kind of each, and where its numbers are."""
    numbers = part.cast("d")
    at, end = _FIRST, _FIRST + int(numbers[_USED])
    while at < end:
        size, text = int(numbers[at]), (at + 1) * _NUMBER
        at += 1 + -(-size // _NUMBER)
        yield RequestKind(*json.loads(bytes(part[text : text + size]))), at
        at += _VALUES


def _totals(row: list[float]) -> RequestTotals:
    by_seconds = tuple(map(int, row[_BY_TIME:]))
    return RequestTotals(int(row[_COUNT]), int(row[_IN]), int(row[_OUT]), row[_TIME], by_seconds)
