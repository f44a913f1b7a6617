"""The opening handshake (RFC 6455, section 4): what a client may ask for, and an app agree to.

Both halves are checked here because of what goes wrong where only one is: a proxy that believes in
an upgrade which its app refused carries the client's next bytes to the app as a second request,
past every check. A client's offers are cut to what the frames can be checked by: of all extensions
``permessage-deflate`` alone (RFC 7692), which owns the bit RSV1 and nothing else.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import (
    QUOTED_STRING,
    TOKEN,
    Field,
    Fields,
    connection_options,
    is_token,
    values_of,
)
from proxy.core.http.problem import WEBSOCKET_VERSION

DEFLATE = b"permessage-deflate"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MOST_LISTED = 256
"""Elements of one list, empty ones counted."""
_OFFERS = b"sec-websocket-extensions"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_EXTENSION = re.compile(
    rb"(" + TOKEN + rb")"
    rb"(?:[ \t]*;[ \t]*" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?)*"
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for."""

    accept: bytes
    """The ``Sec-WebSocket-Accept`` that alone answers its key."""
    protocols: frozenset[bytes]
    offers_deflate: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a client and an app agreed on, as far as the frames tell of it."""

    deflate: bool


class NotAgreed(Exception):
    """An app's 101 that doesn't answer the client's handshake."""


def asks_for_websocket(minor: int, fields: Fields) -> bool:
    """Tell whether a request means to open a WebSocket, well formed or not.

    ``minor`` is the 1 of HTTP/1.1; in HTTP/1.0 nobody upgrades, and neither does who names no
    ``upgrade`` in ``Connection`` (RFC 9110, section 7.8). A request that asks for another protocol
    alone, h2c say, is an ordinary one.
    """
    if minor != 1 or not values_of(fields, b"upgrade"):
        return False
    if b"upgrade" not in connection_options(fields):
        return False
    try:
        return b"websocket" in [name.lower() for name in _listed(fields, b"upgrade")]
    except ValueError:
        return False


def read_handshake(method: bytes, fields: Fields) -> Handshake:
    """Read a request that ``asks_for_websocket``; raises ``Refusal`` where it isn't a handshake."""
    if method != b"GET":
        raise Refusal(Code.BAD_HANDSHAKE, "the method isn't GET")
    if len(_listed(fields, b"upgrade")) != 1:
        raise Refusal(Code.BAD_HANDSHAKE, "Upgrade names more than websocket")
    if values_of(fields, b"transfer-encoding") or any(
        value.strip(b"0") for value in values_of(fields, b"content-length")
    ):
        raise Refusal(Code.BAD_HANDSHAKE, "it has a body")
    versions = values_of(fields, b"sec-websocket-version")
    if versions != [WEBSOCKET_VERSION]:
        raise Refusal(Code.WEBSOCKET_VERSION, f"version {b', '.join(versions)[:80]!r}")
    keys = values_of(fields, b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise Refusal(Code.BAD_HANDSHAKE, "Sec-WebSocket-Key isn't 16 bytes in base64")
    try:
        protocols = _listed(fields, b"sec-websocket-protocol")
        names = [_extension(offer) for offer in _listed(fields, _OFFERS)]
    except ValueError as error:
        raise Refusal(Code.BAD_HANDSHAKE, str(error)) from None
    if len(set(protocols)) != len(protocols) or not all(map(is_token, protocols)):
        raise Refusal(Code.BAD_HANDSHAKE, "Sec-WebSocket-Protocol isn't a list of unlike tokens")
    return Handshake(accept_for(keys[0]), frozenset(protocols), DEFLATE in names)


def fields_for_app(fields: Fields) -> tuple[Field, ...]:
    """Return the fields of an admitted handshake as its app gets them.

    ``fields`` are those of a handshake that could be read, less those of its hop. They pass as they
    are, but for offers of extensions by whose rules we couldn't check the frames.
    """
    passing = []
    for name, value in fields:
        offers = [offer.strip(b" \t") for offer in value.split(b",")] if name == _OFFERS else []
        known = [offer for offer in offers if offer and _extension(offer) == DEFLATE]
        if len(known) == len(offers):
            passing.append((name, value))
        elif known:
            passing.append((name, b", ".join(known)))
    return (*passing, *_OF_THE_HOP)


_OF_THE_HOP = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))


def fields_for_client(fields: Fields) -> tuple[Field, ...]:
    """Return the fields of our 101; ``fields`` are those of the app's, less those of its hop."""
    return (*_OF_THE_HOP, *fields)


def read_response(asked: Handshake, fields: Fields) -> Agreement:
    """Read the fields of an app's 101; raises ``NotAgreed`` where a client would have to fail."""
    if b"upgrade" not in connection_options(fields):
        raise NotAgreed("a 101 without upgrade in Connection")
    if [value.lower() for value in values_of(fields, b"upgrade")] != [b"websocket"]:
        raise NotAgreed("a 101 to something else than websocket")
    if values_of(fields, b"sec-websocket-accept") != [asked.accept]:
        raise NotAgreed("a 101 whose Sec-WebSocket-Accept doesn't answer the key")
    protocols = values_of(fields, b"sec-websocket-protocol")
    if len(protocols) > 1 or not asked.protocols.issuperset(protocols):
        raise NotAgreed("a 101 with a subprotocol that wasn't offered")
    try:
        extensions = [_extension(value) for value in _listed(fields, _OFFERS)]
    except ValueError as error:
        raise NotAgreed(str(error)) from None
    if extensions not in ([], [DEFLATE]) or (extensions and not asked.offers_deflate):
        raise NotAgreed("a 101 with an extension that wasn't offered")
    return Agreement(deflate=bool(extensions))


def accept_for(key: bytes) -> bytes:
    """Return the ``Sec-WebSocket-Accept`` for a key (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def _listed(fields: Fields, name: bytes) -> list[bytes]:
    """Return the elements of a list over all its lines; empty ones don't count.

    Raises ``ValueError`` for more of either than anybody offers, before they are read.
    """
    lines = values_of(fields, name)
    if sum(line.count(b",") for line in lines) >= _MOST_LISTED:
        raise ValueError(f"{name.decode('ascii')} lists more than {_MOST_LISTED} elements")
    elements = (element.strip(b" \t") for line in lines for element in line.split(b","))
    return [element for element in elements if element]


def _extension(element: bytes) -> bytes:
    """Return an extension's name in lower case; raises ``ValueError`` where it can't be read."""
    match = _EXTENSION.fullmatch(element)
    if match is None:
        raise ValueError("Sec-WebSocket-Extensions isn't a list of extensions")
    return match[1].lower()
