"""One request at the apps listener: a call to a peer, or a question about peers.

Nothing of a call's body passes before its exchange takes it: a signed call holds all of it, and a
sealed one may have to look for the peer's document first.
"""

from starlette.types import Message, Scope, Send

from proxy.core.access.call_routes import HostCall, PeerCall, ServicePath
from proxy.core.access.policy import Contact
from proxy.core.access.target import parse_target
from proxy.core.app_fields import fields_of_call
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import (
    Field,
    Fields,
    connection_options,
    indexed,
    refuse_malformed,
)
from proxy.core.http.problem import PEER_REFUSAL_FIELD, refusal_response
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.http1.grammar import RequestHead
from proxy.core.log_line import ANSWERED, RequestLine
from proxy.core.revocation import subject_of_call
from proxy.http.asgi_handler import AsgiHandler
from proxy.http.downstream import Downstream
from proxy.http.scope import connection_scope, http_scope
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.call import Call, CallExchange
from proxy.outbound.context import OutboundContext, required
from proxy.transfer.body import Stage, refuse_large
from proxy.transfer.body_stages import LimitedBody
from proxy.transfer.client import received_framing
from proxy.transfer.failures import unusable
from proxy.transfer.relay import FORGOTTEN, At, Relay

LISTENER = "apps"


class OutboundRelay(Relay):
    """One of them, from its head to its end."""

    __slots__ = ("_call", "_context", "_pages", "_request", "_stage")

    def __init__(
        self, context: OutboundContext, head: RequestHead, remote: RemotePeer, client: Downstream
    ) -> None:
        super().__init__(LISTENER, head, remote, client)
        self._context = context
        self._request = Request(head.method, head.target, indexed(head.fields))
        self._call: CallExchange | None = None
        self._stage: Stage | None = None
        """What takes the call's body."""
        self._pages: AsgiHandler | None = None

    # Deciding.

    def _decide(self) -> None:
        """Find out which app asks, and for what."""
        context, request, line = self._context, self._request, self.line
        refuse_malformed(request.fields)
        app = context.app_of(request)
        line.app = app or ""
        leads_to = context.route(request)
        if isinstance(leads_to, ServicePath):
            self._ask_service(app, leads_to)
        else:
            self._carry_out(required(app, request), leads_to)

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
        self._run(context.portal.active_requests, subject_of_call(app))
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

    # To a peer.

    def _carry_out(self, app: str, leads_to: PeerCall | HostCall) -> None:
        context, request, line, client = self._context, self._request, self.line, self._client
        contact = context.contact(app, leads_to)
        line.peer, line.peer_name, line.mode = contact.id, contact.name, contact.mode
        framing = received_framing(request.fields)
        call = _call_of(request, app, contact, leads_to.target, framing)
        refuse_large(framing, context.limits.body)
        self._run(context.portal.active_requests, subject_of_call(app, contact.id))
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
        return self._context.refusal_of_revoked(self._request, reason)

    def _let_go(self) -> None:
        self._call = self._stage = None
        if self._at is At.OVER:
            self._pages = None
        super()._let_go()


def _call_of(
    request: Request, app: str, contact: Contact, target: bytes, framing: Field | None
) -> Call:
    if b"upgrade" in connection_options(request.fields):
        raise Refusal(Code.UPGRADE_UNSUPPORTED, f"{app} asks for an upgrade")
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
