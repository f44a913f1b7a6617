"""A call to a peer: signed on the way out, believed on the way back only when proven.

Both bodies are held: the request's so that its digest can be signed (and the call tried again when
the peer proves that our clock is off), the answer's so that the app sees none of it before its
signature and its digest were verified.
Source: docs/protocol.md, sections 3, 4 and 6.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from proxy.body import HeldBody
from proxy.core.answers import Answer, refusal_mark
from proxy.core.errors import Code, Refusal
from proxy.core.headers import Field, Fields, restored_after_travel
from proxy.core.identity import PrivateKey
from proxy.core.policy import Contact
from proxy.core.signature.base import Message
from proxy.core.signature.digest import BodyDigest, content_digest
from proxy.core.signature.parameters import NONCE_BYTES, encode_nonce
from proxy.core.signature.request import LIFETIME, Recipient, sign_request
from proxy.core.signature.response import Question, Untrusted, verify_response
from proxy.directory import Directory, app_destination
from proxy.outcomes import peer_failed, unusable
from proxy.reply import passing_fields
from proxy.upstream import Upstream, UpstreamFailed, UpstreamRequest, UpstreamResponse

_PROBLEM_LIMIT = 65536


@dataclass(frozen=True)
class Call:
    """What an app wants sent: to the same app at ``contact``, bytes as they came."""

    app: str
    contact: Contact
    method: bytes
    target: bytes
    fields: Fields
    """End-to-end fields under their travelling names."""
    has_body: bool


class Courier:
    """Carries calls out for this Portal's apps."""

    def __init__(
        self,
        key: PrivateKey,
        upstream: Upstream,
        directory: Directory,
        clock: Callable[[], float],
    ) -> None:
        self._key = key
        self._upstream = upstream
        self._directory = directory
        self._clock = clock

    async def carry_out(self, call: Call, body: HeldBody, held: HeldBody) -> Answer:
        """Send ``call`` with ``body``; fill ``held`` with the answer's body and return its head.

        Raises ``Refusal``. Sends a second time only when the peer itself proved that it refused
        the first for its time; the same nonce keeps both from being carried out.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        started = self._clock()
        first = await self._attempt(call, body, held, nonce, int(started))
        code, theirs = refusal_mark(first.fields)
        if code != Code.OUT_OF_TIME.public:
            return _for_app(call, first)
        theirs = theirs or _now_in(held)
        if theirs is None or not 0 <= self._clock() - started < LIFETIME:
            raise Refusal(Code.PEER_UNTRUSTED, f"{call.contact.id}: out of time, tells no time")
        held.clear()
        return _for_app(call, await self._attempt(call, body, held, nonce, theirs))

    async def _attempt(
        self, call: Call, body: HeldBody, held: HeldBody, nonce: bytes, now: int
    ) -> Answer:
        """Send once; return the verified head, fields under their travelling names."""
        origin = call.contact.origin.of_app(call.app)
        message = Message(
            fields=(*call.fields, content_digest(body.sha256)),
            method=call.method,
            authority=origin.authority,
            target=call.target,
            scheme=origin.scheme,
        )
        to = Recipient(call.contact.id, call.app)
        signed = sign_request(self._key, message, to, nonce=nonce, now=now)
        question = Question(signed.message, signed.components, encode_nonce(nonce))
        framing: tuple[Field, ...] = ()
        if call.has_body:
            framing = ((b"content-length", str(body.size).encode("ascii")),)
        request = UpstreamRequest(
            app_destination(call.contact, call.app),
            call.method,
            call.target,
            ((b"host", origin.authority.encode("ascii")), *signed.message.fields, *framing),
            body.pieces() if call.has_body else None,
        )
        try:
            async with self._upstream.send(request) as response:
                fields = await _verify(call, response, question, held)
        except UpstreamFailed as failure:
            self._directory.note(call.contact, reachable=False)
            peer = f"{call.contact.id} at {call.contact.connect or call.contact.address}"
            raise peer_failed(failure, call.method, peer) from None
        self._directory.note(call.contact, reachable=True)
        return Answer(response.status, fields, b"")


async def _verify(
    call: Call, response: UpstreamResponse, question: Question, held: HeldBody
) -> tuple[Field, ...]:
    """Hold the answer's body and return its fields, both proven; raises ``Refusal``."""
    contact = call.contact
    head = Message(fields=response.fields, status=response.status)
    try:
        verified = verify_response(contact.id, head, question)
        digest = BodyDigest(verified.digests)
        await held.fill(response.pieces(), limit=Code.ANSWER_TOO_LARGE, digest=digest)
        digest.refuse_mismatch()
    except Untrusted as error:
        detail = f"{contact.id} at {contact.address}: {response.status}, {error}"
        raise unusable(Refusal(Code.PEER_UNTRUSTED, detail), call.method) from None
    except Refusal as refusal:
        untrusted = refusal.code is Code.DIGEST_MISMATCH
        code = Code.PEER_UNTRUSTED if untrusted else refusal.code
        raise unusable(Refusal(code, f"{contact.id}: {refusal.detail}"), call.method) from None
    return verified.fields


def _for_app(call: Call, answer: Answer) -> Answer:
    """Return the answer as the app gets it, or the refusal that a replay at the peer amounts to."""
    if refusal_mark(answer.fields)[0] == Code.REPLAYED.public:
        raise Refusal(Code.OUTCOME_UNKNOWN, f"{call.contact.id}: the nonce was already claimed")
    restored = restored_after_travel(answer.fields)
    return Answer(answer.status, tuple(passing_fields(call.method, answer.status, restored)), b"")


def _now_in(held: HeldBody) -> int | None:
    """Return the member ``now`` of a problem document."""
    try:
        now = json.loads(held.read(_PROBLEM_LIMIT)).get("now")
    except (ValueError, AttributeError, RecursionError):
        return None
    return now if type(now) is int and now > 0 else None
