"""A signed call: authenticated both ways, readable for whoever carries it.

Both bodies are buffered: the request's so that its digest can be signed (and the call tried again
when the peer proves that our clock is off, or tells us its epoch), the response's so that the app
sees none of it before its signature and its digest were verified.
Source: docs/protocol.md, sections 3, 4 and 6.
"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.http.problem import Response, refusal_mark
from proxy.core.http1.framing import bodiless
from proxy.core.signature.base import Message
from proxy.core.signature.digest import BodyDigest, content_digest
from proxy.core.signature.parameters import NONCE_BYTES, encode_nonce
from proxy.core.signature.request import sign_request
from proxy.core.signature.response import Question, Untrusted, verify_response
from proxy.http.upstream import ANYBODY, UpstreamFailed, UpstreamRequest, UpstreamResponse
from proxy.outbound.call import (
    PROBLEM_LIMIT,
    Call,
    CallContext,
    CallResponse,
    fields_for_app,
    is_repeatable,
    peer_name,
    refuse_forgotten,
    refuse_replayed,
    time_told,
)
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.failures import peer_failed, untrusted, unusable


class SignedTransport:
    """Carries calls out in signed mode."""

    def __init__(
        self,
        context: CallContext,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._context = context
        self._limits = limits

    @asynccontextmanager
    async def carry_out(
        self, call: Call, body: AsyncIterator[bytes]
    ) -> AsyncIterator[CallResponse]:
        """Send ``call``; inside the context is the response, verified whole. Raises ``Refusal``.

        Sends a second time only when the peer itself proved that it refused the first for its
        time; the same nonce keeps both from being carried out.
        """
        most = self._limits.held_body
        with BufferedBody(min(most, self._limits.body)) as ours, BufferedBody(most) as theirs:
            if call.size is not None and call.size > ours.limit:
                raise Refusal(Code.TOO_LARGE, f"{call.size} bytes; {ours.limit} can be buffered")
            await ours.fill(body, limit=Code.TOO_LARGE)
            response = await self._converse(call, ours, theirs)
            refuse_replayed(call, response.fields)
            fields = fields_for_app(call, response.status, response.fields, streams=False)
            if not bodiless(call.method, response.status):
                fields = (*fields, (b"content-length", str(theirs.size).encode("ascii")))
            mark = refusal_mark(response.fields)
            yield CallResponse(response.status, fields, theirs.pieces(), mark)

    async def _converse(self, call: Call, body: BufferedBody, buffered: BufferedBody) -> Response:
        """Send, and once more where the peer says with what it would have to be signed.

        The first call to a peer has no epoch, and is sent again: its document, which would tell
        one, isn't needed for signed calls, and costs as much.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        started, began = self._context.clock(), time.monotonic()
        now = int(started) if call.at is None else call.at
        epoch = self._context.epochs.of(call.contact.id)
        first = await self._attempt(call, body, buffered, nonce, now, epoch)
        if refusal_mark(first.fields).code != Code.OUT_OF_TIME.public:
            return first
        told = time_told(first.fields, buffered.read(PROBLEM_LIMIT))
        if told is not None:
            self._context.epochs.learn(call.contact.id, told.epoch)
        if call.at is not None:
            return first
        if told is None or not is_repeatable(started, self._context.clock()):
            raise Refusal(Code.PEER_UNTRUSTED, f"{call.contact.id}: out of time, tells no time")
        refuse_forgotten(call, epoch, told, time.monotonic() - began)
        buffered.clear()
        return await self._attempt(call, body, buffered, nonce, told.now, told.epoch)

    async def _attempt(
        self,
        call: Call,
        body: BufferedBody,
        buffered: BufferedBody,
        nonce: bytes,
        now: int,
        epoch: bytes | None,
    ) -> Response:
        """Send once; return the verified head, fields under their travelling names."""
        message = call.message(content_digest(body.sha256))
        to = call.recipient(epoch)
        signed = sign_request(self._context.key, message, to, nonce=nonce, now=now)
        question = Question(signed.message, signed.components, encode_nonce(nonce))
        framing: tuple[Field, ...] = ()
        if call.has_body:
            framing = ((b"content-length", str(body.size).encode("ascii")),)
        request = UpstreamRequest(
            call.destination,
            call.method,
            call.target,
            ((b"host", message.authority.encode("ascii")), *signed.message.fields, *framing),
            body.pieces() if call.has_body else None,
            caller=ANYBODY,  # a response proves which call it is for
        )
        try:
            async with self._context.upstream.send(request) as response:
                fields = await _verify(call, response, question, buffered)
        except UpstreamFailed as failure:
            self._context.reachability.note(call.contact, reachable=False)
            raise peer_failed(failure, call.method, peer_name(call.contact)) from None
        self._context.reachability.note(call.contact, reachable=True)
        return Response(response.status, fields, b"")


async def _verify(
    call: Call, response: UpstreamResponse, question: Question, buffered: BufferedBody
) -> tuple[Field, ...]:
    """Buffer the response's body and return its fields, both verified; raises ``Refusal``."""
    contact = call.contact
    head = Message(fields=response.fields, status=response.status)
    try:
        verified = verify_response(contact.id, head, question)
        digest = BodyDigest(verified.digests)
        await buffered.fill(response.pieces(), limit=Code.ANSWER_TOO_LARGE, digest=digest)
        digest.refuse_mismatch()
    except Untrusted as error:
        detail = f"{contact.id} at {contact.address}: {response.status}, {error}"
        raise untrusted(detail, call.method) from None
    except Refusal as refusal:
        detail = f"{contact.id}: {refusal.detail}"
        if refusal.code is Code.DIGEST_MISMATCH:
            raise untrusted(detail, call.method) from None
        raise unusable(Refusal(refusal.code, detail), call.method) from None
    return verified.fields
