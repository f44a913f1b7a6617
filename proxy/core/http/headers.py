"""Which header fields may pass, which belong to one hop, and which are ours alone.

Field names are compared in lower case; values are never touched. Identity fields are removed in
any spelling that an app server could take for them: WSGI and CGI servers turn ``-`` and ``_``
into the same variable name, and some do so with every other byte.
Source: RFC 9110, sections 5 and 7.6.1.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence

from proxy.core.errors import Code, Refusal

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""A method, the name of a field, of a protocol, of a parameter (RFC 9110, section 5.6.2)."""
QUOTED_STRING = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*\""
"""RFC 9110, section 5.6.4, less the bytes outside ASCII."""

Field = tuple[bytes, bytes]
Fields = Sequence[Field]
"""Pairs of name (lower case) and value (no surrounding white space), in the order of the wire."""

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-authentication-info", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"http2-settings", b"expect",
    }
)  # fmt: skip
"""Fields of one hop: never signed, never forwarded."""

MAX_OPTIONS = 256
"""What ``Connection`` may list: each is looked for among the fields, of which there are no more."""

FRAMING = frozenset({b"host", b"content-length"})
"""Set anew on each hop, from what was authenticated: the authority and the body itself."""

_OF_ONE_HOP = HOP_BY_HOP | FRAMING

INTERMEDIARY = frozenset(
    {
        b"forwarded", b"proxy", b"via", b"x-client-ip", b"x-forwarded-by", b"x-forwarded-for",
        b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-proto",
        b"x-forwarded-scheme", b"x-forwarded-server", b"x-forwarded-ssl", b"x-original-uri",
        b"x-original-url", b"x-real-ip", b"x-rewrite-url",
    }
)  # fmt: skip
"""What intermediaries add or change on the way: never signed, and never taken from anybody.

Some frameworks route by ``X-Original-URL`` and its kin: past the path that was checked here. CGI
makes ``Proxy`` the variable that sets a client's proxy.
"""

REQUEST_ID = b"x-request-id"
"""Told to apps by us alone, like some of those; an app's own passes, in a response as in a call."""

RENAMED = {
    b"signature": b"portal-app-signature",
    b"signature-input": b"portal-app-signature-input",
    b"content-digest": b"portal-app-content-digest",
}
"""Where the app's own fields travel, because the names on the left are taken by ours."""
_TAKEN_ON_THE_WAY = (
    b"date", b"server", b"x-pad", b"x-sendfile", b"x-accel-buffering", b"x-accel-charset",
    b"x-accel-expires", b"x-accel-limit-rate", b"x-accel-redirect",
    b"cache-control", b"expires", b"cdn-cache-control", b"cloudflare-cdn-cache-control",
    b"surrogate-control", b"edge-control",
)  # fmt: skip
RENAMED_IN_RESPONSES = RENAMED | {name: b"portal-app-" + name for name in _TAKEN_ON_THE_WAY}
"""Web servers on the way write their own ``Date`` over a response's, or act on ``X-Accel-*`` and
drop them, by default. Caches would keep a signed response, which answers one question alone, and
give it for the next; so ``Cache-Control`` between Portals is ours, and says ``no-store``.
"""
RESTORED = {ours: apps for apps, ours in RENAMED_IN_RESPONSES.items()}

_OURS = frozenset(
    {
        b"portal-key",
        b"portal-to",
        b"portal-seal",
        b"portal-token",
        b"portal-refusal",
        b"portal-peer-refusal",
        *RESTORED,
    }
)
NEVER_PASSING = _OF_ONE_HOP | _OURS
"""What passes in no direction, each as its ``spelling``."""
_IDENTITY = b"x-ptl-"
_TOKEN = re.compile(TOKEN)
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_ALPHANUMERIC = (string.ascii_letters + string.digits).encode("ascii")
_SPELLING = bytes(byte if byte in _ALPHANUMERIC else ord("-") for byte in range(256)).lower()
"""For each byte of a name what it is in its ``spelling``."""


class Indexed(tuple[Field, ...]):  # noqa: SLOT001 - a tuple can't have slots
    """Fields that are looked up more often than once: ``values_of`` needn't go through them."""

    is_proven = False
    """Whether they are as ``refuse_malformed`` wants them; see ``Proven``."""

    def __init__(self, _fields: Iterable[Field] = ()) -> None:
        by_name = {name: [value] for name, value in self}
        if len(by_name) < len(self):
            for values in by_name.values():
                values.clear()
            for name, value in self:
                by_name[name].append(value)
        self.by_name: Mapping[bytes, Sequence[bytes]] = by_name


class Proven(Indexed):
    """Fields that our own strict parser has just taken apart, which makes no others."""

    is_proven = True


def indexed(fields: Iterable[Field]) -> Indexed:
    """Return ``fields`` with an index, which they may have already."""
    return fields if isinstance(fields, Indexed) else Indexed(fields)


def index_of(fields: Fields) -> Mapping[bytes, Sequence[bytes]]:
    """Return the values of every field by its name, in order."""
    return fields.by_name if isinstance(fields, Indexed) else Indexed(fields).by_name


def values_of(fields: Fields, name: bytes) -> Sequence[bytes]:
    """Return the value of every line of the field ``name`` (lower case), in order."""
    if isinstance(fields, Indexed):
        return fields.by_name.get(name) or []
    return [value for key, value in fields if key == name]


def content_length(fields: Fields) -> int | None:
    """Return the length of the body behind a head whose framing was checked; None tells none."""
    lengths = values_of(fields, b"content-length")
    return int(lengths[0]) if lengths else None


def connection_options(fields: Fields) -> frozenset[bytes]:
    """Return the names that ``Connection`` lists, in lower case (RFC 9110, section 7.6.1)."""
    values = values_of(fields, b"connection")
    if not values:
        return frozenset()
    return frozenset(
        option.strip().lower() for value in values for option in value.split(b",") if option.strip()
    )


def has_too_many_options(values: Sequence[bytes]) -> bool:
    """Tell whether ``Connection`` lists more than ``MAX_OPTIONS``, empty ones counted.

    RFC 9110, section 5.6.1.2, asks to ignore a reasonable number of those, and no more.
    """
    return sum(value.count(b",") for value in values) >= MAX_OPTIONS


def is_token(text: bytes | str) -> bool:
    """Tell whether ``text`` is a ``TOKEN``."""
    data = text.encode("ascii", "replace") if isinstance(text, str) else text  # no token has a "?"
    return _TOKEN.fullmatch(data) is not None


def refuse_malformed(fields: Fields) -> None:
    """Refuse names that aren't tokens and values with control bytes, whoever parsed them.

    And a ``Connection`` that takes longer to read than all the rest.
    """
    if isinstance(fields, Indexed) and fields.is_proven:
        if b"connection" not in fields.by_name:
            return
    else:
        token, bad = _TOKEN.fullmatch, _BAD_VALUE.search
        for name, value in fields:
            if not token(name):
                raise Refusal(Code.BAD_FIELD, f"not a field name: {name[:80]!r}")
            if bad(value):
                raise Refusal(Code.BAD_FIELD, f"control byte in the value of {name[:80]!r}")
    options = values_of(fields, b"connection")
    if options and has_too_many_options(options):
        raise Refusal(Code.BAD_FIELD, f"Connection lists more than {MAX_OPTIONS} options")


def spelling(name: bytes) -> bytes:
    """Return the one spelling that every way to write ``name`` falls into for an app server."""
    return name.translate(_SPELLING)


def is_ours(name: bytes) -> bool:
    """Tell whether ``name`` is one of the fields of this protocol, in any spelling."""
    return spelling(name) in _OURS


def claims_identity(key: bytes) -> bool:
    """Tell whether a name, given as its ``spelling``, is one by which we alone tell who calls."""
    return key.startswith(_IDENTITY)


def without_identity(fields: Fields, reserved: frozenset[bytes] = frozenset()) -> list[Field]:
    """Drop what an app could take for our word on who is calling.

    Every ``X-Ptl-*`` field, and every name in ``reserved`` (those that the app.json sets, each
    as its ``spelling``), in any spelling. Peers are not trusted with them either.
    """
    return [
        pair
        for pair in fields
        if not (key := pair[0].translate(_SPELLING)).startswith(_IDENTITY) and key not in reserved
    ]


def end_to_end(fields: Fields) -> list[Field]:
    """Drop the fields of one hop: the fixed ones, what ``Connection`` names, and the framing.

    The fixed ones in any spelling: to a WSGI app ``transfer_encoding`` is the real one.
    """
    dropped = connection_options(fields)
    return [
        pair
        for pair in fields
        if pair[0] not in dropped and pair[0].translate(_SPELLING) not in _OF_ONE_HOP
    ]


def end_to_end_not_ours(fields: Fields) -> list[Field]:
    """Do the same, and drop the fields of this protocol in any spelling (``is_ours``)."""
    dropped = connection_options(fields)
    return [
        pair
        for pair in fields
        if pair[0] not in dropped and pair[0].translate(_SPELLING) not in NEVER_PASSING
    ]


def renamed_for_travel(fields: Fields) -> list[Field]:
    """Give the app's own signature fields their travelling names; refuse names that are ours.

    An app that could send ``portal-app-signature`` itself would make its peer see a field that
    nobody sent.
    """
    for name, _ in fields:
        if is_ours(name):
            raise Refusal(Code.BAD_FIELD, f"{name[:80]!r} is a field of the protocol itself")
    return [(RENAMED.get(name, name), value) for name, value in fields]


def response_for_travel(fields: Fields) -> list[Field]:
    """Return an app's response as it is signed: fields renamed, less what intermediaries write.

    ``fields`` are without ours already.
    """
    return [
        (RENAMED_IN_RESPONSES.get(name, name), value)
        for name, value in fields
        if spelling(name) not in INTERMEDIARY
    ]


def restored_after_travel(fields: Fields) -> list[Field]:
    """Undo the renaming, and drop every field that is ours and not the app's."""
    restored = []
    for name, value in fields:
        if name in RESTORED:
            restored.append((RESTORED[name], value))
        elif name not in RENAMED and not is_ours(name):
            restored.append((name, value))
    return restored
