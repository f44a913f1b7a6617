"""Bodies that are kept whole until they may be used; above ``MEMORY`` in an unlinked file.

Whatever touches that file is done by a thread: a disk may take seconds for anything, and the event
loop waits for none of it.
"""

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Protocol, TypeVar, cast

from proxy.config.limits import DEFAULT_LIMITS
from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.core.text_files.size import show_size
from proxy.transfer.body import PIECE, SMALL

MEMORY = 512 * 1024
"""Bytes of a body that are kept in memory."""
_AT_ONCE = 256 * 1024
"""Bytes that a thread is given to write, or reads: to ask it costs as much as to copy a piece."""

_disk = ThreadPoolExecutor(8, "bodies")
"""For bodies alone: whatever waits in it, nobody without a large body waits for that."""

_Result = TypeVar("_Result")


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...

    def digest(self) -> bytes: ...


class BufferedBody:
    """A whole body and its SHA-256 digest; ``close`` it."""

    def __init__(self, limit: int = DEFAULT_LIMITS.held_body) -> None:
        """``limit`` is in bytes: what is larger needs sealed mode."""
        self.limit = limit
        self._memory: bytes | bytearray = b""
        """All of it; once there is a file, what comes behind that. One piece stays as it came."""
        self._file: _File | None = None
        self._hash: _Hash | None = None
        """Of what is in the file."""
        self.size = 0

    @property
    def sha256(self) -> bytes:
        """The digest of what is buffered, 32 bytes, once all of it is."""
        return (self._hash or hashlib.sha256(self._memory)).digest()

    def add(self, piece: bytes, limit: Code, digest: BodyDigest | None = None) -> None:
        """Take in a piece; raises ``Refusal`` with the code ``limit`` above our limit."""
        self.size += len(piece)
        if self.size > self.limit:
            raise Refusal(limit, f"more than {show_size(self.limit)}")
        if digest is not None:
            digest.update(piece)
        if not self._memory:
            self._memory = piece
            return
        if isinstance(self._memory, bytes):
            self._memory = bytearray(self._memory)
        self._memory += piece

    def is_spill_due(self, *, ends: bool = False) -> bool:
        """Tell whether to ``spill`` before more is added; ``ends`` where nothing more comes."""
        held = len(self._memory)
        if self._file is None:
            return held > MEMORY
        return held > 0 if ends else held > _AT_ONCE

    def spill(self) -> "Future[None]":
        """Have what is in memory written behind what is in the file; fails with OSError."""
        data, self._memory = self._memory, b""
        self._file = self._file or _File()
        self._hash = self._hash or hashlib.sha256()
        return self._file.write(data, self._hash)

    def cannot_take(self, error: OSError, full: Code) -> Refusal:
        """Return what it amounts to that a ``spill`` failed."""
        return Refusal(full, f"{self.size} bytes can't be buffered: {error}")

    def block(self, start: int) -> "bytes | Future[bytes]":
        """Return what is buffered from ``start`` on: one byte at least, where there is any.

        Of what is in memory no more is copied than is on its way. What is on disk is read, which
        may fail with OSError.
        """
        if self._file is None:
            return self.read(SMALL if self.size <= SMALL else PIECE, start)
        return self._file.read(_AT_ONCE, start)

    def clear(self) -> None:
        """Forget what is buffered, for another try."""
        self.close()
        self._hash = None
        self.size = 0

    def close(self) -> None:
        """Let go of the memory and of the file."""
        self._memory = b""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, limit: int, start: int = 0) -> bytes:
        """Return up to ``limit`` bytes of a body that is in memory; of one on disk none."""
        if self._file is not None:
            return b""
        if isinstance(self._memory, bytes):
            return self._memory[start : start + limit]
        with memoryview(self._memory) as memory:
            return bytes(memory[start : start + limit])


class _File:
    """An unlinked file; each use of it is a thread's, one after the other."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._last: Future[object] | None = None

    def write(self, data: bytes | bytearray, running: _Hash) -> "Future[None]":
        """Write ``data`` behind what is there, and feed ``running`` with it."""
        return self._do(partial(self._write, data, running))

    def read(self, size: int, start: int) -> "Future[bytes]":
        """Read up to ``size`` bytes, at least one."""
        return self._do(partial(self._read, size, start))

    def close(self) -> None:
        """Close it, once it isn't in use; waits for nothing."""
        if self._last is not None:  # its user has left perhaps, and the thread is at it still
            self._last.add_done_callback(self._close_soon)

    def _do(self, work: Callable[[], _Result]) -> "Future[_Result]":
        done = _disk.submit(work)
        self._last = cast(Future[object], done)
        return done

    def _write(self, data: bytes | bytearray, running: _Hash) -> None:
        running.update(data)
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
        self._last = None  # which refers to this, for good
        with suppress(RuntimeError):  # the process ends, and closes it
            _disk.submit(self._close)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
