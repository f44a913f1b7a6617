"""Bodies: streamed in the pieces they came in, or held whole where a signature needs it.

In signed mode a body is held up to a limit, because nothing of it may reach an app before its
digest was compared; above ``MEMORY`` it spills into an unlinked file.
"""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO, Self, cast

from starlette.types import Receive

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest

HOLD_LIMIT = 32 * 1024 * 1024
"""Bytes of a body that are held for a signature; what is larger needs sealed mode."""
MEMORY = 512 * 1024
PIECE = 64 * 1024


class ClientLeft(Exception):
    """The client closed its connection before its request was complete."""


async def request_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the pieces of a request's body; raises ``ClientLeft`` where it breaks off."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = message.get("more_body", False)
        if piece := message.get("body", b""):
            yield cast(bytes, piece)


class HeldBody:
    """A whole body and its SHA-256 digest; a context manager that lets go of both."""

    def __init__(self) -> None:
        self._file: BinaryIO = cast(
            BinaryIO,
            tempfile.SpooledTemporaryFile(max_size=MEMORY, mode="w+b"),  # noqa: SIM115
        )
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def sha256(self) -> bytes:
        """The digest of what is held, 32 bytes."""
        return self._hash.digest()

    async def fill(
        self, pieces: AsyncIterator[bytes], *, limit: Code, digest: BodyDigest | None = None
    ) -> None:
        """Take in all ``pieces``; raises ``Refusal`` with the code ``limit`` above ``HOLD_LIMIT``.

        ``digest`` is fed along the way.
        """
        async for piece in pieces:
            self.size += len(piece)
            if self.size > HOLD_LIMIT:
                raise Refusal(limit, f"more than {HOLD_LIMIT} bytes")
            self._hash.update(piece)
            if digest is not None:
                digest.update(piece)
            self._file.write(piece)

    def clear(self) -> None:
        """Forget what is held, for another try."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what is held, from its beginning."""
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def read(self, limit: int) -> bytes:
        """Return the first ``limit`` bytes."""
        self._file.seek(0)
        return self._file.read(limit)
