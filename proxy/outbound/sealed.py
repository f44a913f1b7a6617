"""A sealed call: only the two Portals can read it, and both bodies stream.

Sealed to a key that the peer's identity signed, so whoever can open it and respond is the peer: the
response needs no signature. Nothing here ever falls back to a signed call. A further try repeats
the nonce, needs a body of which nothing is forgotten, and is made once for each of the two reasons
there are, a key that is gone and a wrong clock. So whoever withholds responses and forges problems
can't have a call carried out twice.
Source: docs/protocol.md, section 5.
"""

import base64
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proxy.core.access.policy import Contact
from proxy.core.binary_http.message import Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.binary_http.writer import request_head
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import indexed
from proxy.core.http.problem import refusal_mark
from proxy.core.http1.framing import IN_CHUNKS, bodiless
from proxy.core.identity_document import Document
from proxy.core.sealing.chunks import LARGEST_CHUNK, CannotOpen
from proxy.core.sealing.envelope import (
    CHUNKED_REQUEST,
    GATEWAY,
    INCREMENTAL,
    PROBLEM_LIMIT,
    is_key_problem,
    is_sealed_response,
    may_be_key_problem,
)
from proxy.core.sealing.message import MessageOpener, MessageSealer
from proxy.core.sealing.request import RequestSealer
from proxy.core.signature.parameters import NONCE_BYTES
from proxy.core.signature.request import sign_request
from proxy.http.upstream import (
    ANYBODY,
    BytesBody,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)
from proxy.outbound.call import (
    Call,
    CallContext,
    CallResponse,
    Told,
    fields_for_app,
    is_repeatable,
    peer_name,
    refuse_forgotten,
    refuse_replayed,
    time_told,
)
from proxy.outbound.destinations import destination_of
from proxy.outbound.identity_documents import Directory
from proxy.transfer.body import SMALL, ReplayableBody, beginning, coalesced
from proxy.transfer.failures import is_safe, peer_failed, untrusted, unusable
from proxy.transfer.opened_message import OpenedMessage

EPHEMERAL_BYTES = 32
_SERVER_ERROR = 500
_UNKNOWN = frozenset({Code.OUTCOME_UNKNOWN, Code.OUTCOME_UNKNOWN_LATE})


class _KeyProblem(Exception):
    """The other end says that it can't open what was sealed to a key of ``document``."""

    def __init__(self, document: Document) -> None:
        super().__init__("the peer says that it can't open the call")
        self.document = document


class _Unsealed(Exception):
    """Another response that isn't sealed. It may stand in the place of a ``_KeyProblem``.

    Web servers before a Portal replace the bodies of errors by pages of their own.
    """

    def __init__(self, document: Document, status: int) -> None:
        super().__init__(f"{status} and nothing sealed")
        self.document = document


@dataclass
class _Tries:
    """What a call may still be tried again for."""

    started: float
    nonce: bytes
    now: int
    """The time to sign with."""
    epoch: bytes | None = None
    """The epoch to sign under: once chosen, only the peer itself changes it."""
    began: float = field(default_factory=time.monotonic)
    """The same as ``started``, by a clock that nobody sets."""
    for_key: bool = True
    for_time: bool = True


class SealedTransport:
    """Carries calls out in sealed mode."""

    def __init__(self, context: CallContext, directory: Directory) -> None:
        """``directory`` tells which keys the peers can be sealed to."""
        self._context = context
        self._directory = directory

    @asynccontextmanager
    async def carry_out(
        self, call: Call, body: AsyncIterator[bytes]
    ) -> AsyncIterator[CallResponse]:
        """Send ``call``; inside the context is the response, as far as it has come.

        Raises ``Refusal``; the pieces of the response raise ``UpstreamFailed``.
        """
        replayable = ReplayableBody(body)
        started = self._context.clock()
        now = int(started) if call.at is None else call.at
        tries = _Tries(started, secrets.token_bytes(NONCE_BYTES), now, for_time=call.at is None)
        while True:
            try:
                async with self._attempt(call, replayable, tries) as response:
                    told = self._told(call, response)
                    may_repeat = tries.for_time and self._may_repeat(replayable, tries)
                    if told is None or not may_repeat:
                        refuse_replayed(call, response.fields)
                        mark = refusal_mark(response.fields)
                        if mark.code and not tries.for_key:
                            _refuse_unproven(call, mark.code)
                        fields = fields_for_app(
                            call, response.status, response.fields, streams=True
                        )
                        yield CallResponse(response.status, fields, response.pieces, mark)
                        return
                    refuse_forgotten(call, tries.epoch, told, time.monotonic() - tries.began)
                    tries.for_time, tries.now, tries.epoch = False, told.now, told.epoch
            except _KeyProblem as problem:
                self._directory.forget(call.contact, problem.document)
                if not tries.for_key or not self._may_repeat(replayable, tries):
                    detail = f"{peer_name(call.contact)}: {problem}"
                    raise untrusted(detail, call.method) from None
                tries.for_key = False
            except _Unsealed as unsealed:
                has_another = await self._has_another_key(call.contact, unsealed.document)
                if not (tries.for_key and has_another and self._may_repeat(replayable, tries)):
                    detail = f"{peer_name(call.contact)}: {unsealed}"
                    raise untrusted(detail, call.method) from None
                tries.for_key = False
            except Refusal as refusal:
                if tries.for_key or refusal.code in _UNKNOWN:
                    raise
                # Nobody knows who responded to the first try: it may have arrived.
                raise unusable(refusal, call.method) from None

    def _told(self, call: Call, response: CallResponse) -> Told | None:
        told = time_told(response.fields, b"")
        if told is not None:
            self._context.epochs.learn(call.contact.id, told.epoch)
        return told

    def _may_repeat(self, body: ReplayableBody, tries: _Tries) -> bool:
        return body.is_whole and is_repeatable(tries.started, self._context.clock())

    async def _has_another_key(self, contact: Contact, document: Document) -> bool:
        """Look at the contact's document anew; tell whether it names another key than ``document``.

        One that can't be had, or believed, tells nothing: the call failed for the first reason.
        """
        try:
            newer = await self._directory.renewed(contact, document)
        except Refusal:
            return False
        now = self._context.clock()
        before, after = document.sealing_key(now), newer.sealing_key(now)
        return after is not None and (before is None or after.config != before.config)

    @asynccontextmanager
    async def _attempt(
        self, call: Call, body: ReplayableBody, tries: _Tries
    ) -> AsyncIterator[CallResponse]:
        """Send once; inside the context is the response, with its fields as they travelled."""
        document = await self._directory.document(call.contact)
        self._context.epochs.learn_from(document)
        if tries.epoch is None:
            tries.epoch = self._context.epochs.of(call.contact.id)
        sealer = self._sealer(call.contact, document)
        request = await self._request(call, sealer, body, tries)
        is_open = False
        try:
            async with self._context.upstream.send(request) as envelope:
                await _refuse_unsealed(call, document, envelope)
                opener = MessageOpener(sealer.response_opener(), ResponseReader(call.method))
                opened = OpenedMessage(envelope.pieces(), opener, UpstreamFailed)
                head = await opened.begin(ResponseHead)
                if bodiless(call.method, head.status):
                    await opened.nothing_follows()
                is_open = True
                self._context.reachability.note(call.contact, reachable=True)
                yield CallResponse(head.status, indexed(head.fields), opened)
        except UpstreamFailed as failure:
            if is_open:
                raise
            self._context.reachability.note(call.contact, reachable=False)
            raise peer_failed(failure, call.method, peer_name(call.contact)) from None
        except (CannotOpen, Malformed) as error:
            raise untrusted(f"{peer_name(call.contact)}: {error}", call.method) from None

    def _sealer(self, contact: Contact, document: Document) -> RequestSealer:
        """Return what seals to the newest key that the document offers; raises ``Refusal``."""
        newest = document.sealing_key(self._context.clock())
        if newest is None:
            # Not kept until it expires: the owner over there may be putting it right just now.
            self._directory.forget(contact, document)
            modes = " and ".join(sorted(document.modes)) or "no"
            detail = f"it accepts {modes} calls, and names no key that can be used now"
            raise Refusal(Code.NO_SEALING_KEY, f"{peer_name(contact)}: {detail}")
        largest = min(LARGEST_CHUNK, document.largest_chunk)
        ephemeral = secrets.token_bytes(EPHEMERAL_BYTES)
        return RequestSealer(newest.config, ephemeral=ephemeral, largest=largest)

    async def _request(
        self, call: Call, sealer: RequestSealer, body: ReplayableBody, tries: _Tries
    ) -> UpstreamRequest:
        """Return the signed request in its envelope, which is sealed as it is sent."""
        own = [(b"portal-seal", b":" + base64.b64encode(sealer.enc) + b":")]
        if call.size is not None:
            own.append((b"content-length", str(call.size).encode("ascii")))
        to = call.recipient(tries.epoch)
        signed = sign_request(
            self._context.key, call.message(*own), to, nonce=tries.nonce, now=tries.now
        ).message
        head = RequestHead(
            signed.method,
            signed.scheme.encode("ascii"),
            signed.authority.encode("ascii"),
            signed.target,
            tuple(signed.fields),
        )
        message = MessageSealer(sealer, request_head(head))
        host = call.contact.origin.authority.encode("ascii")
        return UpstreamRequest(
            destination_of(call.contact),
            b"POST",
            GATEWAY,
            ((b"host", host), CHUNKED_REQUEST, INCREMENTAL, IN_CHUNKS),
            await _body(message, call, body),
            caller=ANYBODY,  # a response proves which call it is for
        )


async def _body(message: MessageSealer, call: Call, body: ReplayableBody) -> AsyncIterator[bytes]:
    """Return the envelope: whole where all that it holds is small and there, in its one chunk."""
    if not call.has_body:
        return BytesBody(message.end())
    pieces = body.pieces()
    if call.size is None or call.size > SMALL:
        return _sealed(message, call.size, coalesced(pieces, call.size))
    first = await beginning(pieces, call.size)
    message.add(first)
    if len(first) == call.size:
        return BytesBody(message.end())
    return _sealed(message, call.size, pieces, len(first))


async def _sealed(
    message: MessageSealer, size: int | None, body: AsyncIterator[bytes], gone: int | None = None
) -> AsyncIterator[bytes]:
    """Yield the message as it is sealed; ``gone`` bytes of the body wait in it already."""
    if size is None or gone is not None:
        yield message.flush()
    added = gone or 0
    async for piece in body:
        message.add(piece)
        added += len(piece)
        del piece  # while it is sent, it is kept sealed: once is enough
        if added != size:
            yield message.flush()
    for sealed in message.ending():
        yield sealed


def _refuse_unproven(call: Call, code: str) -> None:
    """Refuse a refusal of a second try where nobody proved what became of the first.

    Whoever forged the problem can delay the second try until it is refused for its time.
    """
    if not is_safe(call.method):
        raise Refusal(Code.OUTCOME_UNKNOWN, f"{peer_name(call.contact)}: refused at last, {code}")


async def _refuse_unsealed(call: Call, document: Document, response: UpstreamResponse) -> None:
    """Raise for a response that isn't sealed, which nobody vouches for.

    It comes from the peer or from whoever stands before it, and may hide that the call arrived.
    Raises ``_KeyProblem``, ``_Unsealed``, or ``Refusal`` where a server failed: a key isn't missed
    so.
    """
    if is_sealed_response(response.status, response.fields):
        return
    body = bytearray()
    if may_be_key_problem(response.status, response.fields):
        async for piece in response.pieces():
            body += piece
            if len(body) > PROBLEM_LIMIT:
                break
    if body and is_key_problem(bytes(body)):
        raise _KeyProblem(document)
    if response.status < _SERVER_ERROR:
        raise _Unsealed(document, response.status)
    detail = f"{peer_name(call.contact)}: {response.status} and nothing sealed"
    raise untrusted(detail, call.method)
