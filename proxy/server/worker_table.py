"""What the processes of one Portal know of each other, in memory that they share.

It is made before the first worker is forked. Each worker writes its own row alone, the first
process the rest; numbers of eight bytes are written whole, so nobody has to lock anything. Times
are those of the monotonic clock, which all processes of a machine share, and which stands still
while the machine is suspended.
"""

import mmap
import time

from proxy.core.errors import Problem

BEAT = 1.0
"""Seconds between two signs of life of a worker's event loop."""
QUIET = 10.0
"""Seconds without one after which a worker is a problem."""
TOLD = 3600.0
"""Seconds for which it is told that a worker was replaced because it didn't run."""

_NUMBER = 8
_ROW = 5
_PROCESS, _BEAT, _SERVES, _REPLACED, _REPLACED_AT = range(_ROW)


class WorkerTable:
    """A row for each of ``count`` workers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._numbers = memoryview(mmap.mmap(-1, (1 + count * _ROW) * _NUMBER)).cast("d")

    @property
    def stage(self) -> int:
        """How far the end has come: 0 none, 1 what runs may end, 2 at once."""
        return int(self._numbers[0])

    @stage.setter
    def stage(self, stage: int) -> None:
        self._numbers[0] = stage

    def begin(self, worker: int) -> None:
        """Note that a worker is about to be started; it counts as alive."""
        self._set(worker, _SERVES, 0)
        self.beat(worker)

    def started(self, worker: int, process: int) -> None:
        """Note which process it is."""
        self._set(worker, _PROCESS, process)

    def serves(self, worker: int) -> None:
        """Note that a worker takes connections."""
        self._set(worker, _SERVES, 1)

    def is_serving(self, worker: int) -> bool:
        """Tell whether the worker of this row came so far as to take connections."""
        return bool(self._get(worker, _SERVES))

    def beat(self, worker: int) -> None:
        """Show that a worker lives."""
        self._set(worker, _BEAT, time.monotonic())

    def last_beat(self, worker: int) -> float:
        """Return when it last did."""
        return self._get(worker, _BEAT)

    def replaces_silent(self, worker: int) -> None:
        """Note that the worker of this row is replaced because it doesn't run."""
        self._set(worker, _REPLACED, self._get(worker, _PROCESS))
        self._set(worker, _REPLACED_AT, time.monotonic())

    def problems(self) -> tuple[Problem, ...]:
        """Return which workers don't run, and which didn't lately."""
        now, found = time.monotonic(), []
        for worker in range(self.count):
            name = f"worker {worker + 1}"
            silence = now - self.last_beat(worker)
            if self.is_serving(worker) and silence > QUIET:
                process = int(self._get(worker, _PROCESS))
                what = f"process {process} hasn't run for {silence:.0f} s"
                found.append(Problem(name, "", what))
            process, ago = int(self._get(worker, _REPLACED)), now - self._get(worker, _REPLACED_AT)
            if process and ago < TOLD:
                what = f"process {process} didn't run, and was replaced {ago / 60:.0f} min ago"
                found.append(Problem(name, "", what))
        return tuple(found)

    def _get(self, worker: int, column: int) -> float:
        return self._numbers[1 + worker * _ROW + column]

    def _set(self, worker: int, column: int, value: float) -> None:
        self._numbers[1 + worker * _ROW + column] = value
