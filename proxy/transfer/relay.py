"""One request on its way from a client to an app or a peer, and the response on its way back.

A relay stands between a ``Downstream`` and an ``UpstreamExchange`` and is driven by what they tell.
Neither waits for it, and it waits for neither: whoever can't take more pauses the other one.

    state      what happens                       next state
    DECIDING   the request is judged, or waited   ASKING, DELIVERING
               for: nothing of its body passes
    ASKING     it was sent; its body passes       ANSWERING
    ANSWERING  the response has begun and passes  DELIVERING
    DELIVERING all was sent; the client's side    OVER
               of the socket hasn't all of it
    any        the client left, a failure, an     OVER, or DELIVERING where a refusal can be told
               end by the proxy

Bodies pass through ``_up`` and ``_down``: a stage takes pieces and passes on what may go on. What
goes wrong anywhere, be it raised or told, comes to ``fail``; whatever happens, the relay ends once,
in ``_end``.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from functools import partial
from time import perf_counter
from typing import Any, Literal, Protocol, TypeVar, get_args

from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Field, Fields
from proxy.core.http.problem import Response
from proxy.core.http1.framing import NO_BODY, bodiless
from proxy.core.http1.grammar import RequestHead
from proxy.core.log_line import BROKEN, LEFT, REVOKED, RequestLine
from proxy.core.revocation import Subject
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamExchange, UpstreamFailed
from proxy.transfer.access_log import begin_line, write_line
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.body import ClientLeft, Stage, nowhere

_Result = TypeVar("_Result")
Kind = Literal["request", "stream", "websocket"]
"""What something that runs is: it waits for its response, is answered, or is a WebSocket."""
KINDS: tuple[Kind, ...] = get_args(Kind)

FORGOTTEN = Request(b"", b"", ())
"""Stands where a request was that has its answer: a body or a WebSocket may go on for days."""

log = logging.getLogger("proxy")


class Closable(Protocol):
    """What a relay holds to its end."""

    def close(self) -> None:
        """Let go, and call nothing any more."""


class At(Enum):
    """Where a relay is."""

    DECIDING = auto()
    ASKING = auto()
    ANSWERING = auto()
    DELIVERING = auto()
    OVER = auto()


_DECIDING, _ANSWERING, _DELIVERING, _OVER = At.DECIDING, At.ANSWERING, At.DELIVERING, At.OVER
"""CPython 3.11 takes as long for ``At.OVER`` as for a call."""


class Relay:
    """What every relay has in common: a ``RequestHandler``, and a ``ResponseReceiver``.

    ``begin`` it once. Who inherits from it decides in ``_decide`` what becomes of the request,
    takes the response in ``_head``, and tells the client of a refusal in ``_refuse``.
    """

    __slots__ = (
        "_active", "_at", "_began", "_client", "_closables", "_down", "_exchange",
        "_head_of_request", "_is_failing", "_outer", "_subject", "_up", "_waiting", "line",
    )  # fmt: skip

    def __init__(
        self, listener: str, head: RequestHead, remote: RemotePeer, client: Downstream
    ) -> None:
        self.line: RequestLine = begin_line(listener, head, remote)
        self._began = perf_counter()
        self._head_of_request: RequestHead | None = head
        self._outer = client
        """The client's own end, of an envelope that it sent."""
        self._client = client
        self._at = _DECIDING
        self._exchange: UpstreamExchange | None = None
        self._up: Stage | None = None
        self._down: Stage | None = None
        """None passes the response on as it comes."""
        self._waiting: asyncio.Task[Any] | None = None
        self._closables: list[Closable] | None = None
        self._active: ActiveRequests | None = None
        self._subject: Subject | None = None
        self._is_failing = False

    def begin(self) -> None:
        """Begin to serve the request; raises nothing."""
        try:
            self._decide()
        except Exception as error:  # noqa: BLE001 - it is told, and logged where it is ours
            self.fail(error)

    # What who inherits from it says.

    def _decide(self) -> None:
        raise NotImplementedError

    def _head(self, status: int, fields: Fields) -> None:
        """Take the response's head."""
        raise NotImplementedError

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal; no response has begun."""
        raise NotImplementedError

    def _count(self, line: RequestLine) -> None:
        """Count the request, which is over, among all others."""

    def _refusal_of(self, failure: UpstreamFailed) -> Refusal:
        """Return what a failure of the other side is told as."""
        raise NotImplementedError

    def _refusal_of_revoked(self, reason: Refusal) -> Refusal:
        """Return what is told where access was taken away before a response had begun."""
        return Refusal(reason.code, reason.detail)

    # What the client's end tells.

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        """Pass on a piece of the request's body."""
        up = self._up
        if up is None:
            return
        try:
            up(piece, ends=ends)
        except Exception as error:  # noqa: BLE001 - as in begin
            self.fail(error)

    def client_left(self) -> None:
        """End it: nobody waits for it any more."""
        if self._at is not _OVER:
            self.line.outcome = self.line.outcome or LEFT
            self._end()

    def pause_response(self) -> None:
        """Take no more of the response for now."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume_response(self) -> None:
        """Go on with the response, or end it once it is delivered."""
        if self._at is _DELIVERING:
            if not self._client.is_blocked:
                self._end()
        elif self._exchange is not None:
            self._exchange.resume()

    def stop(self) -> None:
        """Do nothing: a request is served to its end."""

    def is_place_short(self) -> bool:
        """Tell whether others wait for this request's place."""
        return False

    @property
    def runs_as(self) -> Kind:
        """What it is just now."""
        return "request" if self.line.first is None else "stream"

    # What the other side tells.

    def interim_received(self, status: int, fields: Fields) -> None:
        """Drop an interim response."""

    def head_received(self, status: int, fields: Fields) -> None:
        """Take the response's head."""
        try:
            self._head(status, fields)
        except Exception as error:  # noqa: BLE001 - as in begin
            self.fail(error)

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Pass on a piece of the response's content."""
        down = self._down
        try:
            if down is None:
                self._send(piece, ends=ends)
            else:
                down(piece, ends=ends)
        except Exception as error:  # noqa: BLE001 - as in begin
            self.fail(error)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """End it with what went wrong."""
        self.fail(failure)

    def body_invited(self) -> None:
        """Ask the client for the body."""
        self._client.invite()

    def pause_body(self) -> None:
        """Take no more of the request's body for now."""
        self._client.pause()

    def resume_body(self) -> None:
        """Go on with the request's body."""
        self._client.resume()

    # What the proxy tells.

    def revoke(self, reason: Refusal) -> None:
        """End it: who asked may not any more. A second call does nothing."""
        if self._at is _OVER or self.line.outcome == REVOKED:
            return
        self.line.outcome, self.line.detail = REVOKED, reason.detail
        if self.line.first is None:
            self._guarded(lambda: self.fail(self._refusal_of_revoked(reason)))
        else:
            _call_anyhow(self._client.break_off)
            self._end()

    # Its own doings.

    def _run(self, active: ActiveRequests, subject: Subject) -> None:
        """Be among what runs from now on, and is revoked where ``subject`` is lost."""
        self._active, self._subject = active, subject
        active.add(subject, self)

    def _guarded(self, do: Callable[[], None]) -> None:
        """Call ``do``, for whoever calls back from elsewhere: what it raises ends the relay."""
        try:
            do()
        except Exception as error:  # noqa: BLE001 - as in begin
            self.fail(error)

    def _pause_if_blocked(self) -> None:
        """Have the response wait where the client took nothing before there was an exchange."""
        if self._exchange is not None and self._client.is_blocked:
            self._exchange.pause()

    def _hold(self, closable: Closable) -> None:
        """Close it at the end, or where the request is refused."""
        if self._closables is None:
            self._closables = []
        self._closables.append(closable)

    def _wait(self, work: Coroutine[Any, Any, _Result], then: Any) -> None:  # noqa: ANN401 - takes a _Result
        """Decide further once ``work`` is done: call ``then`` with its result."""
        self._waiting = task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(partial(self._waited, then))

    def _waited(self, then: Any, done: "asyncio.Task[Any]") -> None:  # noqa: ANN401 - as above
        if done is not self._waiting:
            if not done.cancelled():
                done.exception()  # nobody waits for it any more
            return
        self._waiting = None
        if done.cancelled():
            self.fail(UpstreamFailed("the proxy ends"))
        else:
            self._guarded(lambda: then(done.result()))

    def _send_head(self, status: int, fields: Fields) -> None:
        """Begin the response; where that raises, none has begun."""
        self._at = _ANSWERING
        self._client.send_head(status, fields)
        self._note_head(status)

    def _note_head(self, status: int) -> None:
        """Note in the line that the response begins."""
        self._head_of_request = None
        line = self.line
        line.first = perf_counter() - self._began
        line.status = line.status or status

    def _send(self, piece: bytes, *, ends: bool) -> None:
        """Send a piece of the response to the client."""
        self._client.send(piece, ends=ends)
        if ends:
            self._sent()

    def _sent(self) -> None:
        """End it, or wait until the client's side has all of the response."""
        if self._at is _OVER:
            return
        self._at = _DELIVERING
        if not self._client.is_blocked:
            self._end()
            return
        # Whatever else comes of either side is nobody's: it can't spoil a response that is whole.
        # The rest of the request is read past, for who reads only once it has sent all.
        self._up, self._down = None, nowhere
        self._finish_exchange()
        self._client.resume()

    def _respond(self, response: Response, method: bytes) -> None:
        """Send a response that is all there."""
        fields: Fields = response.fields
        if response.status not in NO_BODY:
            length: Field = (b"content-length", b"%d" % len(response.body))
            fields = (*fields, length)
        self._send_head(response.status, fields)
        self._send(b"" if bodiless(method, response.status) else response.body, ends=True)

    # How it ends.

    def fail(self, error: Exception) -> None:
        """End it with what went wrong: a refusal where one can be told, else a broken response."""
        if not isinstance(error, (Refusal, UpstreamFailed, ClientLeft)):
            log.error("a mistake of our own", exc_info=error)
        error.__traceback__ = None  # its frames hold this relay, and some of them the error
        if self._at is _OVER:
            return
        line = self.line
        if isinstance(error, ClientLeft):
            self.client_left()
        elif line.first is not None:
            self._break(error)
        elif self._is_failing:
            # A refusal that can't be told: whoever has no response from us gets the client's end's.
            line.refuse(Refusal(Code.INTERNAL))
            self._end()
        else:
            self._is_failing = True
            self._let_go()
            try:
                self._refuse(self._as_refusal(error))
            except Exception as mistake:  # noqa: BLE001 - as in begin
                self.fail(mistake)

    def _as_refusal(self, error: Exception) -> Refusal:
        if isinstance(error, UpstreamFailed):
            error = self._refusal_of(error)
        return error if isinstance(error, Refusal) else Refusal(Code.INTERNAL)

    def _break(self, error: Exception) -> None:
        """Break the response off, visibly: a client must not take a part for the whole."""
        line = self.line
        if isinstance(error, Refusal):
            error = UpstreamFailed(f"the request broke off: {error}")
        if isinstance(error, UpstreamFailed):
            line.outcome, line.detail = line.outcome or BROKEN, error.detail
        else:
            line.outcome = line.outcome or BROKEN
        _call_anyhow(self._client.break_off)
        self._end()

    def _let_go(self) -> None:
        """Hold nothing any more that the request needed; raises nothing."""
        self._up, self._down = None, nowhere
        if self._active is not None and self._subject is not None:
            self._active.discard(self._subject, self)
            self._active = None
        waiting, closables = self._waiting, self._closables
        if waiting is not None:
            self._waiting = None
            waiting.cancel()
        self._finish_exchange()
        if closables is not None:
            self._closables = None
            for closable in closables:
                _call_anyhow(closable.close)

    def _finish_exchange(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            _call_anyhow(exchange.finish)

    def _end(self) -> None:
        """End it, whichever way it came to: here, and once."""
        if self._at is _OVER:
            return
        self._at = _OVER
        self._let_go()
        line, outer = self.line, self._outer
        line.bytes_in, line.bytes_out = outer.bytes_in, outer.bytes_out
        line.seconds = perf_counter() - self._began
        self._head_of_request = None
        _call_anyhow(write_line, line)
        _call_anyhow(self._count, line)
        _call_anyhow(self._client.finish)


def _call_anyhow(end: Callable[..., None], *given: object) -> None:
    """Call ``end``. A mistake in it is ours, and keeps nothing else from being given back."""
    try:
        end(*given)
    except Exception:
        log.exception("a mistake of our own")
