"""A number of bytes as people write it in a file: ``32 MiB``, ``1.5 GiB``, or bytes alone."""

import re

from proxy.core.text_files.shape import JsonSchema, numbers, shaped, thousandths
from proxy.core.text_files.text import shown

_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?: ?(?P<unit>[KMGT]iB|B))?")
_UNITS = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_EIGHTHS = r"(?:\.(?:0{1,3}|125|250?|375|50{0,2}|625|750?|875))?"
"""The decimals with which a number of KiB, MiB and so on is one of whole bytes."""


def _shape(least: int, most: int) -> JsonSchema:
    written = [rf"0*{numbers(least, most)}(?:\.0{{1,3}})?(?: ?B)?"]
    for unit, size in _UNITS.items():
        low, high = -(-least * 1000 // size), most * 1000 // size
        if unit != "B" and low <= high:
            written.append(rf"(?=[0-9]+{_EIGHTHS} ?{unit}$){thousandths(low, high)} ?{unit}")
    return {
        "type": ["string", "integer"],
        "pattern": rf"^(?=[0-9]{{1,15}}(?![0-9]))(?:{'|'.join(written)})$",
        "minimum": least,
        "maximum": most,
        "patternErrorMessage": _expected(least, most),
    }


@shaped(_shape)
def read_size(text: object, least: int, most: int) -> int:
    """Return ``text`` in bytes; raises ``ValueError`` for what isn't a size between the two.

    Units are those of 1024 alone: nobody has to know what somebody else's MB is.
    """
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    size = float(match["number"]) * _UNITS[match["unit"] or "B"] if match else -1.0
    if not (least <= size <= most and size.is_integer()):
        what = f", not {shown(text)}" if isinstance(text, str) else ""
        raise ValueError(f"{_expected(least, most)}{what}")
    return int(size)


def _expected(least: int, most: int) -> str:
    return f"expected a size from {show_size(least)} to {show_size(most)}, such as 32 MiB"


def show_size(size: int) -> str:
    """Return ``size`` as it would be written, in the largest unit of which it is a multiple."""
    for unit, in_bytes in _UNITS.items():
        if size and size % in_bytes == 0:
            return f"{size // in_bytes} {unit}"
    return "0 B"
