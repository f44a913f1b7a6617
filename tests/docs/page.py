"""docs/protocol.md as the tests read it, and what its worked examples are made of."""

import re
from functools import cache
from pathlib import Path

from proxy.core.http.headers import Fields
from proxy.core.http.origin import parse_origin
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Message, signature_base
from proxy.core.signature.parameters import find_signature

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"

ADA_SEED, BOB_SEED = bytes([1]) * 32, bytes([2]) * 32
ADA, BOB = PrivateKey(ADA_SEED), PrivateKey(BOB_SEED)
NONCE, EPOCH = bytes(range(32)), bytes(range(128, 144))
SENT, ANSWERED = 1_700_000_000, 1_700_000_001
ORIGIN = parse_origin(f"https://{BOB.public.portal_id[:6]}.p.getportal.org").of_app("guestbook")
METHOD, TARGET = b"POST", b"/peer/entries?lang=en"
BODY, RESPONSE_BODY = b'{"text": "Hello, Bob!"}', b'{"entry": 7}'


@cache
def page() -> str:
    """Return the whole page."""
    return _PAGE.read_text("utf-8")


def example(name: str) -> str:
    """Return the block that follows ``<!-- example: name -->``."""
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)\n```", page(), re.DOTALL)
    assert found, f"protocol.md shows no example named {name!r}"
    return found[1]


def wire(start: bytes, fields: Fields, body: bytes = b"") -> str:
    """Return a message as the page shows it: as on the wire, with LF for CR LF."""
    lines = [start, *(name + b": " + value for name, value in fields), b"", body]
    return b"\n".join(lines).decode()


def base(message: Message, tag: str, request: Message | None = None) -> str:
    """Return what the signature with ``tag`` on ``message`` is made over."""
    signature = find_signature(message.fields, tag)
    return signature_base(signature.components, signature.text, message, request).decode()
