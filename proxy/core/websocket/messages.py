"""Whole messages, made of frames and into frames: for WebSockets whose end is no socket.

``proxy.core.websocket.frames`` looks at frames as they pass and touches no payload. This is for
ends that speak in messages: an app in this process, and the WebSocket of another server. What is
read has passed a ``FrameFilter`` before: its form and its size aren't checked again.
Source: RFC 6455, sections 5 and 7.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _OPCODE, _CONTROL = 0x80, 0x0F, 0x08
_MASK, _MASK_SIZE, _LENGTH, _SHORT = 0x80, 4, 0x7F, 125
_MORE = {126: 2, 127: 8}
NO_STATUS = 1005
"""Stands for a Close without a status (RFC 6455, section 7.4.1); no frame bears it."""
ABNORMAL = 1006
"""Stands for an end without a Close, likewise."""
_SENDABLE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message, as UTF-8 that nobody has looked at."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Binary:
    """A whole binary message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A Ping, which wants a Pong with the same bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """A Close; ``code`` is ``NO_STATUS`` where it has none."""

    code: int
    reason: str


Event = Text | Binary | Ping | Closing


class MessageReader:
    """Reads the frames of one direction, masked or not; Pongs are nobody's business."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_text = False
        self._fragments: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what is whole once ``data`` has arrived."""
        self._held += data
        while (frame := self._frame()) is not None:
            event = self._event(*frame)
            if event is not None:
                yield event

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame: its first byte, and its payload without the mask."""
        held = self._held
        if len(held) < 2:  # noqa: PLR2004 - the two bytes that every frame has
            return None
        more = _MORE.get(held[1] & _LENGTH, 0)
        is_masked = bool(held[1] & _MASK)
        start = 2 + more + (_MASK_SIZE if is_masked else 0)
        if len(held) < start:
            return None
        length = int.from_bytes(held[2 : 2 + more], "big") if more else held[1] & _LENGTH
        if len(held) < start + length:
            return None
        first, payload = held[0], bytes(held[start : start + length])
        if is_masked:
            payload = _masked(payload, bytes(held[start - _MASK_SIZE : start]))
        del held[: start + length]
        return first, payload

    def _event(self, first: int, payload: bytes) -> Event | None:
        opcode = first & _OPCODE
        if opcode == _PING:
            return Ping(payload)
        if opcode == _CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else NO_STATUS
            return Closing(code, payload[2:].decode("utf-8", "replace"))
        if opcode & _CONTROL:
            return None
        if opcode:
            self._is_text = opcode == _TEXT
        self._fragments.append(payload)
        if not first & _FIN:
            return None
        whole = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments = []
        return Text(whole) if self._is_text else Binary(whole)


def text_frame(text: str, mask: bytes = b"") -> bytes:
    """Return a text message as one frame; ``mask`` is four random bytes where a client sends it."""
    return _framed(_TEXT, text.encode("utf-8"), mask)


def binary_frame(data: bytes, mask: bytes = b"") -> bytes:
    """Return a binary message likewise."""
    return _framed(_BINARY, data, mask)


def pong_frame(data: bytes, mask: bytes = b"") -> bytes:
    """Return the Pong for a Ping with ``data``."""
    return _framed(_PONG, data, mask)


def closing_frame(code: int, reason: str, mask: bytes = b"") -> bytes:
    """Return a Close, without a status where ``code`` is none that a frame may bear."""
    if code not in _SENDABLE:
        return _framed(_CLOSE, b"", mask)
    told = reason.encode("utf-8")[: _SHORT - 2].decode("utf-8", "ignore").encode("utf-8")
    return _framed(_CLOSE, code.to_bytes(2, "big") + told, mask)


def _framed(opcode: int, payload: bytes, mask: bytes) -> bytes:
    length, masking = len(payload), _MASK if mask else 0
    if length <= _SHORT:
        head = bytes((_FIN | opcode, masking | length))
    elif length < 1 << 16:
        head = bytes((_FIN | opcode, masking | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, masking | 127)) + length.to_bytes(8, "big")
    return head + mask + (_masked(payload, mask) if mask else payload)


def _masked(data: bytes, mask: bytes) -> bytes:
    """Return ``data`` with the mask put on, or taken off: that is the same."""
    key = (mask * (len(data) // _MASK_SIZE + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")
