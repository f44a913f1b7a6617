"""A request at the public listener on its way to its app: all that one of them knows, and its body.

It streams, unless it is signed (held until its digest is proven, ``proxy.inbound.signed_forward``)
or comes in chunks for a server that can't read them (held for its length).
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from proxy.config.apps import App
from proxy.core.gate import Admission, Request
from proxy.core.http.forwarded import (
    ForwardedChain,
    RemotePeer,
    is_confidential,
    read_forwarded_chain,
)
from proxy.core.http.headers import Field, Fields, indexed
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.http1.grammar import RequestHead
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.core.websocket.handshake import Handshake, asks_for_websocket, read_handshake
from proxy.http.asgi_handler import AsgiHandler
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamExchange, UpstreamRequest
from proxy.inbound.app_request import EMPTY
from proxy.inbound.context import InboundContext
from proxy.inbound.signed_forward import SignedForward
from proxy.transfer.body import Stage, refuse_large
from proxy.transfer.body_stages import LimitedBody, ProvenBody
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.client import received_framing
from proxy.transfer.held_body import HeldSender
from proxy.transfer.places import Place
from proxy.transfer.relay import FORGOTTEN, At, Relay
from proxy.transfer.spool import SpoolHolder, fields_of_spooled
from proxy.transfer.websocket import WebSocketRelay

LISTENER = "public"


class RequestForward(Relay):
    """The request's half of an ``InboundRelay``."""

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
        "_remote",
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
        self._context, self._remote = context, remote
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

    def _is_confidential(self) -> bool:
        """Tell whether nobody on the way can have read the request."""
        return self._confidentiality()()

    def _confidentiality(self) -> Callable[[], bool]:
        """Return what tells it, for a thread that may take its time: it keeps no relay alive."""
        portal = self._context.portal
        return partial(
            is_confidential,
            self._remote,
            self._request.fields,
            portal.config.trusted_proxies,
            public=portal.hosts.origin.scheme,
        )

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
        # Else ``body_invited`` does.
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

    def _forget_request(self) -> None:
        """Keep nothing of what was asked for: it has its answer."""
        self._request = FORGOTTEN
        self._admission = self._handshake = self._pending_head = None
        self._own = ()

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

    def _answer_own(self) -> None:
        """Answer in the Portal's own name."""
        raise NotImplementedError
