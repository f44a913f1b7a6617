"""What a signed and a sealed call have in common: two ends, of which the upper one is told.

A ``RunningCall`` is an exchange for whoever makes the call, and the receiver of what comes back on
the exchanges that it is carried out with, its tries. It ends once: with the response's end, with a
failure, or with ``finish``; after that it refers to nobody. A failure waits, like the response,
while the receiver is paused, and is told from the event loop.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields
from proxy.core.http.problem import RefusalMark
from proxy.http.upstream import ResponseReceiver, UpstreamExchange, UpstreamFailed
from proxy.outbound.call import Call, CallContext, peer_name
from proxy.transfer.failures import peer_failed

log = logging.getLogger("proxy")

_Given = ParamSpec("_Given")
_Call = TypeVar("_Call", bound="RunningCall")
_NO_MARK = RefusalMark()


def ends_call(
    callback: Callable[Concatenate[_Call, _Given], None],
) -> Callable[Concatenate[_Call, _Given], None]:
    """Let the call end with what ``callback`` raises: nothing is raised out of it."""

    @wraps(callback)
    def guarded(self: _Call, *args: _Given.args, **kwargs: _Given.kwargs) -> None:
        try:
            callback(self, *args, **kwargs)
        except (Refusal, UpstreamFailed) as failure:
            self.fail(failure)
        except Exception as error:  # noqa: BLE001 - a mistake of ours, which ends this call alone
            self.fail_by_mistake(error)

    return cast(Callable[Concatenate[_Call, _Given], None], guarded)


class RunningCall(ABC):
    """One call, from its beginning to its end."""

    __slots__ = (
        "_call", "_context", "_failure", "_is_head_told", "_is_over", "_is_paused", "_lower",
        "_receiver", "refusal",
    )  # fmt: skip

    def __init__(self, context: CallContext, call: Call, receiver: ResponseReceiver) -> None:
        self._context = context
        self._call = call
        self._receiver = receiver
        self._lower: UpstreamExchange | None = None
        """What the present try is sent with."""
        self._is_paused = False
        self._is_head_told = False
        self._is_over = False
        """Whether nothing is told any more."""
        self._failure: Refusal | UpstreamFailed | None = None
        """What will be told at last."""
        self.refusal = _NO_MARK

    # What the one calls who makes the call.

    def pause(self) -> None:
        """Take no more of the response; what has come waits, and so does a failure."""
        self._is_paused = True

    def resume(self) -> None:
        """Take the response again."""
        if self._is_paused:
            self._is_paused = False
            if not self._is_over:
                asyncio.get_running_loop().call_soon(self._tell)

    def finish(self) -> None:
        """End it. A second call does nothing."""
        if not self._is_over:
            self._end()

    # What comes back of a try, and neither kind wants.

    def interim_received(self, status: int, fields: Fields) -> None:  # noqa: B027 - dropped by both
        """Drop it: nobody vouches for it."""

    def body_invited(self) -> None:  # noqa: B027 - as above
        """Nothing waits for it."""

    # How it ends.

    def fail(self, failure: Refusal | UpstreamFailed) -> None:
        """End with ``failure``, which is told later as what it amounts to."""
        if self._is_over or self._failure is not None:
            return
        self._let_go()
        self._failure = self._told_as(failure.with_traceback(None))
        if not self._is_paused:
            asyncio.get_running_loop().call_soon(self._tell)

    def fail_by_mistake(self, error: Exception) -> None:
        """End with a mistake of our own."""
        log.error("a mistake of our own", exc_info=error)
        self.fail(Refusal(Code.INTERNAL))

    def _told_as(self, failure: Refusal | UpstreamFailed) -> Refusal | UpstreamFailed:
        """Return what ``failure`` amounts to: a refusal, as long as no response was told."""
        if self._is_head_told:
            is_known = isinstance(failure, UpstreamFailed)
            return failure if is_known else UpstreamFailed(f"the call broke off: {failure}")
        if isinstance(failure, UpstreamFailed):
            return peer_failed(failure, self._call.method, peer_name(self._call.contact))
        return failure

    def _end(self) -> None:
        """Refer to nobody any more."""
        self._is_over = True
        self._let_go()
        self._receiver = _NOBODY
        self._failure = None

    def _tell_piece(self, piece: bytes, *, ends: bool) -> None:
        """Tell a piece of the response; behind the last one it is over."""
        receiver = self._receiver
        if ends:
            self._end()
        receiver.content_received(piece, ends=ends)

    def _tell_failure(self) -> None:
        """Tell it, if there is one and nothing of the response is before it."""
        failure, receiver = self._failure, self._receiver
        if failure is not None and not self._is_paused and not self._is_over:
            self._end()
            receiver.exchange_failed(failure)

    def _drop_lower(self) -> None:
        lower, self._lower = self._lower, None
        if lower is not None:
            lower.finish()

    # What the two kinds say.

    @abstractmethod
    def _tell(self) -> None:
        """Tell what there is, unless paused: the response, or the failure."""

    @abstractmethod
    def _let_go(self) -> None:
        """End the present try, and all that belongs to it. A second call does nothing."""


class _Nobody:
    """Who is told of a call that is over."""

    def interim_received(self, status: int, fields: Fields) -> None: ...

    def head_received(self, status: int, fields: Fields) -> None: ...

    def content_received(self, piece: bytes, *, ends: bool) -> None: ...

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None: ...

    def body_invited(self) -> None: ...

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


_NOBODY = _Nobody()
