"""One request at the public listener: judged, forwarded to its app or answered, or refused.

Nothing is decided here: ``proxy.core.gate`` decides, for whatever comes in an envelope too. What
comes sealed, or from a stranger, streams both ways. A signed request and its response are held
whole, since neither may be believed in part (``proxy.inbound.signed_forward``).
"""

import asyncio
import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import partial

from starlette.types import Message, Send

from proxy import portal_paths
from proxy.config.apps import App
from proxy.core.access.policy import Access
from proxy.core.epoch import Epoch
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, RefusedPeer, Request, Unpaired
from proxy.core.http.caching import stored_nowhere
from proxy.core.http.forwarded import ForwardedChain, RemotePeer, read_forwarded_chain
from proxy.core.http.headers import Field, Fields, content_length, indexed, response_for_travel
from proxy.core.http.problem import Response, hint_for, refusal_response, wants_page
from proxy.core.http1.framing import IN_CHUNKS, bodiless
from proxy.core.http1.grammar import RequestHead
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.log_line import ANSWERED, REVOKED, RequestLine
from proxy.core.revocation import revocation_reason, subject_of_request
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.signature.base import NotSignable
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.core.terminals.return_address import PAIR, is_navigation
from proxy.core.websocket.handshake import Handshake, asks_for_websocket, read_handshake
from proxy.http.asgi_handler import AsgiHandler
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamExchange, UpstreamFailed, UpstreamRequest
from proxy.inbound.app_request import EMPTY
from proxy.inbound.context import InboundContext
from proxy.inbound.envelope import Envelope
from proxy.inbound.signed_forward import SignedForward
from proxy.inbound.terminal_session import sent_to_pair, session_cookie
from proxy.transfer.access_log import named
from proxy.transfer.body import RequestPieces, refuse_large
from proxy.transfer.body_stages import LimitedBody, ProvenBody
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.client import Client, received_framing
from proxy.transfer.coalescing import Coalescing
from proxy.transfer.failures import app_failed
from proxy.transfer.held_body import HeldSender
from proxy.transfer.places import Place
from proxy.transfer.relay import At, Kind, Relay, Stage
from proxy.transfer.spool import SpoolHolder, fields_of_spooled
from proxy.transfer.websocket import EVICTED, WebSocketRelay, close_for

LISTENER = "public"
_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})

_ACCESS = {access: access.name.lower() for access in Access}

_ANSWERED = Request(b"", b"", ())


class InboundRelay(Relay):
    """One of them, from its head to its end."""

    __slots__ = (
        "_admission",
        "_app",
        "_chain",
        "_context",
        "_cookie",
        "_framing",
        "_handshake",
        "_own",
        "_pages",
        "_pending_head",
        "_place",
        "_question",
        "_request",
        "_sender",
        "_signed",
        "_socket",
    )

    def __init__(
        self, context: InboundContext, head: RequestHead, remote: RemotePeer, client: Downstream
    ) -> None:
        super().__init__(LISTENER, head, remote, client)
        line, config = self.line, context.portal.config
        self._context = context
        fields = indexed(head.fields)
        self._chain: ForwardedChain = read_forwarded_chain(
            remote,
            fields,
            config.trusted_proxies,
            public=context.portal.hosts.origin.scheme,
            made_id=line.request_id,
        )
        line.client, line.request_id = self._chain.client, self._chain.request_id
        self._request = Request(head.method, head.target, fields)
        self._framing: Field | None = received_framing(fields)
        self._admission: Admission | None = None
        self._app: App | None = None
        self._question: Question | None = None
        """What a signed request asks, as soon as it is known: a refusal is signed for it too."""
        self._place: Place | None = None
        self._cookie: Field | None = None
        self._own: Collection[bytes] = ()
        self._handshake: Handshake | None = None
        self._socket: WebSocketRelay | None = None
        self._signed: SignedForward | None = None
        self._sender: HeldSender | None = None
        self._pages: AsgiHandler | None = None
        self._pending_head: tuple[int, Fields] | None = None

    # Deciding.

    def _decide(self) -> None:
        """Ask the gate; again, in a thread, where that takes time."""
        self.line.mode = "plain" if self._request.seal is None else "sealed"
        now = self._context.portal.clock()
        admission = self._context.admit(self._request, now)
        if admission is not None:
            self._admitted(now, admission)
        else:
            later = self._context.admit_later(self._request, now)
            self._wait(later, partial(self._admitted, now, is_late=True))

    def _admitted(self, now: float, admission: Admission, *, is_late: bool = False) -> None:
        context, line, request = self._context, self.line, self._request
        portal = context.portal
        caller, name, question = admission.caller, admission.app, admission.question
        self._admission, self._question = admission, question
        is_for_us = name is None and question is None
        if is_for_us and _brings_envelope(request, admission):
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
        response = portal_paths.response_for(portal, request.method, admission.target)
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
        if self._question is not None and self._request.seal is None:
            response = self._signed_response(response, self._question)
        self._respond(response, self._request.method)

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

    # On its way to an app.

    def _forward(self, app: App) -> None:
        """Stream the request to its app. ``app`` is as it was when the request was admitted."""
        context, request, admission = self._context, self._request, self._admission
        if admission is None:
            return
        framing = self._framing
        refuse_large(framing, context.limits.body)
        if admission.digests and framing is None:
            # Without a body there is nothing to wait for: its digest is that of no bytes.
            BodyDigest(admission.digests).refuse_mismatch()
        client = self._client
        if client.takes_upgrade and asks_for_websocket(1, request.fields):
            # Only a connection of HTTP/1.1 can be upgraded; elsewhere the fields mean nothing.
            self._handshake = read_handshake(request.method, request.fields)
            framing = None
        self._own = context.responses.own_hosts(request, app.name, self._chain)
        outgoing = context.requests.streamed(
            request, admission, app, self._chain, framing, is_upgrade=self._handshake is not None
        )
        if framing == EMPTY:
            # With the head the app has all of it: first comes the end, and the proof.
            self._up = ProvenBody(
                partial(self._proven_empty, outgoing), BodyDigest(admission.digests)
            ).receive
            client.invite()
            client.resume()
        elif framing == IN_CHUNKS:
            self._find_version(app, outgoing)
        else:
            self._ask(outgoing)

    def _proven_empty(self, outgoing: UpstreamRequest, _: bytes, *, ends: bool) -> None:
        if ends:
            self._up = None
            self._ask(replace(outgoing, streams=False))

    def _find_version(self, app: App, outgoing: UpstreamRequest) -> None:
        """Send chunks to a server that can read them: of HTTP/1.1."""
        minor = app.minor
        if minor is None:
            minor = self._context.upstream.known_minor_version(outgoing)
        if minor is None:
            asking = self._context.upstream.minor_version(outgoing)
            self._wait(asking, partial(self._version_found, outgoing))
        else:
            self._version_found(outgoing, minor)

    def _version_found(self, outgoing: UpstreamRequest, minor: int) -> None:
        if minor:
            self._ask(outgoing)
        else:
            self._spool(outgoing)

    def _spool(self, outgoing: UpstreamRequest) -> None:
        """Hold all of the body, and send it with its length."""
        client = self._client
        spooled = SpoolHolder(
            self._context.spool,
            outgoing.to,
            pause=client.pause,
            resume=client.resume,
            on_held=lambda: self._guarded(partial(self._send_spooled, outgoing, spooled)),
            on_failure=self.fail,
        )
        self._hold(spooled)
        self._up = self._checked(spooled.receive)
        client.invite()
        client.resume()

    def _send_spooled(self, outgoing: UpstreamRequest, spooled: SpoolHolder) -> None:
        self._up = None
        body = spooled.body
        fields = fields_of_spooled(outgoing.fields, body.size)
        exchange = self._begin_exchange(replace(outgoing, fields=fields))
        self._send_from(body, exchange)

    def _send_from(self, body: BufferedBody, exchange: UpstreamExchange) -> None:
        """Send a body that is held; goes on by itself, and with ``resume_body``."""
        send = partial(self._send_to_app, exchange)
        self._sender = HeldSender(body, send, lambda: exchange.is_blocked, self.fail)
        self._hold(self._sender)
        self._sender.go_on()

    def _send_to_app(self, exchange: UpstreamExchange, piece: bytes, *, ends: bool) -> None:
        self._guarded(partial(exchange.send, piece, ends=ends))

    def _ask(self, outgoing: UpstreamRequest) -> None:
        """Send the request to its app, with its body as it comes."""
        exchange = self._begin_exchange(outgoing)
        if not outgoing.streams:
            return
        self._up = self._checked(exchange.send)
        if not any(name == b"expect" for name, _ in outgoing.fields):
            self._client.invite()
        # Else the client's body is asked for when the app asks for it, or a second later; where it
        # comes unasked, it is sent along.
        if not exchange.is_blocked:
            self._client.resume()

    def _begin_exchange(self, outgoing: UpstreamRequest) -> UpstreamExchange:
        self._at = At.ASKING
        self._exchange = exchange = self._context.upstream.begin(outgoing, self)
        self._pause_if_blocked()
        return exchange

    def _checked(self, to: Stage) -> Stage:
        """Return what checks the request's body on its way ``to`` the app."""
        admission = self._admission
        if admission is not None and admission.digests:
            to = ProvenBody(to, BodyDigest(admission.digests)).receive
        if self._framing == IN_CHUNKS:
            to = LimitedBody(to, self._context.limits.body).receive
        return to

    def _forward_signed(self, app: App | None) -> None:
        """Hold a signed request until its digest is proven."""
        if self._admission is None or self._question is None:
            return
        self._signed = SignedForward(
            self._context, self._admission, self._framing, self._client, self.fail
        )
        self._hold(self._signed)
        self._up = self._signed.body_received
        self._app = app
        self._signed.hold(self._signed_is_proven)

    def _signed_is_proven(self) -> None:
        signed, app, admission = self._signed, self._app, self._admission
        self._up = None
        if signed is None or admission is None:
            return
        if app is None:
            self._answer_own()
            return
        outgoing = self._context.requests.buffered(
            self._request, admission, app, self._chain, self._framing, signed.body
        )
        exchange = self._begin_exchange(outgoing)
        if outgoing.streams:
            self._send_from(signed.body, exchange)

    def resume_body(self) -> None:
        """Go on with the request's body."""
        if self._socket is not None:
            self._socket.resume_to_app()
        elif self._sender is not None:  # the request's: there is no other while this is told
            self._sender.go_on()
        else:
            self._client.resume()

    def pause_body(self) -> None:
        """Take no more of the request's body for now."""
        if self._socket is not None:
            self._socket.pause_to_app()
        elif self._sender is None:  # which looks by itself
            self._client.pause()

    # On its way back.

    def interim_received(self, status: int, fields: Fields) -> None:
        """Pass on an interim response, to who can get one."""
        if self._signed is None and self._client.takes_interim and self._handshake is None:
            self._guarded(partial(self._pass_interim_on, status, fields))

    def _pass_interim_on(self, status: int, fields: Fields) -> None:
        passing = self._context.responses.interim(status, fields, self._own)
        self._client.send_interim(status, passing)

    def _head(self, status: int, fields: Fields) -> None:
        """Take the head of the app's response."""
        context, request, admission = self._context, self._request, self._admission
        if admission is None:
            return
        if self._signed is not None and self._exchange is not None:
            self._down = self._signed.response(
                status, fields, self._exchange, partial(self._guarded, self._sign)
            )
            return
        if status == SWITCHING_PROTOCOLS and self._handshake is not None:
            self._switch(admission, fields, self._handshake)
            return
        passing = context.responses.passing(request, admission, status, fields, self._own)
        if bodiless(request.method, status):
            # All of it is there with the head, unless the app breaks off: that can still be told.
            self._pending_head = status, passing
            self._down = self._await_end
            return
        if request.seal is not None:
            size = content_length(passing)
            if size is not None:
                # An app that breaks off meanwhile can be told of: nothing of its response has gone.
                self._pending_head = status, passing
                collecting = Coalescing(size, partial(self._collected, size), to_end=True)
                self._hold(collecting)
                self._down = collecting.add
                return
        self._send_head(status, passing)

    def _await_end(self, piece: bytes, *, ends: bool) -> None:
        del piece
        if ends and self._pending_head is not None:
            self._send_head(*self._pending_head)
            self._send(b"", ends=True)

    def _collected(self, size: int, first: bytes, ends: bool) -> None:  # noqa: FBT001 - OnReleased
        if len(first) > size:
            self.fail(UpstreamFailed("the response is longer than it said"))
        elif self._pending_head is not None:
            self._down = None
            self._guarded(partial(self._send_collected, *self._pending_head, first, ends=ends))

    def _send_collected(self, status: int, fields: Fields, first: bytes, *, ends: bool) -> None:
        self._send_head(status, fields)
        self._send(first, ends=ends)  # b"" too: what is sealed of the head goes then

    def _sign(self) -> None:
        """Send the app's response, which is all there, signed."""
        signed, admission, question = self._signed, self._admission, self._question
        if signed is None or admission is None or question is None or signed.status is None:
            return
        context = self._context
        own = context.responses.own_hosts(self._request, admission.app or "", self._chain)
        to_sign = context.responses.to_sign(
            self._request, admission, signed.status, signed.fields, own
        )
        response = Response(signed.status, to_sign, b"")
        body = signed.their_body
        fields: Fields = context.portal.sign_response(response, body.sha256, question)
        self._finish_exchange()
        if bodiless(self._request.method, signed.status):
            self._send_head(signed.status, fields)
            self._send(b"", ends=True)
            return
        self._send_head(signed.status, (*fields, (b"content-length", b"%d" % body.size)))
        client = self._client
        self._sender = HeldSender(body, self._send_held, lambda: client.is_blocked, self.fail)
        self._hold(self._sender)
        self._sender.go_on()

    def _send_held(self, piece: bytes, *, ends: bool) -> None:
        self._guarded(partial(self._send, piece, ends=ends))

    def resume_response(self) -> None:
        """Go on with the response, or end it once it is delivered."""
        if self._socket is not None:
            self._socket.resume_to_client()
        elif self._at is At.DELIVERING:
            super().resume_response()
        elif self._pages is not None:
            self._pages.resume_response()
        elif self._signed is None:
            super().resume_response()
        elif self._sender is not None and self._at is At.ANSWERING:
            self._sender.go_on()

    def pause_response(self) -> None:
        """Take no more of the response for now."""
        if self._socket is not None:
            self._socket.pause_to_client()
        elif self._signed is None:  # else it is held, and who sends it looks by itself
            super().pause_response()

    def _pause_if_blocked(self) -> None:
        if self._signed is None:
            super()._pause_if_blocked()

    def _send_head(self, status: int, fields: Fields) -> None:
        super()._send_head(status, self._with_cookie(fields))

    def _with_cookie(self, fields: Fields) -> Fields:
        """Add the terminal's cookie, where it is due."""
        return fields if self._cookie is None else [*stored_nowhere(fields), self._cookie]

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
            context.relay_limits, self._own,
        )  # fmt: skip
        self._note_head(SWITCHING_PROTOCOLS)
        self._at = At.ANSWERING
        self._socket = socket
        self._hold(socket)
        self._up, self._down = socket.from_client, socket.from_app
        place.hold_socket(socket, partial(self.revoke, EVICTED))
        socket.fields = self._with_cookie(socket.fields)
        # A WebSocket may last for days: what was asked for has its answer, and isn't kept.
        self._request, self._head_of_request = _ANSWERED, None
        self._admission = self._handshake = None
        self._own = ()
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
        request = self._request
        if request.seal is not None:
            response = refusal_response(refusal)
        elif self._question is not None:
            response = self._signed_response(refusal_response(refusal), self._question)
        elif isinstance(refusal, Unpaired) and is_navigation(request.method, request.fields):
            response = sent_to_pair(refusal, self.line.request_id)
            self.line.status = response.status
        else:
            page = wants_page(request.method, request.fields)
            response = refusal_response(
                refusal,
                page=page,
                request_id=self.line.request_id,
                hint=hint_for(refusal, request.fields) if page else "",
            )
        self._respond(response, request.method)

    def _signed_response(self, response: Response, question: Question) -> Response:
        """Return a response of our own, signed.

        A proof that it has of its own, as the identity document does, makes way for the one that
        answers this question. A question that no honest sender asks (it covers what isn't there)
        can't be signed for, and gets the response as it is.
        """
        bare_fields = response_for_travel([f for f in response.fields if f[0] not in _PROOF])
        bare = replace(response, fields=tuple(bare_fields))
        body = b"" if self._request.method == b"HEAD" else response.body
        digest = hashlib.sha256(body).digest()
        try:
            fields = self._context.portal.sign_response(bare, digest, question)
        except NotSignable:
            return response
        return replace(response, fields=fields)


def _brings_envelope(request: Request, admission: Admission) -> bool:
    """Tell whether a stranger's request for the Portal brings an envelope; in one there is none."""
    return request.method == b"POST" and admission.target.path == GATEWAY
