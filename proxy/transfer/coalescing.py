"""The beginning of a body, held back for a moment to go out together with its head.

What is sealed in one chunk with its head shows an observer the fewest numbers, and costs least. An
app that breaks off meanwhile can still be told of: nothing of its response has gone.

    state       what happens                     next state
    COLLECTING  enough, the end, or the time is  RELEASED  ``on_released`` is called, once
                over
    COLLECTING  ``close``                       RELEASED  nothing is called
"""

import asyncio
from collections.abc import Callable

from proxy.transfer.body import COALESCING, SMALL

OnReleased = Callable[[bytes, bool], None]
"""Takes what came, b"" perhaps, and whether it is all of the body."""


class Coalescing:
    """Collects the beginning of a body of ``size`` bytes: all of a small one, ``SMALL`` of others.

    ``to_end``: the end of a small one is waited for, too. What is wrong with it is known then:
    more than ``size`` bytes, or fewer of them in front of the end.

    It begins to wait at once. ``on_released`` may be called from within ``add``, never from within
    the constructor. Nothing may be added behind it.
    """

    __slots__ = ("_missing", "_on_released", "_pieces", "_waiting")

    def __init__(self, size: int, on_released: OnReleased, *, to_end: bool = False) -> None:
        self._missing = size + 1 if to_end and size < SMALL else min(size, SMALL)
        self._pieces: list[bytes] = []
        self._on_released: OnReleased | None = on_released
        # Most bodies come with their head: no timer is set before the next turn of the loop.
        self._waiting: asyncio.Handle = asyncio.get_running_loop().call_soon(self._wait)

    def add(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the body, b"" where only its end came."""
        if piece:
            self._pieces.append(piece)
            self._missing -= len(piece)
        if ends or self._missing <= 0:
            self._release(ends=ends)

    def close(self) -> None:
        """Hold nothing, and call nobody. A second call does nothing."""
        self._waiting.cancel()
        self._on_released = None
        self._pieces = []

    def _wait(self) -> None:
        if self._missing <= 0:  # of an empty body nothing is waited for
            self._release(ends=False)
        elif self._on_released is not None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(COALESCING, self._release)

    def _release(self, *, ends: bool = False) -> None:
        on_released, pieces = self._on_released, self._pieces
        self.close()
        if on_released is not None:
            on_released(pieces[0] if len(pieces) == 1 else b"".join(pieces), ends)
