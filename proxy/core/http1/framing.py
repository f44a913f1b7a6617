"""Where a message's body ends (RFC 9112, section 6): the one decision that smuggling attacks.

Two lengths, a length that isn't plain digits, and a coding other than ``chunked`` alone are errors,
even where the RFC would allow a guess: the app behind us might guess differently.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from proxy.core.http.headers import Field, Fields, has_too_many_options, index_of, values_of
from proxy.core.http1.grammar import Malformed, RequestHead, ResponseHead

_LENGTH = re.compile(rb"[0-9]{1,15}")

IN_CHUNKS: Field = (b"transfer-encoding", b"chunked")
"""What frames a body whose length isn't known when its head is sent."""


class Unmeasured(Enum):
    """Bodies whose length isn't announced."""

    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


Framing = int | Unmeasured
"""A body's length in bytes (0: none), or how its end will show."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """What the head says of the connection behind the message."""

    keeps: bool
    options: frozenset[bytes]


_STAYS = Persistence(keeps=True, options=frozenset())
_ENDS = Persistence(keeps=False, options=frozenset())
_USUAL = {
    value: Persistence(keeps=value.lower() != b"close", options=frozenset({value.lower()}))
    for value in (
        b"keep-alive", b"Keep-Alive", b"close", b"Close", b"upgrade", b"Upgrade"
    )
}  # fmt: skip
"""What nearly everybody says in HTTP/1.1: one for all."""

_BRING_A_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


def request_framing(head: RequestHead) -> Framing:
    """Return how a request's body ends; raises ``Malformed``.

    To HTTP/1.0 no length may mean a body up to the connection's end, which nobody could answer: a
    method that brings a body must tell its length there, with status 411 where it doesn't. CONNECT
    has none (RFC 9110, section 9.3.6): to some readers it would be the tunnel's first bytes.
    """
    framing = _announced(head.fields, head.minor)
    if framing and head.method == b"CONNECT":
        raise Malformed("a body with CONNECT")
    if framing is None:
        if head.minor == 0 and head.method in _BRING_A_BODY:
            raise Malformed("a body without a length in HTTP/1.0", 411)
        return 0
    return framing


NO_BODY = frozenset({204, 304})
"""Final statuses whose responses end with their head, whatever the method."""


def bodiless(method: bytes, status: int) -> bool:
    """Tell whether a final response to ``method`` has no body (RFC 9110, section 6.4.1)."""
    return method == b"HEAD" or status in NO_BODY


def response_framing(head: ResponseHead, method: bytes) -> Framing:
    """Return how the body of a response to ``method`` ends; raises ``Malformed``.

    What has no body (HEAD, 1xx, 204, 304) may announce one: it describes what isn't sent. Such a
    response ends with its head, whatever coding is named there (RFC 9112, section 6.3).
    """
    if head.status < 200 or bodiless(method, head.status):  # noqa: PLR2004 - RFC 9110, 15.2
        _length(values_of(head.fields, b"content-length"))
        return 0
    framing = _announced(head.fields, head.minor)
    return Unmeasured.UNTIL_CLOSE if framing is None else framing


def _announced(fields: Fields, minor: int) -> Framing | None:
    by_name = index_of(fields)
    lengths, codings = by_name.get(b"content-length"), by_name.get(b"transfer-encoding")
    if codings:
        if lengths:
            raise Malformed("Content-Length beside Transfer-Encoding")
        if minor == 0:
            raise Malformed("Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
        return Unmeasured.CHUNKED
    return _length(lengths) if lengths else None


def _length(lengths: Sequence[bytes]) -> int | None:
    if not lengths:
        return None
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise Malformed("Content-Length isn't one number")
    return int(lengths[0])


def persistence(fields: Fields, minor: int) -> Persistence:
    """Tell whether the connection stays open behind this message (RFC 9112, section 9.3)."""
    values = values_of(fields, b"connection")
    if not values:
        return _STAYS if minor else _ENDS
    if minor and len(values) == 1 and (usual := _USUAL.get(values[0])) is not None:
        return usual
    if has_too_many_options(values):
        return _ENDS
    options = frozenset(
        option.strip(b" \t").lower() for value in values for option in value.split(b",")
    )
    keeps = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    return Persistence(keeps, options)
