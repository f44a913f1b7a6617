"""How often somebody may ask: so many in a second or a minute, and so many at once.

It is the generic cell rate algorithm, in whole nanoseconds. Of each name one number is kept: until
when what it asked so far keeps its rate busy. Each request moves that time on by the interval of
the rate. Who is further ahead of the clock than the burst reaches has to wait.

Names (networks, peers, apps) have no list that could grow. Each has two cells of a table of fixed
size, by a hash with a key that nobody outside knows, and what counts is the smaller of the two. It
is never less than the truth: nobody gets past by having others forgotten, since nothing is. It is
more where both cells are also those of others that ask at nearly their rate. To keep all of a
table's cells so takes as many requests as that, times the rate.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

ROWS = 65_536
"""Of each of the two rows how many cells."""
CELLS = 2 * ROWS
"""How many cells a table has; a cell is 8 bytes."""
_SECOND = 24
"""The bits of a hash that the second cell isn't taken from."""

UNITS: dict[str, int] = {"s": 1_000_000_000, "m": 60_000_000_000}
"""Nanoseconds of what a rate may be by."""


@dataclass(frozen=True)
class Rate:
    """``number`` in each ``unit``, and ``burst`` at once."""

    number: int
    unit: Literal["s", "m"]
    burst: int

    @cached_property
    def interval(self) -> int:
        """Nanoseconds between two, rounded up: the rate is never more than what was said."""
        return -(-UNITS[self.unit] // self.number)

    def __str__(self) -> str:
        return f"{self.number}/{self.unit} burst {self.burst}"


class RateTable:
    """What was asked by all names of one kind."""

    def __init__(self, cells: "memoryview[int]") -> None:
        """``cells`` are signed numbers of 64 bits, all 0 at first; processes may share them.

        Who counts at the very moment in which another one does can be missed: nobody locks them.
        """
        self._cells = cells
        self._rows = len(cells) // 2

    def wait(self, name: str, rate: Rate, now: int, kept: int = 0) -> int:
        """Return for how many nanoseconds ``name`` has to wait; 0 where it may ask.

        ``now`` is a clock's that only goes forward, in nanoseconds. ``kept`` of the burst are for
        others, who ask under the same name.
        """
        first, second = self._places(name)
        busy = min(self._cells[first], self._cells[second])
        return max(0, busy - now - (rate.burst - 1 - kept) * rate.interval)

    def count(self, name: str, rate: Rate, now: int) -> None:
        """Count one more, whether or not it had to wait."""
        cells = self._cells
        first, second = self._places(name)
        was_first, was_second = cells[first], cells[second]
        busy = max(min(was_first, was_second), now) + rate.interval
        # One of them may be busy for longer, by somebody else.
        if was_first < busy:
            cells[first] = busy
        if was_second < busy:
            cells[second] = busy

    def clear(self) -> None:
        """Begin anew: what was counted by another rate says nothing of this one."""
        self._cells[:] = memoryview(bytes(self._cells.nbytes)).cast("q")

    def _places(self, name: str) -> tuple[int, int]:
        number, rows = hash(name), self._rows
        return number % rows, rows + (number >> _SECOND) % rows
