"""When each peer last called, and was last called: in memory, for the owner alone.

Several workers share the memory, and each writes a part of its own, so nobody locks anything. A
peer has one row of a part, by a hash with a key that nobody outside knows; where all of its places
are another one's, the row that was idle for longest is given up. So it takes no more however many
peers there are, and what is told may be forgotten, but is never another peer's.
"""

import mmap
from collections.abc import Iterable
from dataclasses import dataclass

ROWS = 8192
_PLACES = 8
"""Rows that one peer may have, one behind the other."""
_NUMBER = 8
_KEY, _IN, _OUT = range(3)
_ROW = 3
_PART = (ROWS + _PLACES) * _ROW
_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class LastCall:
    """A call: when it ended, in Unix seconds, and whether it was answered."""

    at: float
    answered: bool


class LastCalls:
    """Of ``workers`` processes that are forked from this one, or of this one alone."""

    def __init__(self, workers: int = 1) -> None:
        memory = memoryview(mmap.mmap(-1, workers * _PART * _NUMBER))
        self._keys, self._times = memory.cast("Q"), memory.cast("d")
        self._parts = range(0, workers * _PART, _PART)

    def of_worker(self, worker: int) -> "LastCallsNotes":
        """Return what writes into this worker's part; it goes on from what is there."""
        return LastCallsNotes(self, self._parts[worker])

    def of(self, peers: Iterable[str]) -> dict[str, tuple[LastCall | None, LastCall | None]]:
        """Return the last call in and the last one out of each of these peers, by ID."""
        found = {}
        for peer in peers:
            rows = [row for part in self._parts if (row := self._row_of(part, peer)) is not None]
            found[peer] = self._latest(rows, _IN), self._latest(rows, _OUT)
        return found

    def note(self, part: int, peer: str, which: int, now: float) -> None:
        """Write the time of a call, negative where it wasn't answered, into a row of ``part``."""
        row = self._row_of(part, peer)
        if row is None:
            row = self._row_for(part, peer)
        self._times[row + which] = now

    def _row_of(self, part: int, peer: str) -> int | None:
        key = _key(peer)
        first = part + key % ROWS * _ROW
        for row in range(first, first + _PLACES * _ROW, _ROW):
            if self._keys[row] == key:
                return row
        return None

    def _row_for(self, part: int, peer: str) -> int:
        """Give the peer a row that is free, or that of who was idle for longest."""
        key = _key(peer)
        first = part + key % ROWS * _ROW
        row = min(range(first, first + _PLACES * _ROW, _ROW), key=self._idle_since)
        self._keys[row] = 0  # who reads meanwhile must not take its times for the new peer's
        self._times[row + _IN] = self._times[row + _OUT] = 0.0
        self._keys[row] = key
        return row

    def _idle_since(self, row: int) -> float:
        return max(abs(self._times[row + _IN]), abs(self._times[row + _OUT]))

    def _latest(self, rows: list[int], which: int) -> LastCall | None:
        time = max((self._times[row + which] for row in rows), key=abs, default=0.0)
        return LastCall(abs(time), answered=time > 0) if time else None


class LastCallsNotes:
    """What one worker notes."""

    def __init__(self, calls: LastCalls, part: int) -> None:
        self.calls = calls
        """What all of them noted."""
        self._part = part

    def came(self, peer: str, now: float, *, answered: bool) -> None:
        """Note that a call of this peer's has ended."""
        self.calls.note(self._part, peer, _IN, now if answered else -now)

    def went(self, peer: str, now: float, *, answered: bool) -> None:
        """Note that a call to this peer has ended."""
        self.calls.note(self._part, peer, _OUT, now if answered else -now)


def _key(peer: str) -> int:
    """Return what stands for the peer: forked processes have the same key of the hash."""
    return hash(peer) & _BITS or 1
