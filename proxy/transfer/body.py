"""Bodies: streamed in the pieces they came in, or buffered where a signature needs it.

In signed mode a body is buffered up to a limit (``buffered_body``), because nothing of it may reach
an app before its digest was compared.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self, cast

from starlette.types import Receive

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.text_files.size import show_size

BODY_WAIT = 0.1
"""Seconds that a request without a stated length waits for its body, or its end: sealed, or HTTP/2.

An app should see whether there is a body; a client may want a response before it sends one.
"""
SMALL = 16 * 1024
"""Bytes of a body that are sealed together with its head, if they are there in time."""
PIECE = 64 * 1024
COALESCING = 0.02
"""Seconds that the head of such a message waits for its body."""
REPLAYABLE = 128 * 1024
"""Bytes of a sealed call's body that are kept for a second try."""


class ClientLeft(Exception):
    """The client closed its connection before its request was complete."""


class RequestPieces:
    """The pieces of a request's body as they come; raises ``ClientLeft`` where it breaks off.

    No generator: whoever waits for a piece may be cancelled, and another go on from there.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_more = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while self._has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            self._has_more = message.get("more_body", False)
            if piece := message.get("body", b""):
                return cast(bytes, piece)
        raise StopAsyncIteration


class ReplayableBody:
    """A body that streams, and can be sent once more while no more than ``limit`` of it has gone.

    ``limit`` is in bytes. Each ``pieces`` begins at the body's beginning; only one may be in use.
    """

    def __init__(self, source: AsyncIterator[bytes], limit: int = REPLAYABLE) -> None:
        self._source = source
        self._limit = limit
        self._gone: list[bytes] = []
        self._size = 0
        self.is_whole = True
        """Whether nothing of it has been forgotten."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body from its beginning; it must be whole."""
        if not self.is_whole:
            raise RuntimeError("a part of the body is forgotten")
        return _Again(tuple(self._gone), self)

    async def next_piece(self) -> bytes:
        """Return the next piece that hasn't gone yet, and remember it."""
        piece = await anext(self._source)
        self._size += len(piece)
        if self._size > self._limit:
            self.is_whole = False
            self._gone.clear()
        else:
            self._gone.append(piece)
        return piece


class _Again:
    """What has gone of a body, then the rest of it."""

    def __init__(self, gone: tuple[bytes, ...], body: ReplayableBody) -> None:
        self._gone = deque(gone)
        self._body = body

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return self._gone.popleft() if self._gone else await self._body.next_piece()


async def coalesced(pieces: AsyncIterator[bytes], size: int | None) -> AsyncIterator[bytes]:
    """Yield ``pieces``, the beginning of a body of ``size`` bytes joined: a small one is whole.

    What is sealed in one chunk with its head shows an observer the fewest numbers, and costs least.
    It is waited for as long as ``COALESCING``; after that, and where ``size`` is None, pieces pass
    as they come, and the first may be empty. ``pieces`` must bear that a wait for one of them is
    cancelled.
    """
    if size is not None:
        yield await beginning(pieces, size)
    # What is on its way isn't kept here meanwhile, where its taker is slow.
    with suppress(StopAsyncIteration):
        while True:
            yield await anext(pieces)


async def beginning(pieces: AsyncIterator[bytes], size: int, *, to_end: bool = False) -> bytes:
    """Return the beginning of a body of ``size`` bytes, as ``coalesced`` does.

    ``to_end``: the end of a small one is waited for, too. What is wrong with it is known then.
    """
    got = bytearray()
    wanted = size + 1 if to_end and size < SMALL else min(size, SMALL)
    with suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(COALESCING):
            while len(got) < wanted:
                got += await anext(pieces)
    return bytes(got)


class Prepended:
    """``first``, then ``pieces``; what was given out isn't kept any more."""

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes]) -> None:
        self._first: bytes | None = first
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._first is None:
            return await anext(self._pieces)
        first, self._first = self._first, None
        return first


def refuse_large(framing: Field | None, limit: int) -> None:
    """Refuse a body whose length is told, before any of it has come, if it is above ``limit``."""
    if framing is not None and framing[0] == b"content-length" and int(framing[1]) > limit:
        raise Refusal(Code.TOO_LARGE, f"{int(framing[1])} bytes; {show_size(limit)} are taken")


def limit_body(
    pieces: AsyncIterator[bytes], framing: Field | None, limit: int
) -> AsyncIterator[bytes]:
    """Return ``pieces``, a body of ``limit`` bytes at most; raises ``Refusal``.

    Where its length is told, whoever reads it holds it to that, and nothing needs counting.
    """
    refuse_large(framing, limit)
    is_open = framing is not None and framing[0] != b"content-length"
    return _LimitedBody(pieces, limit) if is_open else pieces


class _LimitedBody:
    """A body whose length isn't told: refused once it is passed.

    No generator: whoever waits for a piece may be cancelled, and another go on from there.
    """

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
