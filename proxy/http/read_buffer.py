"""How much one read takes: much from whoever is followed at once, little while what came waits.

A large piece costs the fewest turns of the event loop for each byte. But where somebody behind us
is slow it is in memory several times: as it came, sealed, and half sent. So the buffer grows while
reads fill it and nothing waits, and is small again as soon as something does.

The buffer that is read into is one for all connections of a loop, and is emptied before anything
else happens there.
"""

import asyncio
from weakref import WeakKeyDictionary

_CHUNK = 64 * 1024
"""Bytes of a sealed message's largest chunk: what is read at once should fill whole ones."""
_OWN = 8
"""Bytes that a sealed piece may have before it, so that both fill whole chunks."""
SMALL = _CHUNK - _OWN
LARGEST = 2 * _CHUNK
"""Bytes of one read at most, and so of what waits for whoever takes nothing."""

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class ReadBuffer:
    """The next read of one connection: ``chunks`` of a sealed message at most, one or two."""

    __slots__ = ("_buffer", "_largest", "_size")

    def __init__(self, chunks: int) -> None:
        self._buffer = _buffer()
        self._largest = chunks * _CHUNK - _OWN
        self._size = SMALL

    def view(self) -> memoryview:
        """Return where to read to."""
        return self._buffer[: self._size]

    def take(self, count: int) -> bytes:
        """Return the ``count`` bytes that were read; where they filled it, the next may be more."""
        data = bytes(self._buffer[:count])
        if count == self._size < self._largest:
            self._size = min(2 * self._size + _OWN, self._largest)
        return data

    def shrink(self) -> None:
        """Read little for a while: what came isn't taken."""
        self._size = SMALL


def _buffer() -> memoryview:
    loop = asyncio.get_running_loop()
    if (buffer := _buffers.get(loop)) is None:
        buffer = _buffers[loop] = memoryview(bytearray(LARGEST))
    return buffer
