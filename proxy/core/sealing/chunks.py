"""How a sealed message is cut into chunks, and how they are told apart again.

    not the final one   its length as a variable-length integer, then as many bytes
    the final one       the integer 0, then all bytes up to the end of the stream

The lengths themselves aren't authenticated, and needn't be: each chunk is, with its place and with
whether it is the final one. Of the forms of an integer that RFC 9000 allows for one number, any is
read and the shortest written. Source: draft-ietf-ohai-chunked-ohttp-08, sections 3 to 6.
"""

from collections.abc import Iterator

from proxy.core.binary_http.varint import Unfinished, read_varint, varint
from proxy.core.sealing.aead import TAG_LENGTH, Bytes

LARGEST_CHUNK = 65536
"""Bytes of plaintext in a chunk that we seal, and that we open."""

FINAL = varint(0)
_LONGEST_INTEGER = 8
_ONE_BYTE = 64
"""The first number that takes more, as a variable-length integer."""


class CannotOpen(Exception):
    """A message that isn't what was sealed to us, or isn't whole. ``detail`` is for the log alone.

    It may be an attack or a broken connection: nothing tells one from the other.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def not_final(ciphertext: bytes) -> tuple[bytes, bytes]:
    """Return a chunk that others follow, in two parts."""
    return varint(len(ciphertext)), ciphertext


class Splitter:
    """Cuts a stream into ciphertexts. Holds back less than one chunk of the size allowed."""

    def __init__(self, largest: int) -> None:
        self._limit = largest + TAG_LENGTH
        self._held = bytearray()
        self._length = 0
        """Of the chunk that is arriving; 0 while its length is."""
        self._is_final = False

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their chunk."""
        return len(self._held)

    def feed(self, data: memoryview) -> Iterator[Bytes]:
        """Yield each ciphertext but the final one as soon as it is complete.

        A view of ``data`` where it is all in there. Raises ``CannotOpen`` for a chunk that is too
        large, as soon as that is known, and for one that is too short to hold anything.
        """
        at, size = 0, len(data)
        while at < size:
            # The smallest chunks, of which there may be many: whole, with a length of one byte.
            length = data[at]
            if TAG_LENGTH < length < _ONE_BYTE and at + length < size and self._is_between:
                if length > self._limit:
                    raise CannotOpen(f"a chunk of {length} bytes is larger than allowed")
                yield data[at + 1 : at + 1 + length]
                at += 1 + length
                continue
            if self._is_final:
                if len(self._held) + len(data) - at > self._limit:
                    raise CannotOpen("the final chunk is larger than allowed")
                at = self._take(data, at, self._limit)
            elif not self._length:
                at = self._read_length(data, at)
            elif not self._held and len(data) - at >= self._length:
                end = at + self._length
                self._length = 0
                yield data[at:end]
                at = end
            else:
                at = self._take(data, at, self._length)
                if len(self._held) == self._length:
                    ciphertext, self._held, self._length = self._held, bytearray(), 0
                    yield ciphertext

    @property
    def _is_between(self) -> bool:
        return not (self._length or self._is_final or self._held)

    def end(self) -> Bytes:
        """Return the final ciphertext; raises ``CannotOpen`` where the stream ended before it."""
        if not self._is_final:
            raise CannotOpen("the stream ended before its final chunk")
        if len(self._held) < TAG_LENGTH:
            raise CannotOpen("the stream ended within its final chunk")
        return self._held

    def _take(self, data: memoryview, at: int, up_to: int) -> int:
        """Hold back what is in ``data`` until ``up_to`` bytes are held; return the place behind."""
        end = min(at + up_to - len(self._held), len(data))
        self._held += data[at:end]
        return end

    def _read_length(self, data: memoryview, at: int) -> int:
        """Read a chunk's length, or what has arrived of it; return the place behind it."""
        held = len(self._held)
        window = bytes(self._held + data[at : at + _LONGEST_INTEGER - held])
        try:
            length, end = read_varint(window, 0)
        except Unfinished:
            self._held = bytearray(window)
            return len(data)
        if length > self._limit:
            raise CannotOpen(f"a chunk of {length} bytes is larger than allowed")
        if 0 < length <= TAG_LENGTH:
            raise CannotOpen("a chunk that isn't the final one is empty")
        self._held.clear()
        self._length = length
        self._is_final = not length
        return at + end - held
