"""Whole messages, made of frames and into frames: for WebSockets whose end is no socket.

``proxy.core.websocket.frames`` looks at frames as they pass and touches no payload. This is for
ends that speak in messages: an app in this process, and the WebSocket of another server. What is
read has passed a ``FrameFilter`` before: its form and its size aren't checked again.
Source: RFC 6455, sections 5 and 7.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.core.websocket.frames import (
    CLOSE,
    CONTROL,
    FIN,
    MASK,
    MASK_SIZE,
    OPCODE,
    framed,
    header_size,
    masked,
    payload_length,
)

_TEXT, _BINARY, _PING, _PONG = 0x1, 0x2, 0x9, 0xA
NO_STATUS = 1005
"""Stands for a Close without a status (RFC 6455, section 7.4.1); no frame bears it."""
ABNORMAL = 1006
"""Stands for an end without a Close, likewise."""


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
        start = header_size(held, 0)
        if len(held) < start:
            return None
        length = payload_length(held, 0)
        if len(held) < start + length:
            return None
        first, payload = held[0], bytes(held[start : start + length])
        if held[1] & MASK:
            payload = masked(payload, bytes(held[start - MASK_SIZE : start]))
        del held[: start + length]
        return first, payload

    def _event(self, first: int, payload: bytes) -> Event | None:
        opcode = first & OPCODE
        if opcode == _PING:
            return Ping(payload)
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else NO_STATUS
            return Closing(code, payload[2:].decode("utf-8", "replace"))
        if opcode & CONTROL:
            return None
        if opcode:
            self._is_text = opcode == _TEXT
        self._fragments.append(payload)
        if not first & FIN:
            return None
        whole = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments = []
        return Text(whole) if self._is_text else Binary(whole)


def text_frame(text: str, mask: bytes = b"") -> bytes:
    """Return a text message as one frame; ``mask`` is four random bytes where a client sends it."""
    return framed(_TEXT, text.encode("utf-8"), mask)


def binary_frame(data: bytes, mask: bytes = b"") -> bytes:
    """Return a binary message likewise."""
    return framed(_BINARY, data, mask)


def pong_frame(data: bytes, mask: bytes = b"") -> bytes:
    """Return the Pong for a Ping with ``data``."""
    return framed(_PONG, data, mask)
