"""Messages of indeterminate length as bytes (RFC 9292, section 3.2).

Behind a head comes its content in pieces, then ``END``, then the zeros that ``padding`` counts.
What is given was checked where it came in. Every string has its length before it, so nothing in
one can become another; only an empty name and a status that isn't final would end what they are
part of, and raise ``ValueError``.
"""

from collections.abc import Iterable

from proxy.core.binary_http.grammar import is_informational, is_status
from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.varint import varint
from proxy.core.http.headers import Field

END = b"\0\0"
"""The terminators of the content and of the trailers, of which there are none."""

_REQUEST = b"\2"
_RESPONSE = b"\3"
SMALLEST_PADDED = 1024
"""Below it all messages look alike. Above, the padding is at most 6 percent."""
_LENGTHS = tuple(varint(length) for length in range(1024))
"""As they stand before nearly every name and value."""


def request_head(head: RequestHead) -> bytes:
    """Return a request up to its content."""
    control = (head.method, head.scheme, head.authority, head.target)
    parts = [_REQUEST]
    for string in control:
        parts += (varint(len(string)), string)
    return _with_fields(parts, head.fields)


def response_head(head: ResponseHead) -> bytes:
    """Return a response up to its content."""
    if not is_status(head.status) or is_informational(head.status):
        raise ValueError(f"{head.status} isn't the status of a final response")
    return _with_fields([_RESPONSE, varint(head.status)], head.fields)


def content(piece: bytes) -> bytes:
    """Return ``piece`` as a part of the content; an empty one would be its end, and is nothing."""
    return varint(len(piece)) + piece if piece else b""


def padding(length: int) -> int:
    """Return how many zeros go behind a message of ``length`` bytes, to hide its length.

    Padmé: a padded length has as many bits of its own as a floating point number whose mantissa is
    no longer than its exponent. What leaks of the length grows with the logarithm of its logarithm.
    Source: Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with
    PURBs.
    """
    return max(SMALLEST_PADDED, _padme(length)) - length


def _padme(length: int) -> int:
    exponent = max(length.bit_length() - 1, 0)
    mantissa = exponent.bit_length()
    step = 1 << (exponent - mantissa) if exponent else 1
    return -(-length // step) * step


def _with_fields(parts: list[bytes], fields: Iterable[Field]) -> bytes:
    for name, value in fields:
        if not name:
            raise ValueError("a field without a name")
        try:
            parts += (_LENGTHS[len(name)], name, _LENGTHS[len(value)], value)
        except IndexError:
            parts += (varint(len(name)), name, varint(len(value)), value)
    parts.append(b"\0")
    return b"".join(parts)
