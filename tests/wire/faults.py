"""What somebody on the way can do to an envelope: each as a change of its pieces.

Pieces are the header, then each chunk with its length; the final one is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.wire.harness.meddler import HungUp

Pieces = list[bytes]
Fault = Callable[[Pieces], Iterator[bytes]]


def flipped(piece: bytes, at: int) -> bytes:
    """Return ``piece`` with one bit of the byte ``at`` changed."""
    changed = bytearray(piece)
    changed[at] ^= 1 << (at % 8)
    return bytes(changed)


def flip(index: int, at: int) -> Fault:
    def fault(pieces: Pieces) -> Iterator[bytes]:
        spoiled = list(pieces)
        spoiled[index] = flipped(spoiled[index], at)
        yield from spoiled

    return fault


def drop(index: int) -> Fault:
    def fault(pieces: Pieces) -> Iterator[bytes]:
        spoiled = list(pieces)
        del spoiled[index]
        yield from spoiled

    return fault


def swap(one: int, other: int) -> Fault:
    def fault(pieces: Pieces) -> Iterator[bytes]:
        spoiled = list(pieces)
        spoiled[one], spoiled[other] = spoiled[other], spoiled[one]
        yield from spoiled

    return fault


def repeat(index: int) -> Fault:
    def fault(pieces: Pieces) -> Iterator[bytes]:
        yield from pieces[:index]
        yield from [pieces[index]] * 2
        yield from pieces[index:][1:]

    return fault


def shorten(missing: int) -> Fault:
    """End the stream, properly by HTTP's rules, so many bytes early."""

    def fault(pieces: Pieces) -> Iterator[bytes]:
        yield b"".join(pieces)[:-missing]

    return fault


def lengthen(more: bytes) -> Fault:
    def fault(pieces: Pieces) -> Iterator[bytes]:
        yield from [*pieces, more]

    return fault


def keep(count: int) -> Fault:
    """End the stream behind ``count`` pieces."""

    def fault(pieces: Pieces) -> Iterator[bytes]:
        yield from pieces[:count]

    return fault


def unfinal(pieces: Pieces) -> Iterator[bytes]:
    """Pass the last chunk but one off as the final one."""
    *first, last, _ = pieces
    yield from first
    yield b"\0" + last[1 << (last[0] >> 6) :]


def cut(count: int, *, reset: bool) -> Fault:
    """End the connection behind ``count`` pieces; the last of them by half, if it is negative."""

    def fault(pieces: Pieces) -> Iterator[bytes]:
        yield from pieces[:count]
        if count < 0:
            yield pieces[count][: len(pieces[count]) // 2]
        raise HungUp(reset=reset)

    return fault


HEADER: dict[str, Fault] = {
    "a bit of the header's first byte": flip(0, 0),
    "a bit of the header's last byte": flip(0, -1),
    "the header missing": drop(0),
    "the header twice": repeat(0),
    "nothing at all": keep(0),
    "the header alone": keep(1),
}
FINAL: dict[str, Fault] = {
    "a bit of the final chunk": flip(-1, 10),
    "a bit of the final chunk's tag": flip(-1, -1),
    "a bit of the final chunk's length": flip(-1, 0),
    "the final chunk missing": drop(-1),
    "the final chunk twice": repeat(-1),
    "a byte missing at the end": shorten(1),
    "the tag missing at the end": shorten(16),
    "half of the final chunk missing": shorten(500),
    "a byte more at the end": lengthen(b"\0"),
    "many bytes more at the end": lengthen(bytes(1 << 20)),
}
MANY: dict[str, Fault] = {
    "a bit of the first chunk": flip(1, 10),
    "a bit of the first chunk's tag": flip(1, -1),
    "a bit of the first chunk's length": flip(1, 1),
    "a bit of the second chunk": flip(2, 10),
    "a bit of the last chunk but one": flip(-2, -1),
    "the first chunk missing": drop(1),
    "the second chunk missing": drop(2),
    "the last chunk but one missing": drop(-2),
    "the first chunk twice": repeat(1),
    "the second chunk twice": repeat(2),
    "two chunks in the other order": swap(1, 2),
    "the last two in the other order": swap(-2, -1),
    "the last but one as the final one": unfinal,
    "the first chunk alone": keep(2),
    "all but the final chunk": keep(-1),
}
BROKEN_OFF: dict[str, Fault] = {
    f"{how} behind {where}": cut(count, reset=how == "a reset")
    for how in ("a reset", "an end")
    for where, count in {
        "nothing": 0, "the header": 1, "the first chunk": 2, "half of the last chunk but one": -2,
        "half of the final chunk": -1,
    }.items()
}  # fmt: skip
