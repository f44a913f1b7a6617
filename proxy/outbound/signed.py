"""A signed call: authenticated both ways, readable for whoever carries it.

    state      what it waits for                   then
    HOLDS      the call's body, whole              it is signed and sent: ASKS
    ASKS       the head of the response            its signature is verified: VERIFIES
    VERIFIES   the response's body, whole          its digest matches: TELLS; or once more ASKS
    TELLS      that the receiver takes it          over

Both bodies are buffered: the request's so that its digest can be signed (and the call tried again
when the peer proves that our clock is off, or tells us its epoch), the response's so that the app
sees none of it before its signature and its digest were verified.
Source: docs/protocol.md, sections 3, 4 and 6.
"""

import secrets
import time
from enum import Enum, auto

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, Fields, indexed, values_of
from proxy.core.http.problem import refusal_mark
from proxy.core.http.web_server import explain_unproven
from proxy.core.http1.framing import bodiless
from proxy.core.signature.base import Message
from proxy.core.signature.digest import BodyDigest, content_digest
from proxy.core.signature.parameters import NONCE_BYTES, encode_nonce
from proxy.core.signature.request import sign_request
from proxy.core.signature.response import Question, Untrusted, verify_response
from proxy.http.upstream import (
    ANYBODY,
    BytesBody,
    ResponseReceiver,
    UpstreamFailed,
    UpstreamRequest,
)
from proxy.outbound.call import (
    REFUSAL_LIMIT,
    Call,
    CallContext,
    CallExchange,
    fields_for_app,
    is_repeatable,
    refuse_forgotten,
    refuse_replayed,
    time_told,
)
from proxy.outbound.carried_out import CarriesOut
from proxy.outbound.running_call import RunningCall, ends_call
from proxy.transfer.body import SMALL
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.failures import untrusted, unusable
from proxy.transfer.held_body import BodyHolder, HeldSender


class SignedTransport(CarriesOut):
    """Carries calls out in signed mode."""

    def __init__(
        self,
        context: CallContext,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._context = context
        self._limits = limits

    def begin(self, call: Call, receiver: ResponseReceiver) -> CallExchange:
        """Send ``call``; the response is told once it is verified whole."""
        signed = _SignedCall(self._context, self._limits, call, receiver)
        signed.start()
        return signed


class _State(Enum):
    HOLDS = auto()
    ASKS = auto()
    VERIFIES = auto()
    TELLS = auto()


class _SignedCall(RunningCall):
    """One call, which is sent a second time only when the peer itself asks for it.

    It must have proved that it refused the first for its time; the same nonce keeps both from
    being carried out.
    """

    __slots__ = (
        "_began", "_digest", "_epoch", "_fields", "_holder", "_is_full", "_is_repeated", "_nonce",
        "_ours", "_question", "_sender", "_started", "_state", "_status", "_theirs",
    )  # fmt: skip

    def __init__(
        self, context: CallContext, limits: Limits, call: Call, receiver: ResponseReceiver
    ) -> None:
        super().__init__(context, call, receiver)
        self._ours = BufferedBody(min(limits.held_body, limits.body))
        self._theirs = BufferedBody(limits.held_body)
        self._holder: BodyHolder | None = None
        self._sender: HeldSender | None = None
        self._is_full = False
        """Whether the call's body waits for the disk."""
        self._state = _State.HOLDS
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._started = self._began = 0.0
        self._epoch: bytes | None = None
        self._is_repeated = False
        self._question: Question | None = None
        self._digest: BodyDigest | None = None
        self._status = 0
        self._fields: tuple[Field, ...] = ()

    @ends_call
    def start(self) -> None:
        """Begin."""
        size, limit = self._call.size, self._ours.limit
        if size is not None and size > limit:
            raise Refusal(Code.TOO_LARGE, f"{size} bytes; {limit} can be buffered")
        if not self._call.has_body:
            self._converse()

    # The call's body.

    @property
    def is_blocked(self) -> bool:
        """Whether to send of the body only behind ``resume_body``."""
        return self._is_full or self._failure is not None

    @ends_call
    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Hold a piece of the call's body."""
        if self._state is not _State.HOLDS or self._is_over or self._failure is not None:
            return
        if self._holder is None and ends and len(piece) <= SMALL:
            self._ours.add(piece, Code.TOO_LARGE)
            self._converse()
            return
        if self._holder is None:
            self._holder = BodyHolder(
                self._ours,
                limit=Code.TOO_LARGE,
                pause=self._be_full,
                resume=self._be_free,
                on_held=self._converse,
                on_failure=self._not_held,
            )
        self._holder.receive(piece, ends=ends)

    def _be_full(self) -> None:
        self._is_full = True
        self._receiver.pause_body()

    def _be_free(self) -> None:
        self._is_full = False
        self._receiver.resume_body()

    def _not_held(self, error: Exception) -> None:
        if isinstance(error, Refusal):
            self.fail(error)
        else:
            self.fail_by_mistake(error)

    # The request.

    @ends_call
    def _converse(self) -> None:
        """Send; once more where the peer says with what it would have to be signed.

        The first call to a peer has no epoch, and is sent again: its document, which would tell
        one, isn't needed for signed calls, and costs as much.
        """
        self._holder = None
        self._started, self._began = self._context.clock(), time.monotonic()
        now = int(self._started) if self._call.at is None else self._call.at
        self._ask(now, self._context.epochs.of(self._call.contact.id))

    def _ask(self, now: int, epoch: bytes | None) -> None:
        """Send the call, signed for ``now`` and under ``epoch``."""
        call, body = self._call, self._ours
        self._epoch = epoch
        message = call.message(content_digest(body.sha256))
        to = call.recipient(epoch)
        signed = sign_request(self._context.key, message, to, nonce=self._nonce, now=now)
        nonce = encode_nonce(self._nonce)
        self._question = Question(signed.covered, signed.components, nonce)
        framing: tuple[Field, ...] = ()
        at_once = None
        if call.has_body:
            if body.size <= SMALL:
                at_once = BytesBody(body.read(SMALL))
            framing = ((b"content-length", b"%d" % body.size),)
        request = UpstreamRequest(
            call.destination,
            call.method,
            call.target,
            ((b"host", message.authority.encode("ascii")), *signed.fields, *framing),
            at_once,
            caller=ANYBODY,  # a response proves which call it is for
            streams=call.has_body and at_once is None,
        )
        self._state = _State.ASKS
        self._lower = lower = self._context.upstream.begin(request, self)
        if request.streams:
            self._sender = HeldSender(body, lower.send, self._is_lower_blocked, self._unreadable)
            self._sender.go_on()

    def _is_lower_blocked(self) -> bool:
        return self._lower is None or self._lower.is_blocked

    def pause_body(self) -> None:
        """Send no more for now: that is asked before each piece."""

    @ends_call
    def resume_body(self) -> None:
        """Go on sending the body."""
        if self._sender is not None and self._lower is not None:
            self._sender.go_on()

    # The response.

    @ends_call
    def head_received(self, status: int, fields: Fields) -> None:
        """Verify the signature, and hold the body."""
        contact = self._call.contact
        if self._question is None:
            return
        head = Message(fields=indexed(fields), status=status)
        try:
            verified = verify_response(contact.id, head, self._question)
        except Untrusted as error:
            raise self._untrusted(head, error) from None
        self._status, self._fields = status, verified.fields
        self._digest = BodyDigest(verified.digests)
        self._state = _State.VERIFIES

    @ends_call
    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Hold a piece of the response."""
        lower, theirs = self._lower, self._theirs
        if lower is None or self._state is not _State.VERIFIES:
            return
        if self._holder is None and ends and len(piece) <= min(SMALL, theirs.limit):
            theirs.add(piece, Code.ANSWER_TOO_LARGE, self._digest)
            self._verify()
            return
        if self._holder is None:
            self._holder = BodyHolder(
                theirs,
                limit=Code.ANSWER_TOO_LARGE,
                digest=self._digest,
                pause=lower.pause,
                resume=lower.resume,
                on_held=self._verify,
                on_failure=self._not_taken,
            )
        self._holder.receive(piece, ends=ends)

    def _not_taken(self, error: Exception) -> None:
        if isinstance(error, Refusal):
            detail = f"{self._call.contact.id}: {error.detail}"
            self.fail(unusable(Refusal(error.code, detail), self._call.method))
        else:
            self.fail_by_mistake(error)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """End with what the peer's failure amounts to."""
        if isinstance(failure, UpstreamFailed):
            self._context.reachability.note(self._call.contact, reachable=False)
        self.fail(failure)

    @ends_call
    def _verify(self) -> None:
        """Compare the digest of a response that is all there; tell it, or ask once more."""
        call, context, digest = self._call, self._context, self._digest
        self._end_try()
        if digest is None:
            raise RuntimeError("a response without its digest")
        try:
            digest.refuse_mismatch()
        except Refusal as refusal:
            detail = f"{call.contact.id}: {refusal.detail}"
            raise untrusted(detail, call.method) from None
        context.reachability.note(call.contact, reachable=True)
        mark = refusal_mark(self._fields)
        if mark.code == Code.OUT_OF_TIME.public and not self._is_repeated:
            told = time_told(self._fields, self._theirs.read(REFUSAL_LIMIT))
            if told is not None:
                context.epochs.learn(call.contact.id, told.epoch)
            if call.at is None:
                if told is None or not is_repeatable(self._started, context.clock()):
                    detail = f"{call.contact.id}: out of time, tells no time"
                    raise Refusal(Code.PEER_UNTRUSTED, detail)
                refuse_forgotten(call, self._epoch, told, time.monotonic() - self._began)
                self._theirs.clear()
                self._is_repeated = True
                self._ask(told.now, told.epoch)
                return
        refuse_replayed(call, self._fields)
        fields = fields_for_app(call, self._status, self._fields, streams=False)
        if not bodiless(call.method, self._status):
            fields = (*fields, (b"content-length", b"%d" % self._theirs.size))
        self._fields = fields
        self.refusal = mark
        self._ours.close()
        self._state = _State.TELLS
        self._tell()

    # The response, verified.

    @ends_call
    def _tell(self) -> None:
        """Tell the response, as far as the receiver takes it."""
        if self._is_paused or self._is_over:
            return
        if self._failure is not None:
            self._tell_failure()
            return
        if self._state is not _State.TELLS:
            return
        if not self._is_head_told:
            self._is_head_told = True
            self._receiver.head_received(self._status, self._fields)
        if self._sender is None and self._theirs.size <= SMALL:
            if not self._is_receiver_paused():
                self._tell_piece(self._theirs.read(SMALL), ends=True)
            return
        if self._sender is None and not self._is_over:
            self._sender = HeldSender(
                self._theirs, self._tell_piece, self._is_receiver_paused, self._unreadable
            )
        if self._sender is not None:
            self._sender.go_on()

    def _is_receiver_paused(self) -> bool:
        return self._is_paused or self._is_over

    def _unreadable(self, error: Exception) -> None:
        """End where a disk doesn't give back what was held."""
        self.fail_by_mistake(error)

    # Its end.

    def _untrusted(self, head: Message, error: Untrusted) -> Refusal:
        contact, status = self._call.contact, head.status or 0
        detail = f"{contact.id} at {contact.address}: {status}, {error}"
        if not values_of(head.fields, b"signature"):
            detail += f". {explain_unproven(status, head.fields, self._call.origin.host)}"
        return untrusted(detail, self._call.method)

    def _end_try(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self._drop_lower()
        self._question = self._digest = None

    def _let_go(self) -> None:
        self._end_try()
        self._ours.close()
        self._theirs.close()
