"""Request targets: the raw bytes, and every interpretation of them by an app.

The bytes are judged here and forwarded as they came, never decoded and re-encoded. What leads some
app out of the path that was judged is refused outright. Where readers differ on what the bytes are
at all, the target is *ambiguous*, and no rule is its own. Everything else is judged under every one
of its ``interpretations``, and the strictest rule holds.
Source: RFC 9112, section 3.2; RFC 3986, sections 2.1 and 3.3; WHATWG URL, section 4.4.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from itertools import pairwise

from proxy.core.access.plain_letters import in_plain_letters
from proxy.core.errors import Code, Refusal
from proxy.core.http.percent_encoding import unquote
from proxy.core.record import record

MAX_PATH = 8192
"""Bytes of a path; every interpretation of it is judged, so its length is a stranger's to spend."""
MAX_DECODINGS = 4
"""How many layers of percent-encoding are peeled; a path that has more is refused."""
MAX_STRAYS = 32
"""How many ``%`` that start no escape may come out of escapes."""
MAX_PARAMETERS = 32
MAX_INTERPRETATIONS = 32
MAX_BYTES = 24 * 1024
"""Bounds of what is looked at: ``;`` in a path, interpretations, and the bytes of all of them.

A path of 8 KB in Japanese or with a few odd marks stays far below. Beyond, it is as one that is
ambiguous: what wasn't looked at could ask for anything.
"""
PLAIN_COST = 2
"""How often a byte counts that was read ``in_plain_letters``, which takes longer than the rest."""

_PATH = re.compile(rb"/[^\x00-\x20#?\\\x7f]*")
"""No blank and no ``#`` (either ends a path for many), no backslash (a slash to some)."""
_UNAMBIGUOUS = re.compile(rb"(?:/[0-9A-Za-z_~-][0-9A-Za-z_.~-]*+(?<!\.))*+/?")
"""Without escapes and without a dot at an end of a segment: nearly every path, told by one look."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(rb"[^\x00-\x20#\x7f]*")
_WIDE_ESCAPE = re.compile(rb"%u[0-9A-Fa-f]{4}", re.IGNORECASE)
"""What JavaScript's ``unescape`` decodes beside the escapes of RFC 3986, and IIS."""
_PATH_PARAMETER = re.compile(rb";[^/]*")
_TRIMMED = re.compile(rb"(?<![ .])[ .]++(?=/|\Z)")
"""Dots and blanks at the end of a segment: to Windows they aren't there, and who calls for
``strip`` or compares as SQL does (PAD SPACE) drops the blanks.
"""

_CONTROLS = bytes([*range(0x20), 0x7F])
_NOT_PLAIN = bytes([*range(0x20), *range(0x7F, 0x100)])
_SEPARATORS = bytes.maketrans(b"\\?#", b"/;;")
_ODD_SPELLINGS = tuple(
    (spelled, character)
    for character, spellings in (
        (b".", (b"\xc0\xae", b"\xe0\x80\xae", b"\xf0\x80\x80\xae", b"%u002e", b"%u002E")),
        (b"/", (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"%u002f", b"%u002F")),
        (b"/", (b"\xc1\x9c", b"\xe0\x81\x9c", b"\xf0\x80\x81\x9c", b"%u005c", b"%u005C")),
    )
    for spelled in spellings
)
"""How else dots and slashes are spelled for some decoder: with more bytes of UTF-8 than are needed,
or as ``_WIDE_ESCAPE``.
"""


@record(frozen=True, slots=True)
class Target:
    """A request target in origin form; ``query`` is None where there is no ``?`` at all."""

    raw: bytes
    path: bytes
    query: bytes | None
    is_ambiguous: bool = field(default=False, compare=False)
    """Whether readers differ on what characters the path has, before or after some decoding.

    Bytes that aren't UTF-8 are dropped by some, replaced, or read as Latin-1; a backslash is a
    slash to some, a control byte is dropped or ends the path, and full-width dots are dots.
    """
    decodings: tuple[bytes, ...] = field(default=(), compare=False, repr=False)
    """The path and what each decoding makes of it; empty where it can mean nothing but itself."""


def origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """Return ``target`` in origin form, as it stands or out of an absolute form of ``host``'s.

    Clients must name in ``Host`` what the target does (RFC 9112, section 3.2), so what differs is
    misdirected: whoever sent it on may have looked at the one or at the other. Raises ``Refusal``.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return target
    authority, rest = match.groups()
    if authority.lower() != host.lower():
        # Not quoted: what stands before an ``@`` in it may be a password.
        raise Refusal(Code.MISDIRECTED, f"the target names another host than {host[:200]!r}")
    if not rest and method == b"OPTIONS":
        return b"*"  # RFC 9112, section 3.2.4
    origin: bytes = rest if rest.startswith(b"/") else b"/" + rest
    return origin


def parse_target(raw: bytes, *, ascii_only: bool = True) -> Target:
    """Split a target in origin form; raises ``Refusal`` (``BAD_TARGET``) for any other.

    ``ascii_only``: bytes outside ASCII are refused, too, as in calls: they can't be signed.
    """
    path, mark, query = raw.partition(b"?")
    if len(path) > MAX_PATH:
        raise Refusal(Code.TARGET_TOO_LONG, f"a path of {len(path)} bytes")
    if ascii_only and not raw.isascii():
        raise Refusal(Code.BAD_TARGET, f"bytes outside ASCII in a call: {path[:200]!r}")
    if not _QUERY.fullmatch(query):
        raise Refusal(Code.BAD_TARGET, f"a byte that no query may hold: {path[:200]!r}?")
    kept = query if mark else None
    if path and _UNAMBIGUOUS.fullmatch(path):
        return Target(raw, path, kept)
    if not _PATH.fullmatch(path):
        # What stands before an @ could be a token that was meant for another listener.
        raise Refusal(Code.BAD_TARGET, f"not in origin form: {path.rpartition(b'@')[2][:200]!r}")
    decodings = _decodings(path)
    is_ambiguous = _is_ambiguous(decodings)
    _refuse_outside(decodings[-1], is_ambiguous=is_ambiguous)
    is_ambiguous = is_ambiguous or _has_hidden_dots(decodings[-1])
    return Target(raw, path, kept, is_ambiguous, decodings)


def _decodings(path: bytes) -> tuple[bytes, ...]:
    """Return ``path`` and what each decoding makes of it, until there is nothing to decode."""
    found = [path]
    strays = 0  # in what a client wrote itself; "100%25" is an honest name
    while len(found) <= MAX_DECODINGS + 1:
        decoded = unquote(found[-1], strays)
        if decoded is None:
            raise Refusal(Code.BAD_TARGET, f"a % that starts no escape: {path[:200]!r}")
        if decoded == found[-1]:
            return tuple(found)
        found.append(decoded)
        strays = MAX_STRAYS
    raise Refusal(Code.BAD_TARGET, f"more than {MAX_DECODINGS} layers of escapes: {path[:200]!r}")


def _is_ambiguous(decodings: tuple[bytes, ...]) -> bool:
    last = decodings[-1]  # what is no escape stays, so the last one shows it
    return (
        b"\\" in last
        or len(last.translate(None, _CONTROLS)) < len(last)
        or (b"%" in last and _WIDE_ESCAPE.search(last) is not None)
        or not all(each.isascii() or _is_utf8(each) for each in decodings)
    )


def _has_hidden_dots(path: bytes) -> bool:
    """Tell whether some reader sees a dot segment, a backslash or an escape that isn't written so.

    In full-width letters, say, around what isn't seen, or with a blank beside it.
    """
    plain = in_plain_letters(path)
    if plain == path and b" " not in path:
        return False
    if b"\\" in plain or (b"%" in plain and unquote(plain, MAX_STRAYS) != plain):
        return True
    return _has_dot_segment(plain.replace(b" ", b"").translate(_SEPARATORS))


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse_outside(path: bytes, *, is_ambiguous: bool) -> None:
    """Refuse what some app would resolve to a path outside of the one that was judged.

    ``path`` is the last decoding: dot segments of the others are in it. In an ambiguous one they
    may be spelled with bytes that some reader drops (``.%80.``), or with too many.
    """
    if b"\0" in path:
        raise Refusal(Code.BAD_TARGET, f"NUL: {path[:200]!r}")
    seen = path.translate(_SEPARATORS)
    if is_ambiguous:
        for spelled, character in _ODD_SPELLINGS:
            seen = seen.replace(spelled, character)
        seen = seen.translate(None, _NOT_PLAIN)
    if _has_dot_segment(seen):
        raise Refusal(Code.BAD_TARGET, f"dot segment: {path[:200]!r}")


def _has_dot_segment(seen: bytes) -> bool:
    """Tell whether there is one, in a path whose ``_SEPARATORS`` are one."""
    return (
        seen.endswith((b"/.", b"/.."))
        or b"/./" in seen
        or b"/../" in seen
        or b"/.;" in seen
        or b"/..;" in seen
    )


def interpretations(target: Target) -> frozenset[bytes] | None:
    """Return every path that an app could take the target's for, itself included.

    The closure of: decode the escapes once more, drop ``;parameters``, cut at ``?`` or ``#`` that
    came out of an escape, merge slashes, drop dots and blanks behind a segment, read characters
    outside ASCII as plain ones. Then the same of what is left where one begins with
    slashes and is taken for a reference to a host; only once, since nobody parses a URL twice. Case
    and a last slash are for the rules. None where the target is ambiguous, or beyond the bounds.
    """
    if target.is_ambiguous:
        return None
    if not target.decodings:
        return frozenset((target.path,))
    decoded = dict(pairwise((*target.decodings, target.decodings[-1])))
    found = _closure(frozenset(), [target.path], decoded)
    if found is None:
        return None
    behind = {path for each in found if each.startswith(b"//") for path in _behind_host(each)}
    return _closure(found, behind - found, decoded)


def _behind_host(path: bytes) -> tuple[bytes, bytes]:
    """Return what is left where parsers of URLs take ``//x/private`` for a host and ``/private``.

    The host begins behind two slashes (RFC 3986, 4.2), or behind all there are (WHATWG).
    """
    return _from_slash(path[2:]), _from_slash(path.lstrip(b"/"))


def _from_slash(text: bytes) -> bytes:
    _, slash, rest = text.partition(b"/")
    return slash + rest or b"/"


def _closure(
    known: frozenset[bytes], starts: Iterable[bytes], decoded: Mapping[bytes, bytes]
) -> frozenset[bytes] | None:
    """Return ``known`` and all that follows from ``starts``; None beyond the bounds.

    ``decoded`` has what some are decoded to.
    """
    fresh = list(starts)
    found = {*known, *fresh}
    size = sum(map(len, found))
    while fresh:
        if size > MAX_BYTES or len(found) > MAX_INTERPRETATIONS:
            return None
        current = fresh.pop()
        following = _following(current, decoded)
        if following is None:
            return None
        plain = in_plain_letters(current)
        if plain != current:
            size += PLAIN_COST * len(current)
        for path in (*following, plain):
            if path not in found:
                found.add(path)
                fresh.append(path)
                size += len(path)
    return frozenset(found)


def _following(path: bytes, decoded: Mapping[bytes, bytes]) -> tuple[bytes, ...] | None:
    """Return what each of the steps makes of ``path``, that which changes it; None if too dear."""
    once = decoded.get(path) or unquote(path, MAX_STRAYS)
    if once is None or path.count(b";") > MAX_PARAMETERS:
        return None
    return (
        once,
        _PATH_PARAMETER.sub(b"", path) if b";" in path else path,
        path.partition(b"?")[0].partition(b"#")[0],
        _merged(path),
        _trimmed(path),
    )


def _trimmed(path: bytes) -> bytes:
    has_some = path.endswith((b".", b" ")) or b"./" in path or b" /" in path
    return _TRIMMED.sub(b"", path) if has_some else path


def _merged(path: bytes) -> bytes:
    for slashes in (b"////////", b"//"):  # the first for many, or each pass takes but half
        while slashes in path:
            path = path.replace(slashes, b"/")
    return path
