"""What somebody on the wire between Ada and Bob could send to Bob.

They have no key of Ada's and none of Bob's, but all that is public: IDs, public keys, and this
program. Whoever makes an envelope can open the response to it; who only overheard one can't.
"""

import base64
import hashlib
import http.client
import json
import secrets
import socket
import time

from demo.stage import PATIENCE, DemoError, Portal, Response
from proxy.core.binary_http.message import COMPLETE, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.binary_http.writer import request_head
from proxy.core.http.headers import Field, Fields
from proxy.core.identity import PrivateKey, PublicKey
from proxy.core.identity_document import PATH, Document, verify_document
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.envelope import CHUNKED_REQUEST, GATEWAY, is_sealed_response
from proxy.core.sealing.message import MessageOpener, MessageSealer
from proxy.core.sealing.request import RequestSealer
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.request import Recipient, sign_request
from proxy.core.signature.response import Untrusted

FORGED_TEXT = "I owe you a thousand. Ada"
_BODY = json.dumps({"text": FORGED_TEXT}).encode()
_CARD_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
)


class Impostor(PrivateKey):
    """A key of its own that goes by somebody else's name."""

    def __init__(self, victim: PublicKey) -> None:
        super().__init__(secrets.token_bytes(32))
        self.public = victim


class Envelope:
    """An envelope to a Portal, made by whoever has its public document."""

    def __init__(self, target: Portal) -> None:
        document = public_document(target)
        self._host = target.host
        self._sealer = RequestSealer(
            document.sealing_keys[0].config,
            ephemeral=secrets.token_bytes(32),
            largest=document.largest_chunk,
        )
        self.seal: Field = b"portal-seal", b":" + base64.b64encode(self._sealer.enc) + b":"

    def around(self, head: RequestHead) -> bytes:
        """Return the request that brings a card with ``head`` in this envelope."""
        message = MessageSealer(self._sealer, request_head(head))
        message.add(_BODY)
        return enveloped(self._host, message.end())

    def open(self, response: Response) -> Response:
        """Return what the response to it says."""
        if not is_sealed(response):
            raise DemoError(f"the response isn't sealed: {response}: {response.text[:300]}")
        opener = MessageOpener(self._sealer.response_opener(), ResponseReader(b"POST"))
        try:
            events = [*opener.feed(response.body), *opener.end()]
        except (CannotOpen, Malformed) as error:
            raise DemoError(f"the sealed response can't be read: {error}") from error
        head = next(event for event in events if isinstance(event, ResponseHead))
        if COMPLETE not in events:
            raise DemoError("the sealed response isn't whole")
        return Response(head.status, b"".join(e for e in events if isinstance(e, bytes)))


def public_document(portal: Portal) -> Document:
    """Return a Portal's identity document, which anybody can ask for."""
    request = b"GET %s HTTP/1.1\r\nhost: %s\r\n\r\n" % (PATH, portal.host.encode())
    response = send(portal, request)
    message = Message(fields=_lower(response), status=response.status)
    try:
        return verify_document(portal.id, message, response.body, now=time.time())
    except Untrusted as error:
        raise DemoError(f"{portal.name}'s document: {error}") from error


def is_sealed(response: Response) -> bool:
    return is_sealed_response(response.status, _lower(response))


def enveloped(host: str, sealed: bytes) -> bytes:
    """Return the request that carries ``sealed`` to the Portal at ``host``."""
    lines = [
        b"POST %s HTTP/1.1" % GATEWAY,
        b"host: " + host.encode(),
        b"%s: %s" % CHUNKED_REQUEST,
        b"content-length: %d" % len(sealed),
    ]
    return b"\r\n".join([*lines, b"", sealed])


def one_bit_off(sealed: bytes) -> bytes:
    """Return an envelope in which one bit of what is sealed is another one."""
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def unsigned(target: Portal) -> RequestHead:
    """Return a card without any proof, with the sender's ID merely stated."""
    claims = ((b"x-ptl-client-type", b"peer"), (b"x-ptl-client-id", b"whoever-i-say"))
    return _card(target, (*_CARD_FIELDS, *claims))


def forged(victim: PublicKey, target: Portal, proof: Field) -> RequestHead:
    """Return a card that states the victim's ID and key, signed with another key.

    ``proof`` is what the signature must cover besides: an envelope's seal, or the body's digest.
    """
    card = _card(target, (*_CARD_FIELDS, proof))
    message = Message(
        fields=list(card.fields),
        method=card.method,
        authority=card.authority.decode(),
        target=card.target,
        scheme="http",
    )
    signed = sign_request(
        Impostor(victim),
        message,
        Recipient(target.id, "postcards"),
        nonce=secrets.token_bytes(32),
        now=int(time.time()),
    )
    return _card(target, tuple(signed.message.fields))


def in_clear(victim: PublicKey, target: Portal) -> bytes:
    """Return the forged card as a signed call without an envelope."""
    card = forged(victim, target, content_digest(hashlib.sha256(_BODY).digest()))
    lines = [
        b"%s %s HTTP/1.1" % (card.method, card.target),
        b"host: " + card.authority,
        *(b"%s: %s" % field for field in card.fields),
    ]
    return b"\r\n".join([*lines, b"", _BODY])


def send(portal: Portal, request: bytes) -> Response:
    """Send exactly these bytes to a Portal's public listener; return its response."""
    try:
        with socket.create_connection(("127.0.0.1", portal.port), timeout=PATIENCE) as wire:
            wire.sendall(request)
            response = http.client.HTTPResponse(wire)
            response.begin()
            return Response(response.status, response.read(), dict(response.getheaders()))
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"{portal.name}'s Portal doesn't answer: {error!r}") from error


def _card(target: Portal, fields: tuple[Field, ...]) -> RequestHead:
    authority = f"postcards.{target.host}".encode()
    return RequestHead(b"POST", b"http", authority, b"/peer/postcards", fields)


def _lower(response: Response) -> Fields:
    """Return a response's fields as the proxy's core takes them."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.fields.items()
    ]
