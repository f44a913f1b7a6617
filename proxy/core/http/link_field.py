"""The references in a ``Link`` field: what stands between ``<`` and ``>`` (RFC 8288, section 3)."""

import re
from collections.abc import Callable

_TARGET = re.compile(rb"[ \t,]*+<([^<>]*)>")
_PARAMETERS = re.compile(rb"(?:\"(?:[^\"\\]|\\.)*+\"|[^\",])*+(?=,|\Z)", re.DOTALL)


def with_references(value: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a line of ``Link`` with each of its references as ``change`` returns it.

    A ``<`` in a parameter begins none. From where the line can't be read it stays as it is.
    """
    parts: list[bytes] = []
    position = 0
    while (target := _TARGET.match(value, position)) is not None:
        parts += value[position : target.start(1)], change(target[1])
        parameters = _PARAMETERS.match(value, target.end(1))
        if parameters is None:
            position = target.end(1)
            break
        parts.append(parameters[0])
        position = parameters.end()
    return b"".join((*parts, value[position:]))
