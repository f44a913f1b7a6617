"""What several workers hold together: each counts what it holds, and sees what the others do.

The kernel deals connections out unevenly, so that a limit that was divided would refuse long before
it is reached. Nobody locks anything: the memory is made before the workers are forked, each writes
its own part alone, and all add up everybody's. What two let in at the same moment can be one more
than the limit, for each worker at most.

Names (apps, peers, networks) have no table. Each has two of ``ROWS`` places, by a hash with a key
that nobody outside knows, and what it has is the smaller of the two counts: never too little, and
too much only where both places are shared with somebody who holds much.
"""

import mmap
from collections.abc import Hashable
from typing import Protocol

ROWS = 16_384
_PART = 2 * ROWS
_NUMBER = 4
_SECOND = 24
"""The bits of a hash that the second place isn't taken from."""


class Count(Protocol):
    """How many of one thing this worker and the others hold."""

    def add(self, change: int) -> None:
        """Note that this worker holds so many more."""

    def others(self) -> int:
        """Return how many the others hold."""


class Counts(Protocol):
    """All that is counted."""

    def of(self, *name: Hashable) -> Count:
        """Return the count of what has this name."""


class SharedCounts:
    """The counts of ``workers`` processes that are forked from this one."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _PART * _NUMBER)
        self._numbers = memoryview(self._memory).cast("i")

    def of_worker(self, worker: int) -> Counts:
        """Return the counts as this worker has them."""
        return _OfWorker(self._numbers, worker * _PART)

    def forget(self, worker: int) -> None:
        """Count nothing any more for a worker that has ended."""
        size = _PART * _NUMBER
        self._memory[worker * size : (worker + 1) * size] = bytes(size)


class _OfWorker:
    """The counts of the worker whose part begins at ``own``."""

    def __init__(self, numbers: "memoryview[int]", own: int) -> None:
        self._numbers = numbers
        self._own = own

    def of(self, *name: Hashable) -> Count:
        number = hash(name)
        return _Shared(self._numbers, self._own, number % ROWS, ROWS + (number >> _SECOND) % ROWS)


class _Shared:
    """One count in shared memory."""

    __slots__ = ("_first", "_numbers", "_own", "_second")

    def __init__(self, numbers: "memoryview[int]", own: int, first: int, second: int) -> None:
        self._numbers = numbers
        self._own = own
        self._first = first
        self._second = second

    def add(self, change: int) -> None:
        self._numbers[self._own + self._first] += change
        self._numbers[self._own + self._second] += change

    def others(self) -> int:
        others = self._others_at(self._first)
        return min(others, self._others_at(self._second)) if others else 0

    def _others_at(self, place: int) -> int:
        return sum(self._numbers[place::_PART]) - self._numbers[self._own + place]


class _Alone:
    """The counts of the one process that there is: nobody else holds anything."""

    def of(self, *name: Hashable) -> Count:
        del name
        return self

    def add(self, change: int) -> None:
        pass

    def others(self) -> int:
        return 0


ALONE: Counts = _Alone()
