"""Integers of one, two, four or eight bytes, whose first two bits tell which.

A reader takes any of the four forms, as the RFC asks; a writer uses the shortest.
Source: RFC 9000, section 16.
"""

_WIDEST = 1 << 62
_FORMS = (
    (1 << 6, 1, 0),
    (1 << 14, 2, 0b01 << 14),
    (1 << 30, 4, 0b10 << 30),
    (_WIDEST, 8, 0b11 << 62),
)
"""For each form the first integer that is too large, its bytes, and the bits that tell it."""
_VALUES = {width: limit - 1 for limit, width, _ in _FORMS}
"""For each width the bits that are the integer's own."""


class Unfinished(Exception):
    """The bytes end within the item at ``position``, which takes ``needed`` bytes or more."""

    def __init__(self, position: int, needed: int) -> None:
        super().__init__(position, needed)
        self.position = position
        self.needed = needed


def varint(value: int) -> bytes:
    """Return ``value`` in its shortest form; it is below 2**62."""
    for limit, width, form in _FORMS:
        if value < limit:
            return (form | value).to_bytes(width, "big")
    raise ValueError(f"{value} is above what a variable-length integer holds")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at ``position`` and the place behind it; raises ``Unfinished``."""
    try:
        first = data[position]
    except IndexError:
        raise Unfinished(position, 1) from None
    if first < 64:  # noqa: PLR2004 - the form of one byte
        return first, position + 1
    width = 1 << (first >> 6)
    end = position + width
    if end > len(data):
        raise Unfinished(position, width)
    return int.from_bytes(data[position:end], "big") & _VALUES[width], end
