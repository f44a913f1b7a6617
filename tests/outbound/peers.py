"""A peer that a test plays, in either mode: what is sent to it, and what it says."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from proxy.core.access.policy import Contact
from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader
from proxy.core.binary_http.writer import response_head
from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import Document, document_body, sign_document, verify_document
from proxy.core.sealing.envelope import CHUNKED_RESPONSE
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageOpener, MessageSealer
from proxy.core.sealing.offer import OfferedKey
from proxy.core.sealing.request import RequestOpener
from proxy.core.signature.base import Message
from proxy.core.signature.digest import content_digest
from proxy.core.signature.parameters import find_signature, nonce_of
from proxy.core.signature.request import TAG
from proxy.core.signature.response import Question, sign_response
from proxy.outbound.call import Call, CallContext
from proxy.outbound.identity_documents import Directory
from proxy.outbound.reachability import Reachability
from proxy.outbound.sealed import SealedTransport
from proxy.outbound.signed import SignedTransport
from tests.outbound.exchanges import Caller, Lower, LowerUpstream

if TYPE_CHECKING:
    from proxy.config.limits import Limits
    from proxy.core.http.headers import Field, Fields
    from proxy.outbound.call import CallExchange

OURS, THEIRS = PrivateKey(bytes(32)), PrivateKey(b"t" * 32)
PEER = Contact(THEIRS.public.portal_id, "Peer", "https://peer.example")
NOW = 1_750_000_000
_KEY = SealingKey(bytes(range(32)))


def document(key_id: int = 1, now: int = NOW) -> Document:
    """Return the peer's document."""
    offer = OfferedKey(KeyConfig(key_id, _KEY.public, (Aead.AES_128_GCM,)), now + 9999)
    body = document_body(THEIRS, "Peer", "peer.example", ("sealed",), (offer,), 1 << 16)
    digest = content_digest(hashlib.sha256(body).digest())
    head = Message(fields=sign_document(THEIRS, digest, now=now), status=200)
    return verify_document(PEER.id, head, body, now=now)


class Documents(Directory):
    """A directory that has the peer's document when the test lets it."""

    def __init__(self, upstream: LowerUpstream, *, is_kept: bool = True) -> None:
        super().__init__(upstream, lambda: NOW)
        self.newest = document()
        self.may_answer = asyncio.Event()
        self.refusal: Refusal | None = None
        if is_kept:
            self._kept[PEER] = self.newest

    async def fetch(self, contact: Contact) -> Document:
        await self.may_answer.wait()
        if self.refusal is not None:
            raise self.refusal
        self._kept[contact] = self.newest
        return self.newest


class Stage:
    """A call of ours, and the peer that it goes to."""

    def __init__(
        self, mode: str, *, is_blocked: bool = False, is_kept: bool = True, now: float = NOW
    ) -> None:
        self.mode = mode
        self.now = now
        self.upstream = LowerUpstream(is_blocked=is_blocked)
        self.documents = Documents(self.upstream, is_kept=is_kept)
        self.reachability = Reachability(self.documents, self.clock)
        self.context = CallContext(OURS, self.upstream, self.reachability, self.clock)
        self.caller = Caller()
        self.exchange: CallExchange

    def clock(self) -> float:
        return self.now

    @property
    def lower(self) -> Lower:
        return self.upstream.last

    def call(
        self,
        method: bytes = b"POST",
        *,
        has_body: bool = False,
        size: int | None = None,
        limits: Limits | None = None,
    ) -> CallExchange:
        """Begin a call."""
        call = Call("box", PEER, method, b"/x", (), has_body=has_body, size=size)
        signed = SignedTransport(self.context, limits) if limits else SignedTransport(self.context)
        sealed = SealedTransport(self.context, self.documents)
        transport = signed if self.mode == "signed" else sealed
        self.exchange = self.caller.exchange = transport.begin(call, self.caller)
        return self.exchange

    def response(
        self, body: bytes = b"", fields: Fields = (), status: int = 200, cut: int = 1
    ) -> tuple[int, tuple[Field, ...], list[bytes]]:
        """Return what the peer responds, its body in ``cut`` pieces."""
        if self.mode == "signed":
            return signed_response(self.lower, body, fields, status, cut)
        return sealed_response(self.lower, body, fields, status, cut)

    def refused(self, code: Code, **told: int) -> tuple[int, tuple[Field, ...], list[bytes]]:
        """Return a refusal of the peer's proxy."""
        problem = refusal_response(Refusal(code, **told))  # type: ignore[arg-type]
        return self.response(problem.body, problem.fields, problem.status)

    def answer(self, response: tuple[int, tuple[Field, ...], list[bytes]]) -> None:
        """Say all of it."""
        status, fields, pieces = response
        self.lower.answer(status, fields, *pieces)

    def asked(self) -> tuple[RequestHead, bytes]:
        """Return what was sealed in the last envelope."""
        opening, events = MessageOpener(RequestOpener(lambda _: _KEY), RequestReader()), []
        for piece in self.lower.pieces:
            events += opening.feed(piece)
        events += opening.end()
        head = events[0]
        assert isinstance(head, RequestHead)
        return head, b"".join(event for event in events if isinstance(event, bytes))


def signed_response(
    lower: Lower, body: bytes, fields: Fields, status: int, cut: int
) -> tuple[int, tuple[Field, ...], list[bytes]]:
    """Return a response to the signed request that ``lower`` carries."""
    request = lower.request
    signature = find_signature(request.fields, TAG)
    message = Message(
        fields=request.fields,
        method=request.method,
        authority=dict(request.fields)[b"host"].decode(),
        target=request.target,
        scheme=request.to.origin.scheme,
    )
    question = Question(message, signature.components, nonce_of(signature))
    digest = content_digest(hashlib.sha256(body).digest())
    response = Message(fields=(*fields, digest), status=status)
    signed = sign_response(THEIRS, response, question, now=NOW).message
    return status, tuple(signed.fields), in_pieces(body, cut)


def sealed_response(
    lower: Lower, body: bytes, fields: Fields, status: int, cut: int
) -> tuple[int, tuple[Field, ...], list[bytes]]:
    """Return a response to the envelope that ``lower`` carries, one chunk for each piece."""
    opener = RequestOpener(lambda _: _KEY)
    for piece in lower.pieces:
        opener.feed(piece)
    sealer = MessageSealer(
        opener.response_sealer(bytes(16)), response_head(ResponseHead(status, tuple(fields)))
    )
    if cut == 1:
        sealer.add(body)
        return 200, (CHUNKED_RESPONSE,), [sealer.end()]
    pieces = [sealer.flush()]
    for piece in in_pieces(body, cut):
        sealer.add(piece)
        pieces.append(sealer.flush())
    return 200, (CHUNKED_RESPONSE,), [*pieces, sealer.end()]


def in_pieces(body: bytes, count: int) -> list[bytes]:
    """Return ``body`` in so many pieces."""
    size = max(1, -(-len(body) // count))
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]
