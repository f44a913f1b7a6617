"""Request targets: the raw bytes, and every interpretation of them by an app.

The bytes are judged here and forwarded as they came, never decoded and re-encoded. What no honest
client sends and some app would read in its own way is refused outright; everything else is judged
under every one of its ``interpretations``, and the strictest rule holds.
Source: RFC 9112, section 3.2.1 (origin form); RFC 3986, sections 2.1 and 3.3.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from proxy.core.errors import Code, Refusal

MAX_PATH = 8192
"""Bytes of a path; every interpretation of it is judged, so its length is a stranger's to spend."""
MAX_DECODINGS = 4
"""How many layers of percent-encoding are peeled; a path that has more is refused."""

_PATH = re.compile(rb"/[!\"$-.0->@-\[\]-~/]*")
"""Visible ASCII but ``#`` (ends a path for many), ``?`` and the backslash (a slash to some)."""
_UNAMBIGUOUS = re.compile(rb"(?:/[0-9A-Za-z_~-][0-9A-Za-z_.~-]*)*/?")
"""Without escapes and without a dot that begins a segment: nearly every path, told by one look."""
_QUERY = re.compile(rb"[!-\"$-~]*")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNSAFE = re.compile(rb"[\x00-\x1f\x7f\\]")
_OVERLONG = re.compile(rb"[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]|[\xf5-\xff]")
"""UTF-8 that spells a character with more bytes than it needs (``c0 ae`` is a dot), or none."""
_DOT_SEGMENT = re.compile(rb"(?:^|/)\.{1,2}(?:[;?#][^/]*)?(?:/|$)")
_PATH_PARAMETER = re.compile(rb";[^/]*")
_SLASHES = re.compile(rb"/{2,}")
_TAIL = re.compile(rb"[?#].*", re.DOTALL)
_AUTHORITY = re.compile(rb"\A//[^/]*")
"""What a parser of URLs takes for a host in ``//x/private`` (RFC 3986, 4.2), then ``/private``."""


@dataclass(frozen=True)
class Target:
    """A request target in origin form; ``query`` is None where there is no ``?`` at all."""

    raw: bytes
    path: bytes
    query: bytes | None


def parse_target(raw: bytes) -> Target:
    """Split a target in origin form; raises ``Refusal`` (``BAD_TARGET``) for any other."""
    path, mark, query = raw.partition(b"?")
    if len(path) > MAX_PATH:
        raise Refusal(Code.TARGET_TOO_LONG, f"a path of {len(path)} bytes")
    if not _PATH.fullmatch(path):
        # What stands before an @ could be a token that was meant for another listener.
        raise Refusal(Code.BAD_TARGET, f"not in origin form: {path.rpartition(b'@')[2][:200]!r}")
    if not _QUERY.fullmatch(query):
        raise Refusal(Code.BAD_TARGET, f"a byte that no query may hold: {path[:200]!r}?")
    if not _UNAMBIGUOUS.fullmatch(path):
        if _BAD_ESCAPE.search(path):
            raise Refusal(Code.BAD_TARGET, f"a % that starts no escape: {path[:200]!r}")
        _refuse_ambiguous(path)
    return Target(raw, path, query if mark else None)


def _refuse_ambiguous(path: bytes) -> None:
    """Refuse what some app would resolve to another path than the one that was judged."""
    for _ in range(MAX_DECODINGS + 1):
        if _UNSAFE.search(path) or _OVERLONG.search(path):
            raise Refusal(
                Code.BAD_TARGET, f"control byte, backslash or overlong escape: {path[:200]!r}"
            )
        if _DOT_SEGMENT.search(path):
            raise Refusal(Code.BAD_TARGET, f"dot segment: {path[:200]!r}")
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return
        path = decoded
    raise Refusal(Code.BAD_TARGET, f"more than {MAX_DECODINGS} layers of escapes: {path[:200]!r}")


def interpretations(path: bytes) -> frozenset[bytes]:
    """Return every path that an app could take ``path`` for, itself included.

    The closure of: decode the escapes once more, drop ``;parameters``, cut at ``?`` or ``#`` that
    came out of an escape, merge slashes. Then the same of what is left where one begins with
    ``//`` and is taken for a reference to a host; only once, since nobody parses a URL twice. Case
    is for ``RuleMatcher``. Bounded: each step shortens the path, and the decodings are limited by
    ``parse_target``.
    """
    found = _closure(frozenset(), [path])
    behind_hosts = {_AUTHORITY.sub(b"", each) or b"/" for each in found}
    return _closure(found, behind_hosts - found)


def _closure(known: frozenset[bytes], starts: Iterable[bytes]) -> frozenset[bytes]:
    fresh = list(starts)
    found = {*known, *fresh}
    while fresh:
        current = fresh.pop()
        for path in (
            unquote_to_bytes(current),
            _PATH_PARAMETER.sub(b"", current),
            _TAIL.sub(b"", current),
            _SLASHES.sub(b"/", current),
        ):
            if path not in found:
                found.add(path)
                fresh.append(path)
    return frozenset(found)
