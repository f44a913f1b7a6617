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
MAX_CHUNK_OVERHEAD = 16 * 1024
"""Bytes of chunks' first lines in one body beyond what its content explains.

Each chunk may bring 16, and two for each byte of its content. A body in which the lines are many
times the content is somebody's who wants them read.
"""
MAX_TRAILERS = 8192

_BLANKS = rb"[\t ]*+"
# White space stands only around what belongs to an extension (RFC 9112, section 7.1.1): there it
# MUST be read past. Behind a size alone, or at the line's end, the grammar has none.
_EXTENSION = (
    _BLANKS + rb";" + _BLANKS + TOKEN + rb"+"
    rb"(?:" + _BLANKS + rb"=" + _BLANKS + rb"(?:" + TOKEN + rb"+|" + QUOTED_STRING + rb"))?"
)  # fmt: skip
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*+\r\n")
# Two that are read faster: of a chunk of less than 16 bytes, and of one without extensions.
_TINY = re.compile(rb"0{0,14}([0-9A-Fa-f])(?:" + _EXTENSION + rb")*+\r\n")
_PLAIN = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
# A chunk of one byte whose first line is no longer than such a chunk explains; and a run of them.
_ONE = rb"0{0,4}1(?:[\t ]?;[\t ]?" + TOKEN.removesuffix(b"+") + rb"{1,5})?\r\n([\x00-\xff])\r\n"
_ONES = re.compile(rb"(?:" + _ONE + rb")++")
_EACH = re.compile(_ONE)
_CRLF = b"\r\n"
_EXPLAINED = 16
_DIGITS = {digit.encode(): int(digit, 16) for digit in "0123456789abcdefABCDEF"}


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

    __slots__ = ("_left", "is_complete")

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

    __slots__ = ()
    is_complete = False

    def feed(self, data: bytes, events: list[object]) -> int:
        if data:
            events.append(data)
        return len(data)

    def end_of_stream(self) -> bool:
        """Tell that the end of the stream is this body's only end."""
        return True


class _At(Enum):
    LINE = auto()
    CONTENT = auto()
    CONTENT_END = auto()
    TRAILERS = auto()


class ChunkedBody:
    """A body in chunks. Extensions are read past, trailers checked for form and dropped.

    Chunks that came together are handed on together: a megabyte in chunks of one byte must not
    cost a million events. No byte is looked at again because more came, or a client could have
    the same kilobytes read for each byte that it sends.
    """

    __slots__ = ("_at", "_held", "_left", "_overhead", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self._at = _At.LINE
        self._left = 0
        self._held = bytearray()
        """The beginning of a line or of the trailers, or the CR behind a chunk's content."""
        self._overhead = 0

    def feed(self, data: bytes, events: list[object]) -> int:
        pieces: list[bytes] = []
        try:
            return self._cut(data, pieces)
        finally:
            if pieces:
                events.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def end_of_stream(self) -> bool:
        """Tell that without its last chunk the body isn't whole."""
        return self.is_complete

    def _cut(self, data: bytes, pieces: list[bytes]) -> int:
        """Cut the content out of ``data``; return the place behind what was used."""
        position, size = 0, len(data)
        while position < size and not self.is_complete:
            match self._at:
                case _At.LINE:
                    if not self._held:
                        position = self._whole_chunks(data, position, pieces)
                    if position < size:
                        position = self._line(data, position)
                case _At.CONTENT:
                    piece = data[position : position + self._left]
                    pieces.append(piece)
                    position += len(piece)
                    self._left -= len(piece)
                    if not self._left:
                        self._at = _At.CONTENT_END
                case _At.CONTENT_END:
                    position = self._content_end(data, position)
                case _At.TRAILERS:
                    position = self._trailers(data, position)
        return position

    def _whole_chunks(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take the chunks that are there from end to end; return the place behind the last.

        Here a flood of tiny ones is read. Whatever isn't so plain is left to the others.
        """
        while True:
            if data[position + 1 : position + 3] == _CRLF:
                content, length = position + 3, _DIGITS.get(data[position : position + 1], 0)
            elif (line := _TINY.match(data, position, position + MAX_CHUNK_LINE)) is not None:
                content, length = line.end(), _DIGITS[line[1]]
            elif (line := _PLAIN.match(data, position)) is not None:
                content, length = line.end(), int(line[1], 16)
            else:
                return position
            end = content + length
            if not length or data[end : end + 2] != _CRLF:
                return position
            if content - position > _EXPLAINED:
                self._count(content - position, length)
            pieces.append(data[content:end])
            position = end + 2
            if length == 1 and (run := _ONES.match(data, position)) is not None:
                pieces += _EACH.findall(data, position, run.end())
                position = run.end()

    def _line(self, data: bytes, position: int) -> int:
        """Read a chunk's first line, or as much of it as has come."""
        end = data.find(b"\n", position) + 1
        # The last byte may be the CR of a line that is just short enough.
        if len(self._held) + (end or len(data) + 1) - position > MAX_CHUNK_LINE + 2:
            raise Malformed("a chunk's first line is too long")
        self._held += data[position : end or len(data)]
        if not end:
            return len(data)
        line = _CHUNK_LINE.fullmatch(self._held)
        if line is None:
            raise Malformed("not a chunk's first line")
        self._left = int(line[1], 16)
        self._count(len(self._held), self._left)
        self._held.clear()
        self._at = _At.CONTENT if self._left else _At.TRAILERS
        return end

    def _count(self, line: int, length: int) -> None:
        """Count what a chunk's ``line`` has more bytes than its ``length`` explains."""
        self._overhead += max(line - _EXPLAINED - 2 * length, 0)
        if self._overhead > MAX_CHUNK_OVERHEAD:
            raise Malformed("chunks with much besides their content")

    def _content_end(self, data: bytes, position: int) -> int:
        came = data[position : position + 2 - len(self._held)]
        self._held += came
        if not _CRLF.startswith(self._held):
            raise Malformed("a chunk is longer than it said")
        if len(self._held) == len(_CRLF):
            self._held.clear()
            self._at = _At.LINE
        return position + len(came)

    def _trailers(self, data: bytes, position: int) -> int:
        """Read all trailers, with the empty line behind them, or as much of them as has come."""
        looked_at = len(self._held)
        self._held += data[position : position + MAX_TRAILERS + 1 - looked_at]
        if self._held.startswith(_CRLF):
            end = 2
        else:
            end = self._held.find(b"\r\n\r\n", max(looked_at - 3, 0)) + 4
            if end < 4:  # noqa: PLR2004 - the line end of the last one, and the empty line
                if len(self._held) > MAX_TRAILERS:
                    raise Malformed("trailers are too large", 431)
                return len(data)
            if end > MAX_TRAILERS:
                raise Malformed("trailers are too large", 431)
            parse_fields(self._held, 0, end)
        self._held.clear()
        self.is_complete = True
        return position + end - looked_at


_NOTHING = LengthBody(0)
"""A body of no bytes, which nothing changes: one for all."""


def body_of(framing: Framing) -> Body:
    """Return the body that ``framing`` announces."""
    if isinstance(framing, int):
        return LengthBody(framing) if framing else _NOTHING
    return ChunkedBody() if framing is Unmeasured.CHUNKED else UntilCloseBody()
