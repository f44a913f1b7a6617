"""The size of a body that streams: refused at once where it is told, else when it is passed."""

from collections.abc import AsyncIterator
from typing import Self

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.files.size import show_size


def refuse_large(framing: Field | None, limit: int) -> None:
    """Refuse a body whose length is told, before any of it has come, if it is above ``limit``."""
    if framing is not None and framing[0] == b"content-length" and int(framing[1]) > limit:
        raise Refusal(Code.TOO_LARGE, f"{int(framing[1])} bytes; {show_size(limit)} are taken")


def bounded(
    pieces: AsyncIterator[bytes], framing: Field | None, limit: int
) -> AsyncIterator[bytes]:
    """Return ``pieces``, a body of ``limit`` bytes at most; raises ``Refusal``.

    Where its length is told, whoever reads it holds it to that, and nothing needs counting.
    """
    refuse_large(framing, limit)
    is_open = framing is not None and framing[0] != b"content-length"
    return _Bounded(pieces, limit) if is_open else pieces


class _Bounded:
    """No generator: whoever waits for a piece may be cancelled, and another go on from there."""

    def __init__(self, pieces: AsyncIterator[bytes], limit: int) -> None:
        self._pieces = pieces
        self._limit = limit
        self._left = limit

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._left -= len(piece)
        if self._left < 0:
            raise Refusal(Code.TOO_LARGE, f"more than {show_size(self._limit)}")
        return piece
