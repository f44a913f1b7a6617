"""Bodies that are kept whole until they may be used; above ``MEMORY`` in an unlinked file.

Whatever touches that file is done by a thread: a disk may take seconds for anything, and the event
loop waits for none of it.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Self, TypeVar, cast

from proxy.config.limits import DEFAULT_LIMITS
from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.core.text_files.size import show_size
from proxy.http.upstream import BytesBody
from proxy.transfer.body import PIECE, SMALL

MEMORY = 512 * 1024
"""Bytes of a body that are kept in memory."""
_AT_ONCE = 256 * 1024
"""Bytes that a thread is given to write, or reads: to ask it costs as much as to copy a piece."""

_disk = ThreadPoolExecutor(8, "bodies")
"""For bodies alone: whatever waits in it, nobody without a large body waits for that."""

_Result = TypeVar("_Result")


class BufferedBody:
    """A whole body and its SHA-256 digest; a context manager that lets go of both."""

    def __init__(self, limit: int = DEFAULT_LIMITS.held_body) -> None:
        """``limit`` is in bytes: what is larger needs sealed mode."""
        self.limit = limit
        self._memory = bytearray()
        """All of it; once there is a file, what comes behind that."""
        self._file: _File | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()

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
            self._memory += piece
            if len(self._memory) > (MEMORY if self._file is None else _AT_ONCE):
                await self._spill(full)
        if self._file is not None and self._memory:
            await self._spill(full)

    async def _spill(self, full: Code) -> None:
        """Write what is in memory behind what is in the file."""
        data, self._memory = self._memory, bytearray()
        self._file = self._file or _File()
        try:
            await self._file.write(data)
        except OSError as error:
            raise Refusal(full, f"{self.size} bytes can't be buffered: {error}") from None

    def clear(self) -> None:
        """Forget what is buffered, for another try."""
        self._let_go()
        self._hash = hashlib.sha256()
        self.size = 0

    def _let_go(self) -> None:
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None

    def pieces(self) -> AsyncIterator[bytes]:
        """Return what is buffered, from its beginning; in one piece where it is small."""
        return BytesBody(self.read(SMALL)) if self.size <= SMALL else self._in_pieces()

    async def _in_pieces(self) -> AsyncIterator[bytes]:
        file, read = self._file, 0
        while read < self.size:
            # Of what is in memory no more is copied than is on its way.
            size = PIECE if file is None else _AT_ONCE
            block = self.read(size, read) if file is None else await file.read(size, read)
            read += len(block)
            for start in range(0, len(block), PIECE):
                yield block[start : start + PIECE]

    def read(self, limit: int, start: int = 0) -> bytes:
        """Return up to ``limit`` bytes of a body that is in memory; of one on disk none."""
        if self._file is not None:
            return b""
        with memoryview(self._memory) as memory:
            return bytes(memory[start : start + limit])


class _File:
    """An unlinked file; each use of it is a thread's, one after the other."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._last: Future[object] | None = None

    async def write(self, data: bytearray) -> None:
        """Write ``data`` behind what is there; raises OSError."""
        await self._do(partial(self._write, data))

    async def read(self, size: int, start: int) -> bytes:
        """Return up to ``size`` bytes, at least one; raises OSError."""
        return await self._do(partial(self._read, size, start))

    def close(self) -> None:
        """Close it, once it isn't in use; waits for nothing."""
        if self._last is not None:  # its user was perhaps cancelled, and the thread is at it still
            self._last.add_done_callback(self._close_soon)

    async def _do(self, work: Callable[[], _Result]) -> _Result:
        done = _disk.submit(work)
        self._last = cast(Future[object], done)
        return await asyncio.wrap_future(done)

    def _write(self, data: bytearray) -> None:
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _read(self, size: int, start: int) -> bytes:
        if self._file is None:
            raise OSError("nothing was written")
        self._file.seek(start)
        found = self._file.read(size)
        if not found:
            raise OSError("the temporary file is shorter than what was written")
        return found

    def _close_soon(self, _: Future[object]) -> None:
        with suppress(RuntimeError):  # the process ends, and closes it
            _disk.submit(self._close)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
