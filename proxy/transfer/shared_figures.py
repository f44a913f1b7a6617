"""What is so just now in each process of a Portal, told to the others: what runs, what is open.

In memory that the workers share, as in ``proxy.transfer.request_counts``. Each writes all that it
has to tell into a part of its own, with a number before it that is odd meanwhile: who reads then
reads once more. What a worker told that has ended is forgotten.
"""

import json
import mmap
from collections.abc import Iterable
from typing import NamedTuple

_PART = 1 << 20
"""Bytes of a worker's part; what is never written to takes no memory."""
_TURN, _SIZE = 0, 1
_FIRST = 16
_TRIES = 100


class Figure(NamedTuple):
    """One number; ``proxy.monitoring.families`` has the name."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class SharedFigures:
    """The figures of ``workers`` processes that are forked from this one, or of this one alone."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = mmap.mmap(-1, workers * _PART)
        whole = memoryview(self._memory)
        self._parts = [whole[at : at + _PART] for at in range(0, workers * _PART, _PART)]

    def __len__(self) -> int:
        """Return how many workers there are to be."""
        return len(self._parts)

    def tell(self, worker: int, figures: Iterable[Figure]) -> None:
        """Tell what is so in this worker, in place of what it told before.

        Raises ``ValueError`` where that is more than there is room for.
        """
        text = json.dumps(tuple(figures)).encode("ascii")
        part = self._parts[worker]
        numbers = part.cast("d")
        if len(text) > _PART - _FIRST:
            raise ValueError("more figures than there is room for")
        numbers[_TURN] += 2 if numbers[_TURN] % 2 else 1  # odd; it is where a writer was killed
        part[_FIRST : _FIRST + len(text)] = text
        numbers[_SIZE] = len(text)
        numbers[_TURN] += 1

    def told(self) -> dict[int, list[Figure]]:
        """Return what each worker told last; not those that haven't yet, or have ended."""
        found = {}
        for worker, part in enumerate(self._parts):
            if text := _read(part):
                figures = json.loads(text)
                found[worker] = [Figure(name, value, tuple(at)) for name, value, at in figures]
        return found

    def forget(self, worker: int) -> None:
        """Tell nothing any more of a worker that has ended."""
        self._parts[worker].cast("d")[_SIZE] = 0


def _read(part: memoryview) -> bytes:
    """Return what is in a part; nothing where it was never whole."""
    numbers = part.cast("d")
    for _ in range(_TRIES):
        turn, size = numbers[_TURN], int(numbers[_SIZE])
        text = bytes(part[_FIRST : _FIRST + size])
        if turn % 2 == 0 and numbers[_TURN] == turn:
            return text
    return b""
