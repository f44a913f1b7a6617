"""A number of bytes as people write it in a file: ``32 MiB``, ``1.5 GiB``, or bytes alone."""

import re

from proxy.core.text_files.text import shown

_SIZE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?: ?(?P<unit>[KMGT]iB|B))?")
_UNITS = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}


def read_size(text: object, least: int, most: int) -> int:
    """Return ``text`` in bytes; raises ``ValueError`` for what isn't a size between the two.

    Units are those of 1024 alone: nobody has to know what somebody else's MB is.
    """
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    size = float(match["number"]) * _UNITS[match["unit"] or "B"] if match else -1.0
    if not (least <= size <= most and size.is_integer()):
        what = f", not {shown(text)}" if isinstance(text, str) else ""
        span = f"{show_size(least)} to {show_size(most)}"
        raise ValueError(f"expected a size from {span}, such as 32 MiB{what}")
    return int(size)


def show_size(size: int) -> str:
    """Return ``size`` as it would be written, in the largest unit of which it is a multiple."""
    for unit, in_bytes in _UNITS.items():
        if size and size % in_bytes == 0:
            return f"{size // in_bytes} {unit}"
    return "0 B"
