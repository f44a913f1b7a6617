"""Both ends of a sealed exchange, made with the core alone: a sender and a peer that answers.

Each seals whatever it is told to, which the proxy itself never does.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader
from proxy.core.binary_http.writer import END, content, padding, request_head, response_head
from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.identity_document import PATH, document_body, sign_document
from proxy.core.sealing.chunks import LARGEST_CHUNK, CannotOpen
from proxy.core.sealing.envelope import CHUNKED_REQUEST, CHUNKED_RESPONSE, GATEWAY
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig, parse_key_config
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.offer import OfferedKey
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.request import Recipient, sign_request
from tests.wire.harness.raw import Raw, chunked, exchange, read_message, request
from tests.wire.harness.recorder import Accepted, Server
from tests.wire.harness.signer import answer_bytes, new_key

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from proxy.core.access.policy import Mode
    from proxy.core.http.headers import Field
    from proxy.core.identity import PrivateKey
    from proxy.core.sealing.message import Event

    from .portals import Portal

OUTER = (
    ("Content-Type", CHUNKED_REQUEST[1]),
    ("Incremental", b"?1"),
    ("Transfer-Encoding", b"chunked"),
)


def offered_by(portal: Portal) -> KeyConfig:
    """Return the key that a Portal offers to anybody."""
    got = exchange(portal.public, request("GET", GATEWAY, ("Host", portal.host)))
    assert got.status == 200, got
    length = int.from_bytes(got.body[:2], "big")
    config = parse_key_config(got.body[2 : 2 + length])
    assert config is not None
    return config


def inner(events: list[Event]) -> Raw:
    """Return an opened message as if it had come in HTTP/1.1."""
    head, *rest = events
    assert isinstance(head, RequestHead | ResponseHead)
    if isinstance(head, RequestHead):
        lines = [b"%b %b HTTP/1.1" % (head.method, head.target), b"host: " + head.authority]
    else:
        lines = [b"HTTP/1.1 %d Whatever" % head.status]
    lines += [name + b": " + value for name, value in head.fields]
    body = b"".join(event for event in rest if isinstance(event, bytes))
    return Raw(b"\r\n".join([*lines, b"", b""]), body)


class Sender:
    """The sender's half of one sealed call of ``key``'s to ``to``."""

    def __init__(
        self,
        key: PrivateKey,
        to: Portal,
        *,
        config: KeyConfig | None = None,
        aead: Aead = Aead.AES_128_GCM,
        largest: int = LARGEST_CHUNK,
    ) -> None:
        self._key = key
        self._to = to
        config = replace(config or offered_by(to), aeads=(aead,))
        self.sealer = RequestSealer(config, ephemeral=secrets.token_bytes(32), largest=largest)
        self._method = b"GET"

    def head(  # noqa: PLR0913 - each of them spoils one thing
        self,
        app: str | None,
        target: bytes = b"/",
        *,
        method: bytes = b"GET",
        fields: tuple[Field, ...] = (),
        uncovered: tuple[Field, ...] = (),
        now: float | None = None,
        nonce: bytes | None = None,
        recipient: Recipient | None = None,
        seal: bytes | None = None,
        authority: str | None = None,
    ) -> bytes:
        """Return a signed request's head in Binary HTTP."""
        self._method = method
        own = (b"portal-seal", b":" + base64.b64encode(seal or self.sealer.enc) + b":")
        message = Message(
            fields=(*fields, own),
            method=method,
            authority=self._to.host if app is None else self._to.app_host(app),
            target=target,
            scheme="http",
        )
        signed = sign_request(
            self._key, message, recipient or Recipient(self._to.id, app, self._to.epoch),
            nonce=nonce or secrets.token_bytes(32), now=int(time.time() if now is None else now),
        ).message  # fmt: skip
        where = (authority or signed.authority).encode()
        return request_head(
            RequestHead(method, b"http", where, target, (*signed.fields, *uncovered))
        )

    def unsigned(self, app: str | None, target: bytes, *fields: Field) -> bytes:
        """Return the head of a request that nobody signed."""
        authority = self._to.host if app is None else self._to.app_host(app)
        return request_head(RequestHead(b"GET", b"http", authority.encode(), target, fields))

    def whole(self, head: bytes, body: bytes = b"") -> bytes:
        """Return a message in its envelope, padded, as one chunk if it fits."""
        return self.sealer.header + self.sealer.finish(padded(head + content(body) + END))

    def around(self, *pieces: bytes, fields: tuple[tuple[str, bytes], ...] = OUTER) -> bytes:
        """Return the outer request; each of ``pieces`` is a chunk of HTTP's."""
        return request("POST", GATEWAY, ("Host", self._to.host), *fields) + chunked(*pieces)

    def send(self, *pieces: bytes) -> Raw:
        """Send an envelope in ``pieces``; return the outer response."""
        return exchange(self._to.public, self.around(*pieces))

    def ask(self, head: bytes, body: bytes = b"") -> Raw:
        """Send an honest envelope around ``head`` and ``body``; return the inner response."""
        return self.opened(self.send(self.whole(head, body)))

    def opened(self, response: Raw) -> Raw:
        """Open the response, which must be sealed and whole."""
        assert response.status == 200, response
        assert response.one("content-type") == CHUNKED_RESPONSE[1]
        opener = MessageOpener(self.sealer.response_opener(), ResponseReader(self._method))
        return inner([*opener.feed(response.body), *opener.end()])


def padded(message: bytes) -> bytes:
    """Return a message with its zeros."""
    return message + bytes(padding(len(message)))


@dataclass(frozen=True)
class Opened:
    """A call that a sealed peer got: outer request, inner one, and what seals the response."""

    outer: Raw
    request: Raw
    opener: RequestOpener

    def envelope(self, plaintext: bytes) -> bytes:
        """Return ``plaintext`` as a whole envelope."""
        sealer = self.opener.response_sealer(secrets.token_bytes(16))
        return sealer.header + sealer.finish(plaintext)

    def sealed(
        self, status: int = 200, fields: tuple[Field, ...] = (), body: bytes = b"from the peer"
    ) -> bytes:
        """Return an honest response's envelope."""
        return self.envelope(padded(message(status, fields, body)))


def message(status: int, fields: tuple[Field, ...], body: bytes) -> bytes:
    """Return a response in Binary HTTP, without padding."""
    return response_head(ResponseHead(status, fields)) + content(body) + END


def around(envelope: bytes, *, length: int | None = None) -> bytes:
    """Return the outer response around ``envelope``."""
    return answer_bytes(200, [CHUNKED_RESPONSE], envelope, length=length)


def key_problem() -> bytes:
    """Return what says that nothing could be opened, as anybody can."""
    response = refusal_response(Refusal(Code.SEALING_KEY_UNKNOWN))
    return answer_bytes(response.status, list(response.fields), response.body)


class SealedPeer(Server):
    """A Portal that is called sealed and answers as the test tells it, then closes.

    ``instead`` is what it sends in the place of its document.
    """

    def __init__(self) -> None:
        self.key = new_key()
        self.rotate()
        self.clear()
        super().__init__()

    def rotate(self) -> None:
        """Forget the sealing key, and make another one."""
        self.keys = {secrets.randbelow(256): SealingKey(secrets.token_bytes(32))}

    def clear(self) -> None:
        """Forget what was asked, and answer honestly."""
        self.modes: tuple[Mode, ...] = ("sealed",)
        self.largest = LARGEST_CHUNK
        self.until = int(time.time()) + 3600
        self.instead: bytes | None = None
        self.documents = 0
        self.asked: list[Opened] = []
        self.unopened: list[Raw] = []
        self.connections = 0
        self.response: Callable[[Opened], bytes] = lambda opened: around(opened.sealed())

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        got = read_message(wire)
        if got.target == PATH:
            self.documents += 1
            return wire.send(self._document())
        opener = RequestOpener(self.keys.get)
        reading = MessageOpener(opener, RequestReader())
        try:
            opened = Opened(got, inner([*reading.feed(got.body), *reading.end()]), opener)
        except CannotOpen:
            self.unopened.append(got)
            return wire.send(key_problem())
        self.asked.append(opened)
        return wire.send(self.response(opened))

    def _document(self) -> bytes:
        if self.instead is not None:
            return self.instead
        offers = tuple(
            OfferedKey(KeyConfig(key_id, key.public, (Aead.AES_128_GCM,)), self.until)
            for key_id, key in self.keys.items()
        )
        body = document_body(self.key, "Sealed", "s.example", self.modes, offers, self.largest)
        digest = content_digest(hashlib.sha256(body).digest())
        return answer_bytes(200, list(sign_document(self.key, digest, now=int(time.time()))), body)
