"""Bodies cut into pieces as they arrive; each kind of framing knows its own end.

``feed`` takes what arrived, adds its content to the events and tells how many bytes it used;
``is_complete`` tells when the end was seen. Only ``UntilCloseBody`` ends with the connection.
Source: RFC 9112, sections 6 and 7.1.
"""

import re
from enum import Enum, auto
from typing import Protocol

from proxy.core.http.headers import QUOTED_STRING, TOKEN
from proxy.core.http1.framing import Framing, Unmeasured
from proxy.core.http1.grammar import Malformed, parse_fields

MAX_CHUNK_LINE = 1024
MAX_TRAILERS = 8192

_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})"
    rb"(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?)*"
)
_CRLF = b"\r\n"


class Body(Protocol):
    """A body that is arriving."""

    is_complete: bool

    def feed(self, data: bytes, events: list[object]) -> int:
        """Take ``data``, add its content to ``events``; return the bytes used.

        Raises ``Malformed``; the content in front of the mistake is in ``events`` then.
        """

    def end_of_stream(self) -> bool:
        """Tell whether the body is whole now that nothing more will come."""


class LengthBody:
    """A body of a known number of bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_complete = length == 0

    def feed(self, data: bytes, events: list[object]) -> int:
        if len(data) > self._left:
            data = data[: self._left]
        self._left -= len(data)
        self.is_complete = self._left == 0
        if data:
            events.append(data)
        return len(data)

    def end_of_stream(self) -> bool:
        """Tell that a body that is cut short isn't whole."""
        return self.is_complete


class UntilCloseBody:
    """A body that ends with its connection, and can't be told from one that was cut short."""

    is_complete = False

    def feed(self, data: bytes, events: list[object]) -> int:
        if data:
            events.append(data)
        return len(data)

    def end_of_stream(self) -> bool:
        """Tell that the end of the stream is this body's only end."""
        return True


class _At(Enum):
    SIZE = auto()
    CONTENT = auto()
    CONTENT_END = auto()
    TRAILERS = auto()


class ChunkedBody:
    """A body in chunks. Extensions are read past, trailers checked for form and dropped.

    Chunks that came together are handed on together: a megabyte in chunks of one byte must not
    cost a million events.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._at = _At.SIZE
        self._left = 0
        self._held = b""

    def feed(self, data: bytes, events: list[object]) -> int:
        held = len(self._held)
        buffer = self._held + data if held else data
        pieces: list[bytes] = []
        try:
            position = self._cut(buffer, pieces)
        finally:
            if pieces:
                events.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._held = b"" if self.is_complete else buffer[position:]
        return position + len(self._held) - held

    def _cut(self, buffer: bytes, pieces: list[bytes]) -> int:
        """Cut the content out of ``buffer``; return where the part begins that must wait."""
        position = 0
        while not self.is_complete:
            if self._at is _At.CONTENT:
                piece = buffer[position : position + self._left]
                if not piece:
                    break
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._at = _At.CONTENT_END
            else:
                used = self._framing(buffer, position)
                if not used:
                    break
                position += used
        return position

    def end_of_stream(self) -> bool:
        """Tell that without its last chunk the body isn't whole."""
        return self.is_complete

    def _framing(self, buffer: bytes, position: int) -> int:
        """Read one piece of framing at ``position``; return its length, 0 where more must come."""
        if self._at is _At.TRAILERS:
            return self._trailers(buffer, position)
        end = buffer.find(_CRLF, position)
        if self._at is _At.CONTENT_END:
            if not _CRLF.startswith(buffer[position : position + 2]):
                raise Malformed("a chunk is longer than it said")
            if end != position:
                return 0
            self._at = _At.SIZE
            return 2
        if end < 0:
            # The last byte may be the CR of a line that is just short enough.
            if len(buffer) - position > MAX_CHUNK_LINE + 1 or b"\n" in buffer[position:]:
                raise Malformed("not a chunk's first line")
            return 0
        match = _CHUNK_LINE.fullmatch(buffer, position, end)
        if match is None or end - position > MAX_CHUNK_LINE:
            raise Malformed("not a chunk's first line")
        self._left = int(match[1], 16)
        self._at = _At.CONTENT if self._left else _At.TRAILERS
        return end + 2 - position

    def _trailers(self, buffer: bytes, position: int) -> int:
        end = position + 2
        if buffer[position:end] != _CRLF:
            blank = buffer.find(b"\r\n\r\n", position)
            if blank < 0:
                if len(buffer) - position > MAX_TRAILERS:
                    raise Malformed("trailers are too large", 431)
                return 0
            end = blank + 4
            if end - position > MAX_TRAILERS:
                raise Malformed("trailers are too large", 431)
            parse_fields(buffer, position, end)
        self.is_complete = True
        return end - position


_NOTHING = LengthBody(0)
"""A body of no bytes, which nothing changes: one for all."""


def body_of(framing: Framing) -> Body:
    """Return the body that ``framing`` announces."""
    if framing is Unmeasured.CHUNKED:
        return ChunkedBody()
    if framing is Unmeasured.UNTIL_CLOSE:
        return UntilCloseBody()
    return LengthBody(framing) if framing else _NOTHING
