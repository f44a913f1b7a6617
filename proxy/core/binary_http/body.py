"""What comes behind a head: content, trailers that aren't there, and padding.

    state      what arrives         next state
    LENGTH     0                    TRAILERS
    LENGTH     another length       CONTENT
    CONTENT    content              CONTENT, behind its last byte LENGTH
    CONTENT    ... of known length  CONTENT, behind its last byte TRAILERS
    TRAILERS   0                    PADDING, and the message is complete
    PADDING    zeros                PADDING

Source: RFC 9292, sections 3.1, 3.2 and 3.8. Stricter than that: content of indeterminate length is
always terminated, so that none that was cut short can pass for whole, and there are no trailers.
"""

from enum import Enum, auto

from proxy.core.binary_http.message import Malformed
from proxy.core.binary_http.varint import read_varint

_OWN_BITS = ((1 << 6) - 1, (1 << 14) - 1, (1 << 30) - 1, (1 << 62) - 1)
"""Of a variable-length integer, by its first two bits."""


class _At(Enum):
    LENGTH = auto()
    CONTENT = auto()
    TRAILERS = auto()
    PADDING = auto()


class Body:
    """The rest of a message, of known length or not, whose content is ``owed`` bytes if not None.

    A message that says how much it holds is never read as one that holds more or less.
    """

    def __init__(self, owed: int | None, *, is_known: bool) -> None:
        self._at = _At.LENGTH
        self._is_known = is_known
        self._owed = owed
        self._left = 0
        """Content still to come before the next length."""

    @property
    def is_complete(self) -> bool:
        """Whether content and trailers were terminated."""
        return self._at is _At.PADDING

    @property
    def lacks_only_zeros(self) -> bool:
        """Whether it is complete but for zeros that may be left out at the end of a message."""
        return self._at is _At.TRAILERS or (self._is_known and self._at is _At.LENGTH)

    def read(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Read what begins at ``position``, add content to ``pieces``; return the place behind.

        Raises ``Unfinished`` and ``Malformed``.
        """
        match self._at:
            case _At.CONTENT:
                return self._content(data, position, pieces)
            case _At.LENGTH:
                if not self._is_known:
                    position = self._whole_pieces(data, position, pieces)
                self._left, position = read_varint(data, position)
                self._announce(self._left)
                self._at = _At.CONTENT if self._left else _At.TRAILERS
                return position
            case _At.TRAILERS:
                length, position = read_varint(data, position)
                if length:
                    raise Malformed("trailers aren't taken")
                self._at = _At.PADDING
                return position
        if data[position:] != bytes(len(data) - position):
            raise Malformed("the padding isn't zeros")
        return len(data)

    def _whole_pieces(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take the pieces that are there from end to end; return the place behind the last.

        A sender may write thousands of a byte each, and a turn of ``read`` for each would cost
        more than all the rest of its message.
        """
        size, total = len(data), 0
        while position < size:
            length, start = data[position], position + 1
            if length >= 64:  # noqa: PLR2004 - not a varint of one byte
                form = length >> 6
                start = position + (1 << form)
                if start > size:
                    break
                length = int.from_bytes(data[position:start]) & _OWN_BITS[form]
            end = start + length
            if not length or end > size:
                break
            pieces.append(data[start:end])
            position = end
            total += length
        if total:
            self._announce(total)
        return position

    def _content(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        piece = data[position : position + self._left]
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._at = _At.TRAILERS if self._is_known else _At.LENGTH
        return position + len(piece)

    def _announce(self, length: int) -> None:
        """Take note that ``length`` bytes follow: what is too much is refused before it comes."""
        if self._owed is None:
            return
        if length > self._owed:
            raise Malformed("the content is longer than it may be")
        self._owed -= length
        if self._owed and (self._is_known or not length):
            raise Malformed("the content is shorter than its Content-Length")
