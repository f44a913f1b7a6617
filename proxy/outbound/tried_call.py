"""A sealed call as it is sent: in tries, each an envelope of its own, with the body as it comes.

A try needs the peer's document, whose newest key it is sealed to. What comes back of it is opened,
or judged, by ``proxy.outbound.sealed``, which has it tried once more or ends it.
"""

import asyncio
from abc import abstractmethod
from enum import Enum, auto

from proxy.core.errors import Refusal
from proxy.core.http.headers import Fields
from proxy.core.identity_document import Document
from proxy.core.sealing.request import RequestSealer
from proxy.http.upstream import (
    ResponseReceiver,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
)
from proxy.outbound.call import Call, CallContext, is_repeatable
from proxy.outbound.envelope_sender import EnvelopeSender
from proxy.outbound.identity_documents import Directory
from proxy.outbound.opened_response import OpenedResponse
from proxy.outbound.running_call import RunningCall, ends_call
from proxy.outbound.sealed_request import Tries, message_of, sealer_for


class State(Enum):
    """Where a sealed call is; ``proxy.outbound.sealed`` has the table."""

    FETCHES = auto()
    SENDS = auto()
    READS = auto()
    LOOKS = auto()
    OPENS = auto()
    TELLS = auto()


class TriedCall(RunningCall):
    """The request's half of a sealed call."""

    __slots__ = (
        "_directory", "_document", "_fields", "_problem", "_response", "_sealer", "_sender",
        "_state", "_status", "_task", "_tries", "_unsealed", "_was_blocked",
    )  # fmt: skip

    def __init__(
        self, context: CallContext, directory: Directory, call: Call, receiver: ResponseReceiver
    ) -> None:
        super().__init__(context, call, receiver)
        self._directory = directory
        self._state = State.FETCHES
        self._tries = Tries(context.clock(), call.at)
        self._sender = EnvelopeSender(call, self._begin, self._hurry)
        self._was_blocked = False
        """What the receiver knows of ``is_blocked``."""
        self._task: asyncio.Task[Document] | asyncio.Task[bool] | None = None
        self._document: Document | None = None
        """What the present try is sealed by, and ``_sealer`` with."""
        self._sealer: RequestSealer | None = None
        self._problem = b""
        """What came of a response that isn't sealed."""
        self._unsealed = ""
        """What its head tells an owner, and nobody else."""
        self._response: OpenedResponse | None = None
        self._status = 0
        self._fields: Fields = ()

    @ends_call
    def start(self) -> None:
        """Begin."""
        self._try()
        self._was_blocked = self.is_blocked

    # A try.

    def _try(self) -> None:
        """Send the call, as soon as the peer's document is there."""
        contact = self._call.contact
        self._state = State.FETCHES
        self._response = None
        document = self._directory.kept(contact)
        if document is not None:
            self._seal(document)
            return
        task = asyncio.get_running_loop().create_task(self._directory.document(contact))
        self._task = task
        task.add_done_callback(self._fetched)

    @ends_call
    def _fetched(self, task: "asyncio.Task[Document]") -> None:
        if self._is_ours(task):
            self._seal(task.result())
            self._tell_blocked()

    def _is_ours(self, task: "asyncio.Task[Document] | asyncio.Task[bool]") -> bool:
        """Take note that a task has ended; tell whether anybody waits for it still."""
        if task is self._task:
            self._task = None
            if task.cancelled():
                raise UpstreamFailed("the look at its document was given up", sent=False)
            return True
        if not task.cancelled():
            task.exception()
        return False

    def _seal(self, document: Document) -> None:
        """Sign the request for one envelope, which is sealed as it is sent."""
        call, context, tries = self._call, self._context, self._tries
        context.epochs.learn_from(document)
        if tries.epoch is None:
            tries.epoch = context.epochs.of(call.contact.id)
        self._document = document
        try:
            self._sealer = sealer = sealer_for(call, document, context.clock())
        except Refusal:
            # Not kept until it expires: the owner over there may be putting it right just now.
            self._directory.forget(call.contact, document)
            raise
        message = message_of(call, context.key, tries, sealer)
        self._state = State.SENDS
        self._sender.start(message)

    @abstractmethod
    def _begin(self, request: UpstreamRequest) -> UpstreamExchange:
        """Send the request of a try; who inherits from this is told what comes back."""

    @ends_call
    def _hurry(self) -> None:
        if self._state is State.SENDS:
            self._sender.hurry()
            self._tell_blocked()

    def _may_repeat(self) -> bool:
        return self._sender.is_whole and is_repeatable(self._tries.started, self._context.clock())

    def _try_again(self) -> None:
        self._try()
        self._tell_blocked()

    def _end_try(self) -> None:
        self._drop_lower()
        self._sender.stop()
        self._sealer = self._document = None

    # The call's body.

    @property
    def is_blocked(self) -> bool:
        """Whether to send of the body only behind ``resume_body``."""
        return self._sender.is_blocked

    @ends_call
    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Seal a piece of the call's body, and send it."""
        has_all = self._response is not None and self._response.is_whole
        if has_all or self._is_over or self._failure is not None:
            return
        self._sender.add(piece, ends=ends)
        self._tell_blocked()

    def pause_body(self) -> None:
        """Send no more for now."""
        self._tell_blocked()

    @ends_call
    def resume_body(self) -> None:
        """Go on sending."""
        self._sender.send_on()
        self._tell_blocked()

    def _tell_blocked(self) -> None:
        is_blocked = self.is_blocked
        if is_blocked is self._was_blocked or self._sender.has_ended or self._is_over:
            return
        self._was_blocked = is_blocked
        if is_blocked:
            self._receiver.pause_body()
        else:
            self._receiver.resume_body()
