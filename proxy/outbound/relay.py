"""One request at the apps listener: a call to a peer, or a question about peers.

Nothing of a call's body passes before its exchange takes it: a signed call holds all of it, and a
sealed one may have to look for the peer's document first.
"""

from dataclasses import replace
from functools import partial

from starlette.types import Message, Scope, Send

from proxy.core.access.call_routes import (
    HostCall,
    PeerCall,
    Route,
    ServicePath,
    TunnelCall,
    path_prefix,
)
from proxy.core.access.destination_header import FIELD as DESTINATION
from proxy.core.access.destination_header import without_port
from proxy.core.access.policy import Contact
from proxy.core.access.target import parse_target
from proxy.core.app_fields import fields_of_call
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.call_references import CallForm, PathForm, ProxyForm, followable
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import (
    Field,
    Fields,
    indexed,
    refuse_malformed,
    values_of,
)
from proxy.core.http.listener_reference import CallersListener
from proxy.core.http.origin import Origin
from proxy.core.http.problem import PEER_REFUSAL_FIELD, refusal_response
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.http1.grammar import RequestHead
from proxy.core.log_line import ANSWERED, RequestLine
from proxy.core.revocation import subject_of_call
from proxy.core.terminals.device_token import shows_device_token
from proxy.core.websocket.handshake import asks_for_websocket
from proxy.http.asgi_handler import AsgiHandler
from proxy.http.downstream import BecomesTunnel, Downstream
from proxy.http.scope import connection_scope, http_scope
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.call import Call, CallExchange
from proxy.outbound.context import OutboundContext, required
from proxy.outbound.tunnels import AppTunnel, credentials_of
from proxy.transfer.body import Stage, refuse_large
from proxy.transfer.body_stages import LimitedBody
from proxy.transfer.client import received_framing
from proxy.transfer.failures import unusable
from proxy.transfer.relay import FORGOTTEN, At, Relay

_NO_PROOF = (
    "A device token is for its own Portal's app, over that one's public address. A call to a peer "
    "needs none."
)


class OutboundRelay(Relay):
    """One of them, from its head to its end."""

    __slots__ = ("_call", "_context", "_form", "_pages", "_request", "_stage", "_tunnel")

    def __init__(
        self,
        context: OutboundContext,
        head: RequestHead,
        remote: RemotePeer,
        client: Downstream,
        tunnel: AppTunnel | None = None,
    ) -> None:
        """``tunnel`` is the one in which it came; None is none."""
        super().__init__(context.listener, head, remote, client)
        self._context = context
        self._tunnel = tunnel
        self._request = Request(head.method, head.target, indexed(head.fields))
        self._call: CallExchange | None = None
        self._form: CallForm | None = None
        """How the call was written, until its response has begun."""
        self._stage: Stage | None = None
        """What takes the call's body."""
        self._pages: AsgiHandler | None = None

    # Deciding.

    def _decide(self) -> None:
        """Find out which app asks, and for what."""
        request = self._request
        refuse_malformed(request.fields)
        app, leads_to = self._asks()
        if isinstance(leads_to, ServicePath):
            self._ask_service(app, leads_to)
        elif isinstance(leads_to, TunnelCall):
            self._open_tunnel(required(app, request), leads_to)
        else:
            self._carry_out(required(app, request), leads_to)

    def _asks(self) -> tuple[str | None, Route | TunnelCall]:
        """Return which app asks, None where no token shows it, and for what."""
        context, request, tunnel = self._context, self._request, self._tunnel
        self.line.app = context.own_app
        app = context.app_of(request) if tunnel is None else context.app_in(tunnel, request)
        self.line.app = app or context.own_app
        return app, context.route(request) if tunnel is None else tunnel.route(request)

    def _take_slot(self, peer: str) -> None:
        # By app and peer: a peer that stalls takes a part of one app's calls, and of no other's.
        app = self.line.app
        self._context.rates.count_call(app, peer)
        slot = self._context.concurrency.of(f"{app} {peer}" if peer else "", app)
        slot.take()
        self._hold(slot)

    # About peers.

    def _ask_service(self, app: str | None, leads_to: ServicePath) -> None:
        """Have the service answer: it perhaps waits for peers."""
        context, head = self._context, self._head_of_request
        path = leads_to.target.partition(b"?")[0].decode("ascii")
        if not path.startswith("/public/"):
            required(app, self._request)
        self._run(context.portal.active_requests, subject_of_call(app, entrance=context.way))
        self._take_slot("")
        if head is None:
            return
        scope = http_scope(head, connection_scope((None, None), "http", {}))
        asked = {**scope, "path": path, "raw_path": path.encode(), "portal.app": app}
        self._pages = pages = AsgiHandler(self._client, asked)
        self._up = pages.body_received
        self._wait(self._serve(asked, pages), self._served)

    async def _serve(self, asked: Scope, pages: AsgiHandler) -> None:
        await self._context.service(asked, pages.receive, self._sender(pages))

    def _sender(self, pages: AsgiHandler) -> Send:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note_head(message["status"])
            await pages.send(message)

        return send

    def _served(self, _: None) -> None:
        self._end()

    # A tunnel.

    def _open_tunnel(self, app: str, to: TunnelCall) -> None:
        """Let the app say on this connection what it has for one host."""
        context, client = self._context, self._client
        context.check_tunnel(app, to)
        if not isinstance(client, BecomesTunnel):
            raise Refusal(Code.METHOD_NOT_ALLOWED, "another server's connection is no tunnel")
        credentials = credentials_of(app, to.host, self._request)
        prepare = partial(OutboundRelay, context)
        client.open_tunnel(AppTunnel(context.tunnels, credentials, prepare))
        self._note_head(200)
        self._sent()

    # To a peer.

    def _carry_out(self, app: str, leads_to: PeerCall | HostCall) -> None:
        context, request, line, client = self._context, self._request, self.line, self._client
        contact = context.contact(app, leads_to)
        line.peer, line.peer_name, line.mode = contact.id, contact.name, contact.mode
        framing = received_framing(request.fields)
        call = _call_of(request, app, contact, leads_to.target, framing)
        if values_of(request.fields, DESTINATION):
            if isinstance(leads_to, PeerCall):
                call = replace(call, fields=context.with_destination_at_peer(request, call))
            call = replace(call, fields=without_port(call.fields, call.origin.host))
        self._form = _form_of(
            leads_to, call.origin, context.listener_of(request, leads_to, contact)
        )
        refuse_large(framing, context.limits.body)
        subject = subject_of_call(app, contact.id, context.way)
        self._run(context.portal.active_requests, subject)
        self._take_slot(contact.id)
        self._at = At.ASKING
        self._call = self._exchange = exchange = context.transports[contact.mode].begin(call, self)
        if client.is_blocked:
            exchange.pause()  # the client took nothing before there was an exchange to pause
        if call.has_body:
            # Where its length is told, whoever reads it holds it to that.
            is_open = framing == IN_CHUNKS
            limited = LimitedBody(exchange.send, context.limits.body) if is_open else None
            self._stage = exchange.send if limited is None else limited.receive
            self._up = self._pass_on
            if not exchange.is_blocked:
                client.invite()
                client.resume()

    def _pass_on(self, piece: bytes, *, ends: bool) -> None:
        """Pass on a piece of the call's body; what is wrong with that ends the call."""
        call, stage = self._call, self._stage
        if call is None or stage is None:
            return
        try:
            stage(piece, ends=ends)
        except Refusal as refusal:
            call.fail(refusal)

    def resume_body(self) -> None:
        """Go on with the call's body, or begin with it."""
        self._client.invite()
        self._client.resume()

    def _head(self, status: int, fields: Fields) -> None:
        form, self._form = self._form, None
        if form is not None:
            fields = followable(fields, form)
        if self._call is not None and (code := self._call.refusal.code):
            self.line.peer_code = code
            if status >= 400:  # noqa: PLR2004 - no other response is a refusal
                fields = (*fields, (PEER_REFUSAL_FIELD, code.encode("ascii")))
        self._send_head(status, fields)
        self._request = FORGOTTEN

    # Both.

    def resume_response(self) -> None:
        """Go on with the response, or end it once it is delivered."""
        if self._pages is not None and self._at is not At.DELIVERING:
            self._pages.resume_response()
        else:
            super().resume_response()

    # Refusing.

    def _refuse(self, refusal: Refusal) -> None:
        self.line.refuse(refusal)
        response = refusal_response(refusal, request_id=self.line.request_id)
        self._respond(response, self._request.method)

    def _count(self, line: RequestLine) -> None:
        portal = self._context.portal
        portal.requests.count(line)
        if line.peer:
            answered = line.outcome == ANSWERED
            portal.last_calls.went(line.peer, portal.clock(), answered=answered)

    def _refusal_of(self, failure: UpstreamFailed) -> Refusal:
        refusal = Refusal(Code.PEER_UNREACHABLE, failure.detail)
        return unusable(refusal, self._request.method)

    def _refusal_of_revoked(self, reason: Refusal) -> Refusal:
        """Return what the same request would get now; perhaps it was carried out already."""
        context, request = self._context, self._request
        try:
            app, leads_to = self._asks()
            if isinstance(leads_to, PeerCall | HostCall):
                context.contact(required(app, request), leads_to)
        except Refusal as refusal:
            reason = refusal
        return unusable(reason, request.method)

    def _let_go(self) -> None:
        self._call = self._stage = self._form = None
        if self._at is At.OVER:
            self._pages = None
            if self._tunnel is not None:
                self._tunnel.finished()
        super()._let_go()


def _call_of(
    request: Request, app: str, contact: Contact, target: bytes, framing: Field | None
) -> Call:
    # Java's client offers h2c with each first request, and goes on where nobody takes it up.
    if asks_for_websocket(1, request.fields):
        raise Refusal(Code.UPGRADE_UNSUPPORTED, f"{app} asks for a WebSocket")
    if values_of(request.fields, b"authorization") and shows_device_token(request.fields):
        raise Refusal(Code.DEVICE_TOKEN_REFUSED, f"{app} would hand it to a peer", hint=_NO_PROOF)
    parse_target(target)
    return Call(
        app=app,
        contact=contact,
        method=request.method,
        target=target,
        fields=fields_of_call(request.fields),
        has_body=framing is not None,
        size=int(framing[1]) if framing and framing[0] == b"content-length" else None,
    )


def _form_of(leads_to: PeerCall | HostCall, app: Origin, listener: CallersListener) -> CallForm:
    if isinstance(leads_to, HostCall):
        return ProxyForm(leads_to.written or leads_to.host.encode("ascii"), app, listener)
    prefix = path_prefix(leads_to.id)
    return PathForm(prefix, leads_to.target, app, listener, is_bare=leads_to.is_bare)
