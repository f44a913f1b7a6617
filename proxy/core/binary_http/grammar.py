"""What the head of a message in binary form may say.

Stricter than the RFC, because what is read here goes to an app in HTTP/1.1: nothing that a line
or a field of that could be made of, no field that speaks of a connection or a second time of the
host, no length but the content's own. Source: RFC 9292, sections 3.4 to 3.6; RFC 9113, 8.2 and 8.3.
"""

import re

from proxy.core.binary_http.message import Malformed
from proxy.core.binary_http.varint import Unfinished, read_varint
from proxy.core.http.headers import HOP_BY_HOP, Field, is_token
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD

SCHEMES = frozenset({b"http", b"https"})
FORBIDDEN = HOP_BY_HOP | {b"host"}
"""Fields of a connection, which there is none of here, and the authority's second spelling."""

_VISIBLE = re.compile(rb"[\x21-\x7e]+")
_NAME = rb"[!#$%&'*+\-.^_`|~0-9a-z]++"
_VALUE = rb"(?![\t ])[\t \x21-\x7e\x80-\xff]*+(?<![\t ])"
_A_NAME = re.compile(_NAME)
_LINES = re.compile(rb"(?:" + _NAME + rb"\n" + _VALUE + rb"\n)*+")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")


def read_string(data: bytes, position: int, last: int) -> tuple[bytes, int]:
    """Return the string at ``position``, which its length precedes, and the place behind it.

    Raises ``Unfinished``, and ``Malformed`` where it reaches beyond ``last``: before it arrived.
    """
    length, start = read_varint(data, position)
    end = start + length
    if end > min(len(data), last):
        raise _beyond(position, end, last)
    return data[start:end], end


def read_lines(data: bytes, position: int, last: int, strings: list[bytes]) -> int:
    """Add names and values in turn to ``strings``; return the place behind the terminator.

    Raises ``Unfinished``, with what was read before in ``strings``: the next call goes on there.
    Raises ``Malformed`` for too many fields, and where they reach beyond ``last``.
    """
    bound = min(len(data), last)
    try:
        for number in range(len(strings), 2 * MAX_FIELDS + 1):
            length, start = data[position], position + 1
            if length >= 64:  # noqa: PLR2004 - not a varint of one byte
                length, start = read_varint(data, position)
            end = start + length
            if end > bound:
                raise _beyond(position, end, last)
            if not length and not number % 2:
                return end
            strings.append(data[start:end])
            position = end
    except IndexError:
        raise Unfinished(position, 1) from None
    raise Malformed(f"more than {MAX_FIELDS} fields", 431)


def _beyond(position: int, end: int, last: int) -> Malformed | Unfinished:
    """Return what to raise for an item that ends beyond ``last`` or beyond the data."""
    if end > last:
        return Malformed(f"the head is larger than {MAX_HEAD} bytes", 431)
    return Unfinished(position, end - position)


def lines_of(section: bytes) -> list[bytes]:
    """Return names and values in turn of a field section of known length; raises ``Malformed``."""
    strings: list[bytes] = []
    try:
        read_lines(section, 0, MAX_HEAD, strings)
    except Unfinished as rest:
        if rest.position == len(section) and not len(strings) % 2:
            return strings
    raise Malformed("the field section doesn't end where its lines do")


def fields_of(strings: list[bytes]) -> tuple[Field, ...]:
    """Return the fields whose names and values ``strings`` are; raises ``Malformed``."""
    if not strings:
        return ()
    # One match for all of them. A line feed within a string could pass for the end of one.
    joined = b"%b\n" % b"\n".join(strings)
    names, values = strings[::2], strings[1::2]
    if joined.count(b"\n") != len(strings) or _LINES.fullmatch(joined) is None:
        bad = [name for name in names if not _A_NAME.fullmatch(name)]
        raise Malformed(f"not a field name: {bad[0][:80]!r}" if bad else "not a field value")
    if not FORBIDDEN.isdisjoint(names):
        raise Malformed("a field of a connection, or a host beside the authority")
    return tuple(zip(names, values, strict=True))


def refuse_control(method: bytes, scheme: bytes, authority: bytes, target: bytes) -> None:
    """Refuse control data that names no path on a host; raises ``Malformed``.

    Which bytes a path may have is for ``proxy.core.access.target`` to say. CONNECT has neither a
    scheme nor a path (RFC 9113, section 8.5).
    """
    if not is_token(method) or method == b"CONNECT":
        raise Malformed(f"not a method for a path: {method[:80]!r}")
    if scheme not in SCHEMES:
        raise Malformed(f"neither http nor https: {scheme[:80]!r}")
    if not _VISIBLE.fullmatch(authority):
        raise Malformed(f"not an authority: {authority[:80]!r}")
    if not target.startswith(b"/") or not _VISIBLE.fullmatch(target):
        raise Malformed("the target isn't in origin form")


def is_status(status: int) -> bool:
    """Tell whether a response may have this status: 100 to 599, but no change of protocols."""
    return 100 <= status <= 599 and status != 101  # noqa: PLR2004 - RFC 9292, section 3.5


def is_informational(status: int) -> bool:
    """Tell whether another response follows the one with this status."""
    return status < 200  # noqa: PLR2004 - RFC 9292, section 3.5.1


def announced_length(fields: tuple[Field, ...]) -> int | None:
    """Return what Content-Length says, None where it isn't there; raises ``Malformed``."""
    lengths = [value for name, value in fields if name == b"content-length"]
    if not lengths:
        return None
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise Malformed("Content-Length isn't one number")
    return int(lengths[0])
