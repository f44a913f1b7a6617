"""The card of a Portal: one line that its owner gives to friends (docs/protocol.md, section 1).

``portal:<full ID>?address=<address>&name=<name>&check=<four characters>``. It is no secret. The
check is over all that stands before it: it notices what a copy lost, and stops no forger; that is
what the full ID is for.
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from proxy.core.display_names import name_problem
from proxy.core.http.origin import parse_origin
from proxy.core.identity import encode_base32, is_portal_id

SCHEME = "portal:"
LONGEST = 2000
"""Characters. A QR code of this length can still be read from a screen."""

_CHECK_LENGTH = 4
_CARD = re.compile(
    rf"portal:(?P<id>[a-z0-9]*)\?(?P<query>[\x21-\x7e]*)&check=(?P<check>[a-z0-9]{{{_CHECK_LENGTH}}})"
)
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadCard(ValueError):
    """A line that isn't a whole card; the message says what is wrong with it."""


@dataclass(frozen=True)
class Card:
    """What a card says; ``address`` is ``scheme://host[:port]``."""

    portal_id: str
    address: str
    name: str


def write_card(card: Card) -> str:
    """Return the line."""
    query = f"address={quote(card.address, safe=':/[]')}&name={quote(card.name, safe='')}"
    line = f"{SCHEME}{card.portal_id}?{query}"
    return f"{line}&check={_check(line)}"


def read_card(text: str) -> Card:
    """Read a card; raises ``BadCard``.

    White space in it is what a mail program or a terminal broke the line with. Parameters of a
    later version are passed over.
    """
    line = "".join(text.split())
    if len(line) > LONGEST:
        raise BadCard(f"it is longer than {LONGEST} characters")
    match = _CARD.fullmatch(line)
    if match is None:
        raise BadCard("a part of it is missing: it ends with &check= and four characters")
    if _check(line.rpartition("&check=")[0]) != match["check"]:
        raise BadCard("it isn't as its owner gave it: something in it was changed or lost")
    if not is_portal_id(match["id"]):
        raise BadCard("it holds no full Portal ID")
    found = _parameters(match["query"])
    if "address" not in found:
        raise BadCard("it holds no address")
    try:
        address = str(parse_origin(found["address"]))
    except ValueError as error:
        raise BadCard(f"its address: {error}") from None
    name = found.get("name", "")
    if name and (problem := name_problem(name)):
        raise BadCard(f"its name: {problem}")
    return Card(match["id"], address, name)


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or name in found:
            raise BadCard("it is written otherwise than a card")
        found[name] = _decoded(value)
    return found


def _decoded(value: str) -> str:
    unreadable = "it holds an escape that can't be read"
    if _ESCAPE.search(value):
        raise BadCard(unreadable)
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise BadCard(unreadable) from None


def _check(line: str) -> str:
    return encode_base32(hashlib.sha512(line.encode("ascii")).digest())[:_CHECK_LENGTH]
