"""The cookie that carries a terminal's token: read, made, and kept from apps (RFC 6265bis).

A ``Cookie`` is split as browsers join it, at each ``;``, and never by quotes: an app that sets one
cookie with an opening quote and another with a closing one gets nothing of what stands between.
Who may set cookies for a parent of our host, as another Portal of the domain, can add some under
our name. They are further tokens to be tried, which let nobody in.
"""

import re
from collections.abc import Iterator

from proxy.core.http.headers import Field, Fields, values_of

COOKIE_SECURE = b"__Secure-portal-terminal"
"""The name where the Portal is reached by https: nobody can set such a cookie over http."""
COOKIE_PLAIN = b"portal-terminal"
"""The name where it is reached by http."""
MOST_LOOKED_AT = 8
"""Tokens of one request that are tried."""

_NAME = COOKIE_PLAIN
"""Both names end with it."""
_OURS = frozenset({COOKIE_SECURE.lower(), COOKIE_PLAIN.lower()})
_BLANKS = b" \t"
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}")


def cookie_name(secure: bool) -> bytes:  # noqa: FBT001 - all that it depends on
    """Return the cookie's name; ``secure``: the Portal's public URL is an https one."""
    return COOKIE_SECURE if secure else COOKIE_PLAIN


def presented(fields: Fields, name: bytes) -> tuple[bytes, ...]:
    """Return the different tokens that stand under ``name``, in order, at most 8.

    What can't be a token isn't one of them. The first needn't be the one that we set.
    """
    found: dict[bytes, None] = {}
    for value in values_of(fields, b"cookie"):
        for start, end in _candidates(value, name + b"="):
            key, _, token = value[start:end].strip(_BLANKS).partition(b"=")
            if key == name and _TOKEN.fullmatch(token):
                found[token] = None
                if len(found) == MOST_LOOKED_AT:
                    return tuple(found)
    return tuple(found)


def without_cookie(fields: Fields) -> tuple[Field, ...]:
    """Return ``fields`` without our cookies; every byte of the others stays, an empty field goes.

    A name is ours in any case, and with blanks around it: what the app's server makes of it is its
    own affair.
    """
    if not any(key == b"cookie" for key, _ in fields):
        return tuple(fields)
    kept = []
    for key, value in fields:
        others = _others(value) if key == b"cookie" else value
        if others is not None:
            kept.append((key, others))
    return tuple(kept)


def set_cookie(name: bytes, value: bytes, domain: str | None, max_age: int) -> bytes:
    """Return the value of ``Set-Cookie``; ``domain`` is the Portal's host, ``max_age`` seconds.

    With a ``Domain`` it goes to the Portal and to its apps, which are hosts below it. With None to
    the Portal's own host alone: what is below that may be anybody's.
    """
    where = b"" if domain is None else b" Domain=%s;" % domain.encode("ascii")
    text = b"%s=%s; Path=/;%s Max-Age=%d; HttpOnly; SameSite=Lax"
    cookie = text % (name, value, where, max_age)
    return cookie + b"; Secure" if name == COOKIE_SECURE else cookie


def sets_ours(value: bytes) -> bool:
    """Tell whether an app's ``Set-Cookie`` makes, replaces or deletes a cookie of ours."""
    return _is_ours(value.partition(b";")[0])


def _others(value: bytes) -> bytes | None:
    """Return a ``Cookie`` without ours, None where there was nothing else in it."""
    kept, begin = [], 0
    for start, end in _candidates(value.lower(), _NAME):
        if _is_ours(value[start:end]):
            if start > begin:
                kept.append(value[begin : start - 1])
            begin = end + 1
    if not begin:
        return value
    if begin <= len(value):
        kept.append(value[begin:])
    return b";".join(kept).strip(_BLANKS) or None


def _candidates(value: bytes, part: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each pair begins and ends that has ``part`` in it.

    The others, of which a client may send tens of thousands, aren't looked at one by one.
    """
    at = value.find(part)
    while at >= 0:
        end = value.find(b";", at)
        end = len(value) if end < 0 else end
        yield value.rfind(b";", 0, at) + 1, end
        at = value.find(part, end)


def _is_ours(pair: bytes) -> bool:
    """Tell whether a pair has one of our names.

    A cookie without a name is sent as its value alone: what is set as ``=portal-terminal=x`` comes
    back as ``portal-terminal=x``.
    """
    return pair.lstrip(b"= \t").partition(b"=")[0].rstrip(_BLANKS).lower() in _OURS
