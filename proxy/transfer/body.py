"""Bodies: streamed in the pieces they came in, or buffered where a signature needs it.

In signed mode a body is buffered up to a limit, because nothing of it may reach an app before its
digest was compared; above ``MEMORY`` it spills into an unlinked file.
"""

import asyncio
import hashlib
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO, Self, cast

from starlette.types import Receive

from proxy.config.limits import DEFAULT_LIMITS
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.signature.digest import BodyDigest
from proxy.core.text_files.size import show_size
from proxy.http.upstream import BytesBody

BODY_WAIT = 0.1
"""Seconds that a request without a stated length waits for its body, or its end: sealed, or HTTP/2.

An app should see whether there is a body; a client may want a response before it sends one.
"""
MEMORY = 512 * 1024
SMALL = 16 * 1024
"""Bytes of a body that are sealed together with its head, if they are there in time."""
COALESCING = 0.02
"""Seconds that the head of such a message waits for its body."""
REPLAYABLE = 128 * 1024
"""Bytes of a sealed call's body that are kept for a second try."""
PIECE = 64 * 1024


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


async def beginning(pieces: AsyncIterator[bytes], size: int) -> bytes:
    """Return the beginning of a body of ``size`` bytes, as ``coalesced`` does."""
    got = bytearray()
    with suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(COALESCING):
            while len(got) < min(size, SMALL):
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


class BufferedBody:
    """A whole body and its SHA-256 digest; a context manager that lets go of both."""

    def __init__(self, limit: int = DEFAULT_LIMITS.held_body) -> None:
        """``limit`` is in bytes: what is larger needs sealed mode."""
        self.limit = limit
        self._file: BinaryIO = cast(
            BinaryIO,
            tempfile.SpooledTemporaryFile(max_size=MEMORY, mode="w+b"),  # noqa: SIM115
        )
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what couldn't be written isn't missed any more
            self._file.close()

    @property
    def sha256(self) -> bytes:
        """The digest of what is buffered, 32 bytes."""
        return self._hash.digest()

    async def fill(
        self,
        pieces: AsyncIterator[bytes],
        *,
        limit: Code,
        full: Code = Code.STORAGE_FULL,
        digest: BodyDigest | None = None,
    ) -> None:
        """Take in all ``pieces``; raises ``Refusal`` with the code ``limit`` above our limit.

        With the code ``full`` where the temporary folder can't take it. ``digest`` is fed along
        the way.
        """
        async for piece in pieces:
            self.size += len(piece)
            if self.size > self.limit:
                raise Refusal(limit, f"more than {show_size(self.limit)}")
            self._hash.update(piece)
            if digest is not None:
                digest.update(piece)
            self._keep(piece, full)
        self._keep(b"", full)

    def _keep(self, piece: bytes, full: Code) -> None:
        """Write ``piece``; an empty one writes what is still on its way to the file."""
        try:
            if piece:
                self._file.write(piece)
            else:
                self._file.flush()
        except OSError as error:
            raise Refusal(full, f"{self.size} bytes can't be buffered: {error}") from None

    def clear(self) -> None:
        """Forget what is buffered, for another try."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    def pieces(self) -> AsyncIterator[bytes]:
        """Return what is buffered, from its beginning; in one piece where it is small."""
        return BytesBody(self.read(SMALL)) if self.size <= SMALL else self._in_pieces()

    async def _in_pieces(self) -> AsyncIterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def read(self, limit: int) -> bytes:
        """Return the first ``limit`` bytes."""
        self._file.seek(0)
        return self._file.read(limit)


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
