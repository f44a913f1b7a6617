"""A message that is sealed and opened while it passes, chunk by chunk, in either direction.

What is opened is authentic in itself and in its place, but the message is whole only once its
final chunk was opened: until then it may have been cut short. So ``end`` has to be asked, and
nothing that depends on the whole may happen before.
Source: draft-ietf-ohai-chunked-ohttp-08, section 6.
"""

from abc import ABC, abstractmethod

from proxy.core.sealing.aead import Bytes, Cipher, NotAuthentic
from proxy.core.sealing.chunks import FINAL, CannotOpen, Splitter, not_final

_NOT_FINAL_DATA = b""
_FINAL_DATA = b"final"
"""Associated data that tells the final chunk from all others."""


class ChunkSealer:
    """Seals one message; ``header`` goes out before its first chunk."""

    def __init__(self, header: bytes, cipher: Cipher, largest: int) -> None:
        if largest < 1:
            raise ValueError(f"no message fits into chunks of {largest} bytes")
        self.header = header
        self._cipher = cipher
        self._largest = largest
        self._is_finished = False

    def seal(self, plaintext: bytes) -> bytes:
        """Return ``plaintext`` as chunks that others follow; b"" for nothing."""
        return b"".join(self._chunks(memoryview(plaintext)))

    def finish(self, plaintext: bytes = b"") -> bytes:
        """Return ``plaintext`` as chunks of which the last is the final one; that may be empty."""
        final_at = max(len(plaintext) - 1, 0) // self._largest * self._largest
        view = memoryview(plaintext)
        chunks = self._chunks(view[:final_at])
        self._is_finished = True
        return b"".join((*chunks, FINAL, self._cipher.seal(_FINAL_DATA, view[final_at:])))

    def _chunks(self, view: memoryview) -> list[bytes]:
        if self._is_finished:
            raise RuntimeError("the final chunk is sealed already")
        parts: list[bytes] = []
        for at in range(0, len(view), self._largest):
            ciphertext = self._cipher.seal(_NOT_FINAL_DATA, view[at : at + self._largest])
            parts += not_final(ciphertext)
        return parts


class ChunkOpener(ABC):
    """Opens one message that arrives in pieces of any size.

    After ``CannotOpen`` it opens nothing more, and says the same again. ``has_opened`` tells
    whether anything was authentic yet: before that, anybody may have made it up.
    """

    def __init__(self, header_length: int, largest: int) -> None:
        self.has_opened = False
        self._header = bytearray()
        self._header_length = header_length
        self._splitter = Splitter(largest)
        self._cipher: Cipher | None = None
        self._opened = 0
        self._over = ""

    @property
    def held(self) -> int:
        """How many bytes wait for others in order to be opened."""
        return self._splitter.held + (len(self._header) if self._cipher is None else 0)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return what can be opened, in order. Raises ``CannotOpen``.

        What could have been opened in front of a mistake in the same ``data`` isn't returned then.
        """
        self._refuse_more()
        view = memoryview(data)
        try:
            if self._cipher is None:
                view = self._read_header(view)
            return [self._open(_NOT_FINAL_DATA, chunk) for chunk in self._splitter.feed(view)]
        except BaseException as error:
            self._stop(error)
            raise

    def end(self) -> bytes:
        """Return what the final chunk holds, now that the stream has ended.

        Raises ``CannotOpen`` where there was none: then the message isn't whole.
        """
        self._refuse_more()
        try:
            plaintext = self._open(_FINAL_DATA, self._splitter.end())
        except BaseException as error:
            self._stop(error)
            raise
        self._over = "the message has ended"
        return plaintext

    @abstractmethod
    def _begin(self, header: bytes) -> Cipher:
        """Return what the chunks behind ``header`` are opened with; raises ``CannotOpen``."""

    def _read_header(self, view: memoryview) -> memoryview:
        """Take the header off; return what is behind it."""
        missing = self._header_length - len(self._header)
        self._header += view[:missing]
        if len(view) >= missing:
            self._cipher = self._begin(bytes(self._header))
        return view[missing:]

    def _open(self, associated: bytes, chunk: Bytes) -> bytes:
        assert self._cipher is not None  # noqa: S101 - no chunk is cut before the header was read
        try:
            plaintext = self._cipher.open(associated, chunk)
        except NotAuthentic:
            raise CannotOpen(f"chunk {self._opened} isn't the one that was sealed") from None
        self._opened += 1
        self.has_opened = True
        return plaintext

    def _refuse_more(self) -> None:
        if self._over:
            raise CannotOpen(self._over)

    def _stop(self, error: BaseException) -> None:
        """Open nothing more, and hold nothing back: whatever comes can't be in its place."""
        self._over = str(error) or type(error).__name__
        self._header.clear()
        self._splitter = Splitter(0)
