"""A sealed call: only the two Portals can read it, and both bodies stream.

    state     what it waits for                       then
    FETCHES   the peer's document                     a request is sealed and sent: SENDS
    SENDS     the head of what comes back             OPENS, or READS where it isn't sealed
    READS     the problem that it perhaps is          FETCHES, LOOKS, or over
    LOOKS     whether the peer has another key        FETCHES, or over
    OPENS     the head of the message, opened         TELLS, or FETCHES for another time
    TELLS     the rest of it, piece by piece          over

Sealed to a key that the peer's identity signed, so whoever can open it and respond is the peer: the
response needs no signature. Nothing here ever falls back to a signed call. A further try repeats
the nonce, needs a body of which nothing is forgotten, and is made once for each of the two reasons
there are, a key that is gone and a wrong clock. So whoever withholds responses and forges problems
can't have a call carried out twice.
Source: docs/protocol.md, section 5.
"""

import asyncio
import time

from proxy.core.binary_http.message import ResponseHead
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, indexed
from proxy.core.http.problem import refusal_mark
from proxy.core.http.web_server import explain_unproven
from proxy.core.sealing.envelope import (
    PROBLEM_LIMIT,
    is_key_problem,
    is_sealed_response,
    may_be_key_problem,
)
from proxy.http.upstream import (
    ResponseReceiver,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
)
from proxy.outbound.call import (
    Call,
    CallContext,
    CallExchange,
    Told,
    fields_for_app,
    peer_name,
    refuse_forgotten,
    refuse_replayed,
    refuse_unproven,
    time_told,
)
from proxy.outbound.carried_out import CarriesOut
from proxy.outbound.identity_documents import Directory
from proxy.outbound.opened_response import OpenedResponse
from proxy.outbound.running_call import ends_call
from proxy.outbound.tried_call import State, TriedCall
from proxy.transfer.failures import untrusted, unusable

_SERVER_ERROR = 500
_UNKNOWN = frozenset({Code.OUTCOME_UNKNOWN, Code.OUTCOME_UNKNOWN_LATE})


class SealedTransport(CarriesOut):
    """Carries calls out in sealed mode."""

    def __init__(self, context: CallContext, directory: Directory) -> None:
        """``directory`` tells which keys the peers can be sealed to."""
        self._context = context
        self._directory = directory

    def begin(self, call: Call, receiver: ResponseReceiver) -> CallExchange:
        """Send ``call``; the response is told as it opens."""
        sealed = _SealedCall(self._context, self._directory, call, receiver)
        sealed.start()
        return sealed


class _SealedCall(TriedCall):
    """One call; here is what comes back of it."""

    __slots__ = ()

    def _begin(self, request: UpstreamRequest) -> UpstreamExchange:
        self._lower = lower = self._context.upstream.begin(request, self)
        return lower

    # What comes back.

    @ends_call
    def head_received(self, status: int, fields: Fields) -> None:
        """Begin to open what is sealed; look at what isn't."""
        if self._state is not State.SENDS or self._sealer is None:
            return
        if is_sealed_response(status, fields):
            self._response = OpenedResponse(self._sealer, self._call.method)
            self._state = State.OPENS
            return
        self._status = status
        self._unsealed = explain_unproven(status, fields, self._call.contact.origin.host)
        self._state = State.READS
        if not may_be_key_problem(status, fields):
            self._be_unsealed()

    @ends_call
    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Open a piece, or look at it."""
        if self._response is not None:
            self._open(self._response, piece, ends=ends)
        elif self._state is State.READS:
            self._problem += piece
            if ends or len(self._problem) > PROBLEM_LIMIT:
                self._be_unsealed()

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """End with what the peer's failure amounts to."""
        if isinstance(failure, UpstreamFailed) and self._state is not State.TELLS:
            self._context.reachability.note(self._call.contact, reachable=False)
        self.fail(failure)

    def _be_unsealed(self) -> None:
        """Judge a response that isn't sealed, which nobody vouches for.

        It comes from the peer or from whoever stands before it, and may hide that the call arrived.
        Where a server failed, a key isn't missed. Any other may stand in the place of a problem
        with the key: web servers before a Portal replace the bodies of errors by pages of their
        own.
        """
        call, tries, document, status = self._call, self._tries, self._document, self._status
        problem, self._problem = self._problem, b""
        self._end_try()
        if document is None:
            raise RuntimeError("a response to no request")
        if problem and is_key_problem(problem):
            self._directory.forget(call.contact, document)
            if not tries.for_key or not self._may_repeat():
                raise self._untrusted("the peer says that it can't open the call")
            tries.for_key = False
            self._try_again()
        elif status >= _SERVER_ERROR:
            raise self._untrusted(f"{status} and nothing sealed. {self._unsealed}")
        else:
            self._state = State.LOOKS
            task = asyncio.get_running_loop().create_task(
                self._directory.has_another_key(call.contact, document)
            )
            self._task = task
            task.add_done_callback(self._looked)
            self._tell_blocked()

    @ends_call
    def _looked(self, task: "asyncio.Task[bool]") -> None:
        if not self._is_ours(task):
            return
        has_another = task.result()
        if not (self._tries.for_key and has_another and self._may_repeat()):
            raise self._untrusted(f"{self._status} and nothing sealed. {self._unsealed}")
        self._tries.for_key = False
        self._try_again()

    # The response, opened.

    def _open(self, response: OpenedResponse, piece: bytes, *, ends: bool) -> None:
        """Open a piece; tell what that opens, and what is wrong with what follows."""
        failure = response.receive(piece, ends=ends)
        if self._state is State.OPENS and response.has_begun and response.head is not None:
            self._be_opened(response.head)
            if self._response is not response:
                return  # it is tried once more
        if response.is_whole:
            self._end_try()
        self._tell()
        if failure and self._is_head_told:
            raise UpstreamFailed(failure)
        if failure:
            raise self._untrusted(failure)

    def _be_opened(self, head: ResponseHead) -> None:
        """Decide what a response is to whoever called; raises ``Refusal``."""
        call, context, tries = self._call, self._context, self._tries
        context.reachability.note(call.contact, reachable=True)
        fields = indexed(head.fields)
        mark = refusal_mark(fields)
        if mark.code:
            told = self._told(fields)
            if told is not None and tries.for_time and self._may_repeat():
                refuse_forgotten(call, tries.epoch, told, time.monotonic() - tries.began)
                tries.for_time, tries.now, tries.epoch = False, told.now, told.epoch
                self._end_try()
                self._try_again()
                return
            refuse_replayed(call, fields)
            if not tries.for_key:
                refuse_unproven(call, mark.code)
        self._state = State.TELLS
        self._status = head.status
        self._fields = fields_for_app(call, head.status, fields, streams=True)
        self.refusal = mark
        if self._is_paused and self._lower is not None:
            self._lower.pause()

    def _told(self, fields: Fields) -> Told | None:
        told = time_told(fields, b"")
        if told is not None:
            self._context.epochs.learn(self._call.contact.id, told.epoch)
        return told

    def pause(self) -> None:
        """Take no more of the response; what has come waits, and so does a failure behind it."""
        if not self._is_paused:
            self._is_paused = True
            if self._lower is not None and self._state is State.TELLS:
                self._lower.pause()

    def resume(self) -> None:
        """Take the response again."""
        super().resume()
        if self._lower is not None and self._state is State.TELLS:
            self._lower.resume()

    @ends_call
    def _tell(self) -> None:
        """Tell what was opened, as far as the receiver takes it."""
        while not self._is_paused and (response := self._response) is not None:
            if self._state is not State.TELLS:
                break
            if not self._is_head_told:
                self._is_head_told = True
                self._receiver.head_received(self._status, self._fields)
            elif (piece := response.next_piece()) is not None:
                self._tell_piece(piece, ends=response.is_over)
            elif response.is_over:
                self._tell_piece(b"", ends=True)
            else:
                break
        self._tell_failure()

    # Its end.

    def _untrusted(self, what: str) -> Refusal:
        return untrusted(f"{peer_name(self._call.contact)}: {what}", self._call.method)

    def _told_as(self, failure: Refusal | UpstreamFailed) -> Refusal | UpstreamFailed:
        """Return what ``failure`` amounts to.

        Behind a second try for a key nobody knows who responded to the first: it may have arrived.
        """
        told = super()._told_as(failure)
        if isinstance(told, Refusal) and not self._tries.for_key and told.code not in _UNKNOWN:
            return unusable(told, self._call.method)
        return told

    def _let_go(self) -> None:
        self._end_try()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        # What came is told before a failure; but whatever fails now never looks whole.
        if self._response is not None and (self._response.is_whole or not self._is_head_told):
            self._response = None

    def _end(self) -> None:
        super()._end()
        self._sender.close()
        self._response = None
