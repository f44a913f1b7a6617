"""The frames of one direction as they pass (RFC 6455, section 5): headers are read, payload isn't.

``FrameFilter`` lets through what is well formed, in the bytes and at the moment it came in. Only a
frame's header is held until it is whole, fourteen bytes at most: what has passed therefore ends
between two frames, or in a payload whose end is known, and a Close of our own can follow there.

    state      what arrives                     what passes                      next state
    PASSING    a frame                          the frame                        PASSING
    PASSING    a Close                          the Close                        LAST
    REPLACING  a frame                          the frame                        REPLACING
    REPLACING  a Close                          ours instead                     OVER
    LAST       the end of the frame             it, then ours if there is one    OVER
    OVER       anything                         -                                OVER
    any        a header that breaks a rule      -, and ``violation`` tells why   as it was

Behind a violation nothing passes but the Close that ``close_now`` is given.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class Close(IntEnum):
    """The status codes that a Close of our own bears (RFC 6455, section 7.4.1)."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NOT_ALLOWED = 1008
    TOO_BIG = 1009
    TRY_AGAIN_LATER = 1013


@dataclass(frozen=True, slots=True)
class Violation:
    """Why nothing more may pass: ``code`` for both sides, ``detail`` for the owner's log."""

    code: Close
    detail: str


class State(Enum):
    """Where a direction is between its beginning and its end."""

    PASSING = auto()
    REPLACING = auto()
    LAST = auto()
    OVER = auto()


FIN, _RSV, OPCODE, CONTROL, CLOSE = 0x80, 0x70, 0x0F, 0x08, 0x8
MASK, MASK_SIZE, _LENGTH, _SHORT = 0x80, 4, 0x7F, 125
_MORE = {126: 2, 127: 8}
"""How many bytes a longer length takes."""
_SENDABLE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""The status codes that a Close may bear (RFC 6455, section 7.4)."""
_LEAST = {126: _SHORT + 1, 127: 1 << 16}
"""The least length that needs them."""
_LONGEST = 1 << 63

# Every first byte that a frame may begin with: Close, Ping and Pong anywhere; the rest of a message
# within one; Text and Binary between two, with RSV1 if both sides agreed on compression.
_ANYWHERE = frozenset({0x88, 0x89, 0x8A})
_WITHIN = _ANYWHERE | {0x00, 0x80}
_BETWEEN = _ANYWHERE | {0x01, 0x02, 0x81, 0x82}
_BETWEEN_DEFLATED = _BETWEEN | {0x41, 0x42, 0xC1, 0xC2}


class FrameFilter:
    """The frames from one side to the other; the side that ``sends_masked`` is the client."""

    __slots__ = (
        "_between", "_held", "_is_within", "_limit", "_masked", "_ours", "_size", "is_closed_by_us",
        "left", "state", "violation",
    )  # fmt: skip

    def __init__(self, *, sends_masked: bool, deflate: bool, limit: int) -> None:
        """``limit`` is in bytes: of a message's payload over all its frames, as it passes."""
        self._masked = sends_masked
        self._between = _BETWEEN_DEFLATED if deflate else _BETWEEN
        self._limit = limit
        self._held = b""
        self.left = 0
        """Bytes of a payload that are still to come, and pass as they come."""
        self._is_within = False
        self._size = 0
        self._ours = b""
        self.state = State.PASSING
        self.violation: Violation | None = None
        self.is_closed_by_us = False

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; return what passes of it."""
        if self.left > len(data):
            self.left -= len(data)
            return data
        if self.state is State.OVER or self.violation is not None:
            return b""
        if self._held:
            data, self._held = self._held + data, b""
        end = 0
        while True:
            payload = min(self.left, len(data) - end)
            self.left -= payload
            end += payload
            if self.left:
                break
            if self.state is State.LAST:
                self._end()
                break
            end = self._short_frames(data, end)
            header = self._header(data, end)
            if not header:
                break
            end += header
        passing = data[:end]
        return passing + self._ours if self.is_closed_by_us else passing

    def _short_frames(self, data: bytes, start: int) -> int:
        """Pass the short frames that are there from end to end; return the place behind the last.

        A flood of them costs little here. Whatever isn't so plain is left to ``_header``.
        """
        size, expected, total = len(data), self._masked << 7, self._size
        overhead = 2 + MASK_SIZE * self._masked
        allowed = _WITHIN if self._is_within else self._between
        while start + 2 <= size:
            first, length = data[start], data[start + 1] ^ expected
            end = start + overhead + length
            if length > _SHORT or end > size or first not in allowed:
                break
            if not first & CONTROL:
                total = length if first & OPCODE else total + length
                if total > self._limit:
                    break
                allowed = self._between if first & FIN else _WITHIN
                self._size = total
            elif first & OPCODE == CLOSE:
                break
            start = end
        self._is_within = allowed is _WITHIN
        return start

    def close_with(self, frame: bytes) -> None:
        """Let our ``frame`` take the place of the Close that is still to come from this side."""
        if self.state is State.PASSING:
            self.state, self._ours = State.REPLACING, frame

    def close_now(self, frame: bytes) -> bytes:
        """Let our ``frame`` be the last to pass; return it, or b"" where a payload must end first.

        Where a Close has passed, none of ours follows it.
        """
        if self.state in (State.LAST, State.OVER):
            return b""
        self._ours = frame
        if self.left:
            self.state = State.LAST
            return b""
        self._end()
        return frame

    def _end(self) -> None:
        self.state = State.OVER
        self._held = b""
        self.is_closed_by_us = bool(self._ours)

    def _header(self, data: bytes, start: int) -> int:
        """Read the header at ``start``; return its length, 0 where none passes (yet)."""
        size = header_size(data, start)
        if len(data) - start < size:
            self._held = data[start:]
            return 0
        first, second = data[start], data[start + 1]
        length = second & _LENGTH
        if length > _SHORT:
            length = payload_length(data, start)
        total = length if first & OPCODE else self._size + length
        self.violation = self._violation(first, second, length, total)
        if self.violation is not None:
            return 0
        if not first & CONTROL:
            self._is_within, self._size = not first & FIN, total
        elif first & OPCODE == CLOSE:
            if self.state is State.REPLACING:
                self._end()
                return 0
            self.state = State.LAST
        self.left = length
        return size

    def _violation(self, first: int, second: int, length: int, total: int) -> Violation | None:
        """Tell what is wrong with a frame of ``length`` bytes in a message of ``total``."""
        if first not in (_WITHIN if self._is_within else self._between):
            return _broken(_why(first, is_within=self._is_within))
        if bool(second & MASK) is not self._masked:
            sender = "a client's frame that isn't" if self._masked else "a server's frame that is"
            return _broken(f"{sender} masked")
        if first & CONTROL:
            is_long = second & _LENGTH > _SHORT
            return _broken("a control frame of more than 125 bytes") if is_long else None
        if not _LEAST.get(second & _LENGTH, 0) <= length < _LONGEST:
            return _broken("a length in more bytes than it needs, or negative")
        if total > self._limit:
            return Violation(Close.TOO_BIG, f"a message of more than {self._limit} bytes")
        return None


def header_size(data: bytes | bytearray, start: int) -> int:
    """Return how many bytes the header at ``start`` takes, as far as it tells by now."""
    if len(data) - start < 2:  # noqa: PLR2004 - the two bytes that every frame has
        return 2
    second = data[start + 1]
    return 2 + _MORE.get(second & _LENGTH, 0) + (MASK_SIZE if second & MASK else 0)


def payload_length(data: bytes | bytearray, start: int) -> int:
    """Return how long the payload behind the header at ``start`` is, once that is whole."""
    short = data[start + 1] & _LENGTH
    more = _MORE.get(short, 0)
    return int.from_bytes(data[start + 2 : start + 2 + more], "big") if more else short


def _broken(detail: str) -> Violation:
    return Violation(Close.PROTOCOL_ERROR, detail)


def _why(first: int, *, is_within: bool) -> str:
    """Tell what is wrong with a frame's first byte."""
    opcode = first & OPCODE
    if opcode not in (0x0, 0x1, 0x2, 0x8, 0x9, 0xA):
        return f"the reserved opcode {opcode}"
    if first & _RSV:
        return "a reserved bit that no extension owns here"
    if opcode & CONTROL:
        return "a control frame in fragments"
    return "a message within another" if is_within else "a fragment of no message"


def close_frame(code: int, reason: str = "", mask: bytes = b"") -> bytes:
    """Return a Close, without a status where ``code`` is none that a frame may bear.

    ``mask`` is four random bytes for the one that a client sends, else b"".
    """
    if code not in _SENDABLE:
        return framed(CLOSE, b"", mask)
    told = reason.encode("utf-8")[: _SHORT - 2].decode("utf-8", "ignore").encode("utf-8")
    return framed(CLOSE, code.to_bytes(2, "big") + told, mask)


def framed(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """Return ``payload`` as one whole frame."""
    length, masking = len(payload), MASK if mask else 0
    if length <= _SHORT:
        head = bytes((FIN | opcode, masking | length))
    elif length < 1 << 16:
        head = bytes((FIN | opcode, masking | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((FIN | opcode, masking | 127)) + length.to_bytes(8, "big")
    return head + mask + (masked(payload, mask) if mask else payload)


def masked(data: bytes, mask: bytes) -> bytes:
    """Return ``data`` with the mask put on, or taken off: that is the same."""
    key = (mask * (len(data) // MASK_SIZE + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")
