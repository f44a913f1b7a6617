"""Both ends of the protocol, made with the core alone: a peer's requests, and a peer that answers.

What they send can be spoiled at every point, which the proxy itself never does.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.core.identity import PrivateKey
from proxy.core.identity_document import PATH, document_body, sign_document
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import encode_nonce, find_signature, nonce_of
from proxy.core.signature.request import TAG, Recipient, sign_request
from proxy.core.signature.response import Question, sign_response, verify_response
from tests.wire.harness.raw import Raw, read_message
from tests.wire.harness.recorder import Accepted, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from proxy.core.http.headers import Field

    from .portals import Portal


def new_key() -> PrivateKey:
    """Return a key that nobody knows yet."""
    return PrivateKey(secrets.token_bytes(32))


@dataclass(frozen=True)
class SignedCall:
    """A signed request's bytes, and what its response must be bound to."""

    raw: bytes
    question: Question

    def with_field(self, line: bytes) -> bytes:
        """Return the bytes with a line more in the head: what somebody on the way could add."""
        return self.raw.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)

    def believes(self, response: Raw, portal_id: str) -> bool:
        """Tell whether ``response`` is proven to be the Portal's; raises ``Untrusted``."""
        head = Message(fields=response.fields, status=response.status)
        verified = verify_response(portal_id, head, self.question)
        return verified.digests["sha-256"] == hashlib.sha256(response.body).digest()


def sign_call(  # noqa: PLR0913 - each of them spoils one thing
    key: PrivateKey,
    to: Portal,
    app: str | None,
    target: bytes = b"/",
    *,
    method: bytes = b"GET",
    fields: tuple[Field, ...] = (),
    body: bytes = b"",
    now: float | None = None,
    nonce: bytes | None = None,
    recipient: Recipient | None = None,
    digest: Field | None = None,
    host: str | None = None,
) -> SignedCall:
    """Sign a call of ``key``'s to ``app`` at ``to``; the rest spoils it, or says when it was."""
    authority = to.host if app is None else to.app_host(app)
    message = Message(
        fields=(*fields, digest or content_digest(hashlib.sha256(body).digest())),
        method=method,
        authority=authority,
        target=target,
        scheme="http",
    )
    nonce = nonce or secrets.token_bytes(32)
    moment = int(time.time() if now is None else now)
    recipient = recipient or Recipient(to.id, app, to.epoch)
    signed = sign_request(key, message, recipient, nonce=nonce, now=moment)
    lines = [method + b" " + target + b" HTTP/1.1", b"host: " + (host or authority).encode()]
    lines += [name + b": " + value for name, value in signed.message.fields]
    if body:
        lines.append(b"content-length: %d" % len(body))
    raw = b"\r\n".join([*lines, b"", b""]) + body
    return SignedCall(raw, Question(signed.message, signed.components, encode_nonce(nonce)))


@dataclass(frozen=True)
class Asked:
    """A signed request that a fake peer got."""

    request: Raw
    question: Question


def signed_answer(
    key: PrivateKey,
    question: Question,
    *,
    status: int = 200,
    fields: tuple[Field, ...] = (),
    body: bytes = b"",
    signed_body: bytes | None = None,
) -> list[Field]:
    """Return the fields of a response to ``question``; ``signed_body`` is what its digest is of."""
    digest = content_digest(hashlib.sha256(body if signed_body is None else signed_body).digest())
    response = Message(fields=(*fields, digest), status=status)
    return list(sign_response(key, response, question, now=int(time.time())).message.fields)


def answer_bytes(
    status: int, fields: list[Field], body: bytes, *, length: int | None = None
) -> bytes:
    """Return a response on the wire; ``length`` -1 leaves it to the end of the connection."""
    lines = [b"HTTP/1.1 %d Whatever" % status, b"connection: close"]
    lines += [name + b": " + value for name, value in fields]
    if length != -1:
        lines.append(b"content-length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*lines, b"", b""]) + body


class FakePeer(Server):
    """A Portal that answers as the test tells it: ``response`` makes the bytes, then it closes."""

    def __init__(self) -> None:
        self.key = new_key()
        self.asked: list[Asked] = []
        self.response: Callable[[Asked], bytes] = self.honestly
        super().__init__()

    def honestly(self, asked: Asked) -> bytes:
        """Answer as a Portal does."""
        body = b"from the peer"
        return answer_bytes(200, signed_answer(self.key, asked.question, body=body), body)

    def clear(self) -> None:
        """Forget what was asked, and answer honestly."""
        self.asked = []
        self.connections = 0
        self.response = self.honestly

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        request = read_message(wire)
        if request.target == PATH:
            return wire.send(self._document())
        signature = find_signature(request.fields, TAG)
        message = Message(
            fields=request.fields,
            method=request.first_line.split(b" ")[0],
            authority=request.one("host").decode(),
            target=request.target,
            scheme="http",
        )
        asked = Asked(request, Question(message, signature.components, nonce_of(signature)))
        self.asked.append(asked)
        return wire.send(self.response(asked))

    def _document(self) -> bytes:
        body = document_body(self.key, "Fake", "fake.example", ("signed",))
        digest = content_digest(hashlib.sha256(body).digest())
        return answer_bytes(200, list(sign_document(self.key, digest, now=int(time.time()))), body)
