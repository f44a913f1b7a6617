"""Frames as bytes, and a parser of them that shares nothing with the proxy's own."""

from __future__ import annotations

from dataclasses import dataclass

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x0f\xf0\x55\xaa"


@dataclass(frozen=True)
class Frame:
    """One frame; its payload unmasked."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0

    def raw(self, mask: bytes = b"", *, wide: int = 0) -> bytes:
        """Return it on the wire; ``wide`` writes the length in 2 or 8 bytes whatever it is."""
        length = len(self.payload)
        if not wide:
            wide = 0 if length < 126 else 2 if length < 65536 else 8
        short = length if not wide else {2: 126, 8: 127}[wide]
        first = (0x80 if self.fin else 0) | self.rsv << 4 | self.opcode
        second = (0x80 if mask else 0) | short
        extended = length.to_bytes(wide, "big") if wide else b""
        return bytes((first, second)) + extended + mask + masked(self.payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Mask a payload, or unmask it."""
    if not mask:
        return payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(
        len(payload), "big"
    )


def close(code: int, reason: bytes = b"") -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big") + reason)


def frames_of(data: bytes) -> tuple[list[Frame], bytes]:
    """Read frames off ``data``; return them and what is left of one that isn't whole."""
    found = []
    while len(data) >= 2:
        first, second = data[0], data[1]
        wide = {126: 2, 127: 8}.get(second & 127, 0)
        mask_end = 2 + wide + (4 if second & 128 else 0)
        length = int.from_bytes(data[2 : 2 + wide], "big") if wide else second & 127
        if len(data) < mask_end + length:
            break
        payload = masked(data[mask_end : mask_end + length], data[2 + wide : mask_end])
        found.append(Frame(first & 15, payload, bool(first & 128), first >> 4 & 7))
        data = data[mask_end + length :]
    return found, data
