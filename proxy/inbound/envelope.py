"""An envelope at the receiving side, between the request that carries it and the one inside.

To the outer request it is what serves it, to the inner one the client's end: bytes of an envelope
come in here and leave as the body of the request in it; the response is sealed on its way back
(``proxy.inbound.sealed_downstream``).

    state     what happens                       next state
    KEY       the first byte: a known key        HEAD
    KEY       ... that nobody here knows         LOOK
    LOOK      the disk was looked at, or too     HEAD
              slow; the outer request is paused
    HEAD      nothing opens                      OVER     refused in plain, elsewhere
    HEAD      it opens, and breaks               REFUSED  under seal, from here
    HEAD      the inner head                     BODY     or FRAMING, if nobody can tell yet
    FRAMING   content, the end, a failure, time  BODY     a handler serves the inner request
    BODY      the end or a failure was told, or  TOLD
              that the client left
    any       ``finish``                         OVER

Each piece was authenticated, but that the message is whole is known only at its end. From the
first chunk that opened, whatever is said to the sender is sealed: who watches can't tell a refusal
from an app's response.
Source: docs/protocol.md, section 5; RFC 9458; RFC 9540.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from proxy.core.binary_http.message import RequestHead
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.headers import Field
from proxy.core.http.problem import refusal_response
from proxy.core.http1.framing import IN_CHUNKS, bodiless
from proxy.core.log_line import BROKEN, LEFT, RequestLine
from proxy.core.sealing.envelope import is_sealed_request
from proxy.http.downstream import Downstream, RequestHandler
from proxy.inbound.key_look import AwaitedLook, KeyLook
from proxy.inbound.opened_request import OpenedRequest, mistake
from proxy.inbound.sealed_downstream import SealedDownstream
from proxy.portal import Portal
from proxy.transfer.body import BODY_WAIT, refuse_large

ENVELOPE_FACTOR, ENVELOPE_MORE = 32, 2 * 1024 * 1024
"""How large an envelope may be: so many times a body, and so many bytes for its head.

A chunk costs up to 19 bytes more than it holds, and a sender may seal single bytes. Without a limit
there would be padding, or empty chunks, without an end.
"""

OnOpened = Callable[[Request, Field | None], RequestHandler]
"""Begins to serve the inner request: its head, and how its body is framed (None: it has none)."""


@runtime_checkable
class OpenedHandler(RequestHandler, Protocol):
    """What serves a request from an envelope, which may break while its body comes."""

    def body_failed(self, refusal: Refusal) -> None:
        """Take note that no more of the body comes, and why; what had come was told before.

        The sender can still be answered. It is told in the body's place: not while paused, and
        nothing of the body follows it.
        """


class _At(Enum):
    KEY = auto()
    LOOK = auto()
    HEAD = auto()
    FRAMING = auto()
    BODY = auto()
    TOLD = auto()
    REFUSED = auto()
    OVER = auto()


class Envelope(SealedDownstream):
    """One envelope: the outer request's ``RequestHandler``, and the inner one's ``Downstream``.

    One of three is called, once, never from within ``begin``: ``on_opened`` with the inner request;
    ``on_refused`` where nothing could be opened, and ``outer`` is its owner's again; ``on_over``
    where no inner request is served, since it was refused under seal or the client left, which
    ``line`` tells by then. Behind ``on_opened`` and ``on_over``, ``finish`` is still due, and ends
    ``outer`` too.

    What ``on_opened`` returns is told what any handler is, and ``body_failed`` (``OpenedHandler``);
    one that has no such method is told that the client left. The end of the body is told in any
    case, also where there is none. ``on_opened`` may send, resume and finish.
    """

    __slots__ = (
        "_at", "_handler", "_is_outer_paused", "_is_paused", "_is_telling", "_key_look", "_line",
        "_look", "_on_opened", "_on_over", "_on_refused", "_portal", "_soon", "_timer", "_unopened",
    )  # fmt: skip

    def __init__(
        self,
        portal: Portal,
        key_look: KeyLook,
        outer: Downstream,
        line: RequestLine,
        *,
        on_opened: OnOpened,
        on_refused: Callable[[Refusal], None],
        on_over: Callable[[], None],
    ) -> None:
        self._portal = portal
        self._key_look = key_look
        self._outer = outer
        self._line = line
        self._on_opened: OnOpened | None = on_opened
        self._on_refused: Callable[[Refusal], None] | None = on_refused
        self._on_over: Callable[[], None] | None = on_over
        self._opened = OpenedRequest(portal.sealing.find)
        self._response = None
        self._handler: RequestHandler | None = None
        self._at = _At.KEY
        self._look: AwaitedLook | None = None
        self._unopened = b"", False
        """What came first, and whether that is all, while the key is looked for."""
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        """What was opened is told soon, not from within ``resume``."""
        self._is_paused = True
        self._is_outer_paused = False
        self._is_telling = False
        self._is_gone = False

    def begin(self, request: Request, framing: Field | None) -> None:
        """Ask for the envelope that ``request`` brings, framed as received; raises ``Refusal``."""
        if not is_sealed_request(request.fields):
            raise Refusal(Code.NOT_AN_ENVELOPE, "no message/ohttp-chunked-req")
        if "sealed" not in self._portal.modes:
            raise Refusal(Code.MODE_NOT_ACCEPTED, "sealed")
        most = ENVELOPE_FACTOR * self._portal.config.limits.body + ENVELOPE_MORE
        refuse_large(framing, most)
        if framing is None:
            raise Refusal(Code.SEALING_KEY_UNKNOWN, "a request without a body")
        if framing[0] != b"content-length":  # whoever reads the others holds them to their length
            self._opened.limit(most)
        self._outer.hand_over(self)
        self._outer.invite()
        self._outer.resume()

    # What the outer request tells.

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the envelope."""
        if self._is_gone:
            return
        if self._at is _At.KEY and piece:
            # The first byte is the key's ID.
            if self._portal.sealing.find(piece[0]) is None:
                self._at = _At.LOOK
                self._unopened = piece, ends
                if not ends:
                    self._is_outer_paused = True
                    self._outer.pause()
                self._look = self._key_look.begin(self._key_looked_for)
                return
            self._at = _At.HEAD
        self._open(piece, ends=ends)

    def client_left(self) -> None:
        """Pass it on that the client left; before there is a request inside, all is over."""
        if self._is_gone:
            return
        self._is_gone = True
        if self._at is _At.BODY:
            self._at = _At.TOLD
        if self._handler is not None:
            self._handler.client_left()
        else:
            self._line.outcome = LEFT
            self._be_over()

    def pause_response(self) -> None:
        """Pass it on that the client takes no more."""
        if self._handler is not None:
            self._handler.pause_response()

    def resume_response(self) -> None:
        """Go on sending what is left of the end, or have the handler go on."""
        if self._response is not None and self._response.is_ending:
            self._response.send_on()
            if self.is_blocked:
                return
        if self._handler is not None:
            self._handler.resume_response()
        elif self._at is _At.REFUSED:
            self._be_over()

    def stop(self) -> None:
        """Do nothing: no envelope leaves HTTP."""

    def is_place_short(self) -> bool:
        """Tell whether others wait for the place of the request inside."""
        return self._handler is not None and self._handler.is_place_short()

    # Opening.

    def _key_looked_for(self) -> None:
        self._look = None
        self._at = _At.HEAD
        (piece, ends), self._unopened = self._unopened, (b"", False)
        self._open(piece, ends=ends)

    def _open(self, piece: bytes, *, ends: bool) -> None:
        """Open a piece of the envelope, and go on with what it holds."""
        opened = self._opened
        if not opened.is_opening:
            return
        opened.feed(piece, ends=ends)
        if opened.failure is not None and not (ends or self._is_outer_paused):
            self._is_outer_paused = True
            self._outer.pause()
        if self._at is _At.BODY:
            self._tell()
        elif opened.head is not None:
            self._frame(opened.head)
        elif opened.failure is None:
            self._regulate()
        elif opened.has_opened:
            self._refuse(opened.failure)
        else:
            self._give_up(opened.failure)

    def _frame(self, head: RequestHead) -> None:
        """Find out how the body is framed, and have the request served."""
        opened = self._opened
        if opened.length is not None:
            self._serve(head, (b"content-length", opened.length))
        elif opened.has_body or opened.failure is not None:
            self._serve(head, IN_CHUNKS)  # of a failure hears who reads on
        elif opened.is_whole:
            self._serve(head, None)
        else:
            if self._at is not _At.FRAMING:
                self._at = _At.FRAMING
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(BODY_WAIT, self._serve, head, IN_CHUNKS)
            self._regulate()

    def _serve(self, head: RequestHead, framing: Field | None) -> None:
        """Have the request inside served."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at = _At.BODY
        line = self._line
        line.method, line.host, line.target = head.method, head.authority, head.target
        request = Request(head.method, head.target, self._opened.fields, self._opened.enc)
        on_opened, self._on_opened = self._on_opened, None
        if on_opened is None:
            return
        try:
            handler = on_opened(request, framing)
        except Exception as error:  # noqa: BLE001 - it is told inside the envelope too
            refusal, self._handler = mistake(error), None
            if self._response is None:
                self._refuse(refusal)
            else:
                self._line.outcome = BROKEN
                self._outer.break_off()
                self._be_over()
            return
        self._on_refused = self._on_over = None
        if self._at is _At.BODY:
            self._handler = self._handler or handler
            self._tell()

    def _tell(self) -> None:
        """Tell the handler what there is, in its order, as far as it isn't paused."""
        self._soon = None
        if self._is_telling:
            return
        self._is_telling = True
        opened = self._opened
        while self._at is _At.BODY and not self._is_paused and self._handler is not None:
            handler, piece = self._handler, opened.take()
            if opened.is_whole:
                self._at = _At.TOLD
                handler.body_received(piece, ends=True)
            elif piece:
                handler.body_received(piece, ends=False)
            elif opened.failure is not None:
                self._at = _At.TOLD
                if isinstance(handler, OpenedHandler):
                    handler.body_failed(opened.failure)
                else:
                    self._is_gone = True
                    handler.client_left()
            else:
                break
        self._is_telling = False
        self._regulate()

    def _regulate(self) -> None:
        """Have the outer request paused while whoever gets the body takes no more."""
        if self._is_gone or not self._opened.is_opening:
            return
        is_paused = self._is_paused and self._at is _At.BODY
        if is_paused is not self._is_outer_paused:
            self._is_outer_paused = is_paused
            if is_paused:
                self._outer.pause()
            else:
                self._outer.resume()

    # What whoever serves the request inside calls of the way in.

    def pause(self) -> None:
        """Pass no more of the body on."""
        self._is_paused = True
        self._regulate()

    def resume(self) -> None:
        """Pass the body on: soon what is there already."""
        if not self._is_paused:
            return
        self._is_paused = False
        if self._at is not _At.BODY or self._handler is None or self._is_telling:
            return
        if self._opened.is_opening and not self._opened.has_body:
            self._regulate()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._tell)

    def invite(self) -> None:
        """Do nothing: the body is in the envelope, which was asked for."""

    def hand_over(self, handler: RequestHandler) -> None:
        """Tell another handler from now on."""
        if self._at is not _At.OVER:
            self._handler = handler

    def finish(self) -> None:
        """End it, and the outer request with it."""
        if self._at is _At.OVER:
            return
        self._at = _At.OVER
        self._drop()
        self._outer.finish()

    # Ends.

    def _refuse(self, refusal: Refusal) -> None:
        """Answer under seal that the request inside isn't served."""
        if self._is_gone:
            return
        self._at = _At.REFUSED
        self._line.refuse(refusal)
        response = refusal_response(refusal)
        length = (b"content-length", b"%d" % len(response.body))
        self.send_head(response.status, (*response.fields, length))
        is_bodiless = bodiless(self._opened.method, response.status)
        self.send(b"" if is_bodiless else response.body, ends=True)
        if not self.is_blocked:
            self._be_over()

    def _give_up(self, refusal: Refusal) -> None:
        """Have it refused in plain: nothing opened."""
        on_refused = self._on_refused
        self._drop()
        self._at = _At.OVER
        if on_refused is not None:
            on_refused(refusal)

    def _be_over(self) -> None:
        """Tell that no request inside is served, and none will be."""
        on_over = self._on_over
        self._drop()
        if on_over is not None:
            on_over()

    def _drop(self) -> None:
        """Wait for nothing, and hold nothing."""
        self._is_gone = True
        for waiting in (self._look, self._timer, self._soon):
            if waiting is not None:
                waiting.cancel()
        self._look = self._timer = self._soon = None
        self._handler = self._on_opened = self._on_refused = self._on_over = None
        self._unopened = b"", False
        if self._response is not None:
            self._response.drop()
            self._response = None
