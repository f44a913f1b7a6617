"""Three calls that somebody on the wire could try: forged, replayed, unsigned.

All start from the bytes of a real call of Ada's, overheard between her proxy and Bob's.
"""

import hashlib
import http.client
import json
import re
import secrets
import socket
import time
from dataclasses import dataclass

from demo.stage import PATIENCE, Answer, DemoError, Portal
from proxy.core.headers import Fields
from proxy.core.identity import PrivateKey, PublicKey
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import parse_bytes
from proxy.core.signature.request import Recipient, sign_request

FORGED_TEXT = "I owe you a thousand. Ada"
_CALL = re.compile(rb"POST /peer/postcards HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"^content-length: *([0-9]+)\r?$", re.MULTILINE | re.IGNORECASE)
_PROOF = re.compile(rb"^(?:signature|signature-input|portal-[a-z-]+):", re.IGNORECASE)


class Impostor(PrivateKey):
    """A key of its own that goes by somebody else's name."""

    def __init__(self, victim: PublicKey) -> None:
        super().__init__(secrets.token_bytes(32))
        self.public = victim


@dataclass(frozen=True)
class Call:
    """A captured call: the bytes of one whole request."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """The request, byte for byte as it was sent."""
        return self.head + self.body

    @property
    def fields(self) -> Fields:
        """The header fields, names in lower case."""
        lines = self.head.split(b"\r\n")[1:-2]
        pairs = (line.split(b":", 1) for line in lines)
        return [(name.lower(), value.strip()) for name, value in pairs]


def last_call(overheard: bytes) -> Call:
    """Return the last call to a postcard box among the bytes that went by."""
    heads = list(_CALL.finditer(overheard))
    if not heads:
        raise DemoError("no call of Ada's went over the wire")
    length = _LENGTH.search(heads[-1].group())
    start = heads[-1].end()
    body = overheard[start : start + int(length[1])] if length else b""
    return Call(heads[-1].group(), body)


def unsigned(call: Call) -> bytes:
    """Return the call without any proof, and with the sender's ID merely stated."""
    lines = [line for line in call.head.split(b"\r\n")[:-2] if not _PROOF.match(line)]
    lines += [b"X-Ptl-Client-Type: peer", b"X-Ptl-Client-Id: whoever-i-say"]
    return b"\r\n".join([*lines, b"", b""]) + call.body


def forged(call: Call, target: Portal) -> bytes:
    """Return a card to ``target`` that states the sender's ID and key, signed with another key."""
    victim = PublicKey(parse_bytes(call.fields, b"portal-key", 32))
    body = json.dumps({"text": FORGED_TEXT}).encode()
    authority = f"postcards.{target.host}"
    message = Message(
        fields=[
            (b"content-type", b"application/json"),
            content_digest(hashlib.sha256(body).digest()),
        ],
        method=b"POST",
        authority=authority,
        target=b"/peer/postcards",
        scheme="http",
    )
    signed = sign_request(
        Impostor(victim),
        message,
        Recipient(target.id, "postcards"),
        nonce=secrets.token_bytes(32),
        now=int(time.time()),
    )
    lines = [
        b"POST /peer/postcards HTTP/1.1",
        b"host: " + authority.encode(),
        *(name + b": " + value for name, value in signed.message.fields),
        f"content-length: {len(body)}".encode(),
    ]
    return b"\r\n".join([*lines, b"", b""]) + body


def send(portal: Portal, request: bytes) -> Answer:
    """Send exactly these bytes to a Portal's public listener; return its answer."""
    try:
        with socket.create_connection(("127.0.0.1", portal.port), timeout=PATIENCE) as wire:
            wire.sendall(request)
            response = http.client.HTTPResponse(wire)
            response.begin()
            return Answer(response.status, response.read(), dict(response.getheaders()))
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"{portal.name}'s Portal doesn't answer: {error!r}") from error
