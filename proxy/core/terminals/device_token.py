"""The token of a device that is no browser, in ``Authorization``: read, made, and kept from apps.

A DAV client, git or an app on a phone can't be paired: it has a user name and a password to fill
in, or a token. The owner makes it one, good for one app. Whatever holds our prefix is ours to judge
and reaches no app, be it cut off, mistyped, removed or sent in a form that no client should send:
an app that got one could come in as that device. So it is looked for leniently, and taken strictly.
Sources: RFC 9110, section 11.6.2; RFC 7617 (Basic); RFC 6750 (Bearer).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from proxy.core.errors import CHALLENGE
from proxy.core.http.headers import Field, Fields, values_of
from proxy.core.http.problem import wants_page
from proxy.core.identity import ALPHABET, encode_base32

FIELD = b"authorization"
PREFIX = b"portal_device_"
"""What each begins with: programs that search for secrets can find one by it, and so do we."""
CHANCE_BYTES = 32
"""Chance that a token is made of."""

_CHANCE_LENGTH = 52
_CHECK_LENGTH = 4
_OURS = re.compile(re.escape(PREFIX), re.IGNORECASE)
_FORM = re.compile(
    PREFIX + rb"[%b]{%d}" % (ALPHABET.encode("ascii"), _CHANCE_LENGTH + _CHECK_LENGTH)
)
_CREDENTIALS = re.compile(rb"(basic|bearer) +([!-~]+)", re.IGNORECASE)
_OF_PAGES = frozenset({b"origin", b"referer"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+")
_LEAST = len(PREFIX) * 8 // 6 + 1
"""Characters of base64 that our prefix takes: thousands of shorter runs needn't be decoded."""
_PLAIN = bytes.maketrans(b"-_", b"+/")


def new_device_token(chance: bytes) -> str:
    """Return a token, made of ``CHANCE_BYTES`` of chance."""
    token = PREFIX.decode("ascii") + encode_base32(chance)
    return token + _check(token)


def shows_device_token(fields: Fields) -> bool:
    """Tell whether something in ``Authorization`` is a token of ours, or looks like one."""
    return any(map(_is_ours, values_of(fields, FIELD)))


def shown_device_token(fields: Fields) -> bytes:
    """Return the token of fields that show one; raises ``ValueError`` with what is wrong."""
    values = values_of(fields, FIELD)
    if len(values) != 1:
        raise ValueError("it stands beside another Authorization")
    match = _CREDENTIALS.fullmatch(values[0])
    if match is None:
        raise ValueError("it stands in no credentials of Basic or Bearer")
    token = match[2] if match[1].lower() == b"bearer" else _password(match[2])
    if not _is_whole(token):
        raise ValueError("it isn't whole: cut off, mistyped, or not all of the password")
    return token


def without_authorization(fields: Fields) -> tuple[Field, ...]:
    """Return ``fields`` without the one that a token stands in."""
    return tuple(pair for pair in fields if pair[0] != FIELD)


def challenge(method: bytes, fields: Fields, app: str) -> bytes:
    """Return what asks for a token of ``app``, if no browser is asking.

    A browser would ask the person for a password, with a window of its own, on whatever page an
    image or a script of ``app`` stands; and show nothing but that to who navigates and could pair.
    """
    is_page = wants_page(method, fields) or any(
        name in _OF_PAGES or name.startswith(b"sec-fetch-") for name, _ in fields
    )
    return CHALLENGE if is_page else b'Basic realm="%b", charset="UTF-8"' % app.encode("ascii")


def _password(credentials: bytes) -> bytes:
    """Return the password of Basic's credentials; the user may be called anything."""
    try:
        pair = base64.b64decode(credentials, validate=True)
    except binascii.Error:
        pair = b""
    if base64.b64encode(pair) != credentials:
        raise ValueError("its base64 isn't in the one form")
    return pair.partition(b":")[2]


def _is_whole(token: bytes) -> bool:
    if _FORM.fullmatch(token) is None:
        return False
    text = token.decode("ascii")
    return text.endswith(_check(text[:-_CHECK_LENGTH]))


def _is_ours(value: bytes) -> bool:
    return any(map(_holds_prefix, (value, *_decoded(value))))


def _holds_prefix(text: bytes) -> bool:
    """Tell whether the prefix is in a text, escaped perhaps as in a URL, from which it may come."""
    if _OURS.search(text):
        return True
    return b"%" in text and _OURS.search(unquote_to_bytes(text)) is not None


def _decoded(value: bytes) -> Iterator[bytes]:
    """Yield what lenient readers of base64 could find in a value.

    Some pass over what isn't of its alphabet, some take the one for URLs, some want no padding.
    """
    runs = _BASE64.findall(value)
    # The first is the name of the scheme, if there is one.
    joined = b"".join(runs[1:]), b"".join(runs)
    for text in (*(run for run in runs if len(run) >= _LEAST), *joined):
        yield _from_base64(text)
        if b"-" in text or b"_" in text:
            yield _from_base64(text.translate(None, b"-_"))


def _from_base64(text: bytes) -> bytes:
    # One character alone at the end holds no byte.
    whole = text[:-1] if len(text) % 4 == 1 else text
    return base64.b64decode(whole.translate(_PLAIN) + b"==")


def _check(token: str) -> str:
    """Return the last characters of a token that begins so: they show that it is all there."""
    return encode_base32(hashlib.sha256(token.encode("ascii")).digest())[:_CHECK_LENGTH]
