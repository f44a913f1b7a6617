"""One request at the public listener: judged, forwarded to its app or answered, or refused.

Nothing is decided here: ``proxy.core.gate`` decides, for whatever comes in an envelope too. What
comes sealed, or from a stranger, streams both ways. A signed request and its response are held
whole, since neither may be believed in part (``proxy.inbound.signed_forward``).

The way to the app and the way back are the halves that it is made of: ``RequestForward`` and
``ResponseForward``.
"""

import asyncio
from functools import partial

from starlette.types import Message, Send

from proxy import portal_paths
from proxy.core.access.policy import Access
from proxy.core.devices import ExposedToken
from proxy.core.epoch import Epoch
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, RefusedPeer, Request, brings_envelope
from proxy.core.http.headers import Field, Fields
from proxy.core.http.problem import Response
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.log_line import ANSWERED, REVOKED, RequestLine
from proxy.core.revocation import revocation_reason, subject_of_request
from proxy.core.terminals.return_address import PAIR
from proxy.core.websocket.handshake import Handshake, asks_for_websocket, read_handshake
from proxy.http.asgi_handler import AsgiHandler
from proxy.http.upstream import UpstreamFailed
from proxy.inbound.envelope import Envelope
from proxy.inbound.refusals import signed_response, told_refusal
from proxy.inbound.response_forward import ResponseForward
from proxy.inbound.terminal_session import session_cookie
from proxy.transfer.access_log import named
from proxy.transfer.body import RequestPieces, refuse_large
from proxy.transfer.client import Client
from proxy.transfer.failures import app_failed
from proxy.transfer.relay import At, Kind
from proxy.transfer.websocket import EVICTED, WebSocketRelay, close_for

_ACCESS = {access: access.name.lower() for access in Access}


class InboundRelay(ResponseForward):
    """One of them, from its head to its end."""

    __slots__ = ()

    # Deciding.

    def _decide(self) -> None:
        """Ask the gate; again, in a thread, where that takes time."""
        self.line.mode = "plain" if self._request.seal is None else "sealed"
        now = self._context.portal.clock()
        rates = self._context.rates.of(self._chain.client)
        admission = self._context.admit(self._request, now, rates, self._is_confidential)
        if admission is not None:
            self._admitted(now, admission)
        else:
            is_confidential = self._confidentiality()
            later = self._context.admit_later(self._request, now, rates, is_confidential)
            self._wait(later, partial(self._admitted, now, is_late=True))

    def _admitted(self, now: float, admission: Admission, *, is_late: bool = False) -> None:
        context, line, request = self._context, self.line, self._request
        portal = context.portal
        caller, name, question = admission.caller, admission.app, admission.question
        self._admission, self._question = admission, question
        is_for_us = name is None and question is None
        if is_for_us and brings_envelope(request, name, admission.target):
            line.mode = "sealed"
            self._open_envelope()
            return
        # Looked up at once: later, the rules and the address could be of two moments.
        app = portal.apps.get(name) if name is not None else None
        line.caller, line.app = caller, name or ""
        if admission.rule is not None:
            line.rule, line.access = admission.rule.prefix, _ACCESS[admission.rule.access]
        if caller.type == "terminal":
            self._cookie = session_cookie(portal, request, admission, now)
        if is_for_us and admission.target.path == PAIR:  # to a Portal there is no such page
            self._serve_pairing_page(admission)
            return
        if question is not None and request.seal is None:
            line.mode = "signed"
        subject = subject_of_request(caller, name)
        self._run(portal.active_requests, subject)
        if is_late and (lost := revocation_reason(subject, portal.context, portal.clock())):
            self.revoke(lost)  # what it depends on went while it waited
            return
        place = context.places.of(caller, line.app, self._chain.client)
        place.take()
        self._place = place
        self._hold(place)
        if line.mode == "signed":
            self._forward_signed(app)
        elif app is None:
            refuse_large(self._framing, context.limits.body)
            self._answer_own()
        else:
            self._app = app
            self._forward(app)

    # What comes in an envelope.

    def _open_envelope(self) -> None:
        envelope = Envelope(
            self._context.portal,
            self._context.key_look,
            self._client,
            self.line,
            on_opened=self._opened,
            on_refused=self._unopened,
            on_over=self._refused_under_seal,
        )
        envelope.begin(self._request, self._framing)
        self._client = envelope  # not before: what it doesn't begin is refused in plain

    def _opened(self, request: Request, framing: Field | None) -> "InboundRelay":
        """Judge the request that was in the envelope, as any other."""
        self._request, self._framing = request, framing
        self._admission = self._question = None
        self.begin()
        return self

    def _refused_under_seal(self) -> None:
        if self.line.code:
            self._note_head(self.line.status)
        self._end()

    def _unopened(self, refusal: Refusal) -> None:
        self._client = self._outer
        self._outer.hand_over(self)
        self.fail(refusal)

    def body_failed(self, refusal: Refusal) -> None:
        """Refuse what came in an envelope that broke while its body came."""
        self.fail(refusal)

    # The Portal's own pages.

    def _answer_own(self) -> None:
        admission, request, portal = self._admission, self._request, self._context.portal
        if admission is None:
            return
        if self._client.takes_upgrade and asks_for_websocket(1, request.fields):
            # There are none here, but a handshake that a web server spoiled is told as one.
            read_handshake(request.method, request.fields)
        response = portal_paths.response_for(
            portal, request.method, admission.target, admission.caller
        )
        if self._question is None:
            self._respond(response, request.method)
        elif request.seal is not None and self._framing is not None:
            # A peer that asks with a body asks whether all of it comes through.
            self._up = self._checked(partial(self._read_past, response))
            self._client.invite()
            self._client.resume()
        else:
            self._answer_peer(response)

    def _read_past(self, response: Response, piece: bytes, *, ends: bool) -> None:
        del piece
        if ends:
            self._up = None
            self._answer_peer(response)

    def _answer_peer(self, response: Response) -> None:
        """Answer a peer, as late as it asks for."""
        admission = self._admission
        seconds = 0 if admission is None else portal_paths.wait_asked(admission.fields)
        if seconds:
            self._wait(asyncio.sleep(seconds), lambda _: self._tell_peer(response))
        else:
            self._tell_peer(response)

    def _tell_peer(self, response: Response) -> None:
        portal, request = self._context.portal, self._request
        if self._question is not None and request.seal is None:
            response = signed_response(portal, request, response, self._question)
        self._respond(response, request.method)

    def _serve_pairing_page(self, admission: Admission) -> None:
        """Have the page served: it waits for its form, and for the disk."""
        self._pages = pages = AsgiHandler(self._client, {"state": {}})
        client = Client(
            RequestPieces(pages.receive), self._page_sender(pages), self._chain, self.line
        )
        self._up = pages.body_received
        serving = self._context.pairing.serve(self._request, admission, client)
        self._wait(serving, self._served)

    def _page_sender(self, pages: AsgiHandler) -> Send:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note_head(message["status"])
                message = {**message, "headers": self._with_cookie(message["headers"])}
            await pages.send(message)

        return send

    def _served(self, _: None) -> None:
        self._end()

    # A WebSocket.

    @property
    def runs_as(self) -> Kind:
        """What it is just now; a WebSocket once the app has agreed to one."""
        return super().runs_as if self._socket is None else "websocket"

    def _switch(self, admission: Admission, fields: Fields, handshake: Handshake) -> None:
        context, exchange, place = self._context, self._exchange, self._place
        if exchange is None or place is None:
            return
        context.responses.tell_of_cookies(admission, fields, self._own)
        # A false 101 fails here, while the client can still be told.
        socket = WebSocketRelay(
            handshake, fields, self._client, exchange, named(self._request),
            context.websocket_limits, self._own,
        )  # fmt: skip
        self._note_head(SWITCHING_PROTOCOLS)
        self._at = At.ANSWERING
        self._socket = socket
        self._hold(socket)
        self._up, self._down = socket.from_client, socket.from_app
        place.hold_socket(socket, partial(self.revoke, EVICTED))
        socket.fields = self._with_cookie(socket.fields)
        self._forget_request()
        socket.begin(self._socket_is_over)

    def _socket_is_over(self, failure: Exception | None) -> None:
        if failure is not None:
            self.fail(failure)
        else:
            self._end()

    def stop(self) -> None:
        """Have a WebSocket closed: the server is about to end."""
        if self._socket is not None:
            self._guarded(self._socket.stop)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """End it with what went wrong; a WebSocket knows whether it was the end."""
        if self._socket is not None:
            self._guarded(partial(self._socket.app_failed, failure))
        else:
            self.fail(failure)

    def revoke(self, reason: Refusal) -> None:
        """End it: who asked may not any more."""
        socket = self._socket
        if socket is None or self._at is At.OVER:
            super().revoke(reason)
        elif self.line.outcome != REVOKED:
            self.line.outcome, self.line.detail = REVOKED, reason.detail
            self._guarded(partial(self._close_revoked, socket, reason.code))
            self._end()

    def _close_revoked(self, socket: WebSocketRelay, code: Code) -> None:
        # Told in WebSocket's own words, the end is a proper one, and nothing is broken off.
        if not socket.revoke(close_for(code)):
            self._client.break_off()

    # Refusing.

    def is_place_short(self) -> bool:
        """Tell whether others wait for this request's place."""
        return self._place is not None and self._place.is_short()

    def _refusal_of(self, failure: UpstreamFailed) -> Refusal:
        return app_failed(failure)

    def _count(self, line: RequestLine) -> None:
        portal, caller = self._context.portal, line.caller
        portal.requests.count(line)
        if caller is not None and caller.type == "peer":
            answered = line.outcome == ANSWERED
            portal.last_calls.came(caller.id, portal.clock(), answered=answered)

    def _refuse(self, refusal: Refusal) -> None:
        if isinstance(refusal, ExposedToken):
            self._context.portal.terminals.exposed(refusal.terminal_id)
        if isinstance(refusal, RefusedPeer):
            self._question = refusal.question
            self.line.mode = "sealed" if self._request.seal is not None else "signed"
        self.line.refuse(refusal)
        if refusal.code is not Code.OUT_OF_TIME:
            self._tell_refusal(refusal)
        elif epoch := self._context.portal.replays.told(self._context.portal.clock()):
            self._tell_epoch(refusal, epoch)
        else:
            self._wait(self._context.epoch_looked_for(), partial(self._tell_epoch, refusal))

    def _tell_epoch(self, refusal: Refusal, epoch: Epoch | None) -> None:
        """Have the refusal tell the epoch as well: one more try then suffices."""
        refusal.epoch = epoch
        self._tell_refusal(refusal)

    def _tell_refusal(self, refusal: Refusal) -> None:
        portal, request = self._context.portal, self._request
        response = told_refusal(portal, request, self._question, refusal, self.line)
        self._respond(response, request.method)
