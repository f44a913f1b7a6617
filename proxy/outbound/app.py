"""The apps listener: this Portal's apps, on their way to the same app on a peer.

An app proves who it is with its token, never by its address, and reaches nothing here but its own
peers. Hidden and unknown peers look alike to it; the log tells the owner which it was.
"""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.core.access.call_routes import HostCall, PeerCall, ServicePath, is_absolute, route
from proxy.core.access.policy import Contact, Mode
from proxy.core.access.target import parse_target
from proxy.core.app_fields import fields_of_call
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.headers import connection_options, refuse_malformed, values_of
from proxy.core.http.problem import refusal_response
from proxy.core.log_line import LEFT, REVOKED, RequestLine
from proxy.core.revocation import subject_of_call
from proxy.http.scope import target_of
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.call import Call, CallTransport
from proxy.portal import Portal
from proxy.state.tokens import TokenStore
from proxy.transfer.access_log import line_of
from proxy.transfer.body import ClientLeft, RequestPieces, limit_body
from proxy.transfer.client import received_framing
from proxy.transfer.failures import unusable
from proxy.transfer.limiters import ConcurrencyLimiter
from proxy.transfer.response import send_response, send_stream


class Outbound:
    """The ASGI app behind the apps listener."""

    def __init__(
        self,
        portal: Portal,
        transports: Mapping[Mode, CallTransport],
        tokens: TokenStore,
        service: ASGIApp,
    ) -> None:
        self._portal = portal
        self._transports = transports
        self._tokens = tokens
        self._service = service
        self._limits = portal.config.limits
        full, counts = Code.TOO_MANY_REQUESTS, portal.counts
        self._concurrency = ConcurrencyLimiter(self._limits, full, counts, "apps")
        self._own_names = frozenset({"localhost", portal.config.listen.apps.host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope["method"].encode("ascii"), target_of(scope), scope["headers"])
        line = line_of(scope)
        try:
            await self._serve(request, line, scope, receive, send)
        except Refusal as error:
            refusal = self._refusal_of_revoked(request, error) if line.outcome == REVOKED else error
            line.refuse(refusal)
            response = refusal_response(refusal, request_id=line.request_id)
            await send_response(send, response, request.method)
        except ClientLeft:
            line.outcome = LEFT

    async def _serve(
        self, request: Request, line: RequestLine, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refuse_malformed(request.fields)
        app = self._app_of(request)
        line.app = app or ""
        leads_to = route(request.method, request.target, self._own_names)
        if isinstance(leads_to, ServicePath):
            path = leads_to.target.partition(b"?")[0].decode("ascii")
            if not path.startswith("/public/"):
                _required(app, request)
            asked = {**scope, "path": path, "raw_path": path.encode(), "portal.app": app}
            running = self._portal.active_requests.run(subject_of_call(app), line)
            with running, self._concurrency.of("", line.app):
                await self._service(asked, receive, send)
            return
        contact = self._contact(_required(app, request), leads_to)
        line.peer, line.peer_name, line.mode = contact.id, contact.name, contact.mode
        call = _call_of(request, _required(app, request), contact, leads_to.target)
        body = limit_body(
            RequestPieces(receive), received_framing(request.fields), self._limits.body
        )
        transport = self._transports[contact.mode]
        # By app and peer: a peer that stalls takes a part of one app's calls, and of no other's.
        running = self._portal.active_requests.run(subject_of_call(app, contact.id), line)
        with running, self._concurrency.of(f"{line.app} {contact.id}", line.app):
            async with transport.carry_out(call, body) as response:
                line.peer_code = response.refusal.code
                try:
                    await send_stream(send, response.status, response.fields, response.pieces)
                except Refusal as refusal:
                    # Of the call's own body, which may go on behind the response's head.
                    raise UpstreamFailed(f"the call broke off: {refusal}") from None

    def _app_of(self, request: Request) -> str | None:
        """Return the app whose token the request shows; None where it shows none.

        Raises ``Refusal``: ``TOKEN_UNKNOWN`` for a wrong one, and for two that disagree, and
        ``APP_UNAVAILABLE``.
        """
        apps = {self._tokens.app_of(_text(v)) for v in values_of(request.fields, b"portal-token")}
        for value in values_of(request.fields, b"proxy-authorization"):
            name, token = _basic(value)
            apps.add(name if self._tokens.matches(name, token) else None)
        apps = {app if app in self._portal.apps else None for app in apps}
        if not apps:
            return None
        if unavailable := apps & self._portal.catalogue.unavailable:
            raise Refusal(Code.APP_UNAVAILABLE, f"the files of {unavailable} can't be read")
        if len(apps) != 1 or None in apps:
            proxied = is_absolute(request.target)
            code = Code.PROXY_TOKEN_UNKNOWN if proxied else Code.TOKEN_UNKNOWN
            raise Refusal(code, "a token that is no app's, or two that disagree")
        return apps.pop()

    def _contact(self, app: str, leads_to: PeerCall | HostCall) -> Contact:
        if isinstance(leads_to, PeerCall):
            return self._portal.peer(app, leads_to.id)
        return self._peer_by_host(app, leads_to.host)

    def _refusal_of_revoked(self, request: Request, reason: Refusal) -> Refusal:
        """Return what is due where no response had begun: what the same request would get now.

        Where the call may have changed something: that it was perhaps carried out.
        """
        try:
            app = _required(self._app_of(request), request)
            leads_to = route(request.method, request.target, self._own_names)
            if not isinstance(leads_to, ServicePath):
                self._contact(app, leads_to)
        except Refusal as refusal:
            reason = refusal
        return unusable(reason, request.method)

    def _peer_by_host(self, app: str, host: str) -> Contact:
        """Return the peer whose app ``host`` names, if it is the calling app itself.

        It must fit exactly one of all contacts, hidden ones counted: an address holds a short ID
        alone. Nothing but a contact's address is ever connected to, whatever ``host`` says.
        """
        contacts = self._portal.contact_list()
        portal = host.removeprefix(f"{app}.")
        fitting = () if portal == host else contacts.at_host(portal)
        if len(fitting) == 1 and contacts.may_know(app, fitting[0].id):
            return fitting[0]
        detail = f"{app} asks for {host[:260]!r}; contacts: {[peer.id for peer in fitting]}"
        raise Refusal(Code.NOT_A_PEER_HOST, detail)


def _call_of(request: Request, app: str, contact: Contact, target: bytes) -> Call:
    if b"upgrade" in connection_options(request.fields):
        raise Refusal(Code.UPGRADE_UNSUPPORTED, f"{app} asks for an upgrade")
    parse_target(target)
    framing = received_framing(request.fields)
    return Call(
        app=app,
        contact=contact,
        method=request.method,
        target=target,
        fields=fields_of_call(request.fields),
        has_body=framing is not None,
        size=int(framing[1]) if framing and framing[0] == b"content-length" else None,
    )


def _required(app: str | None, request: Request) -> str:
    if app is None:
        proxied = is_absolute(request.target)
        raise Refusal(Code.PROXY_TOKEN_REQUIRED if proxied else Code.TOKEN_REQUIRED, "no token")
    return app


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _basic(value: bytes) -> tuple[str, str]:
    """Read ``Basic`` credentials (RFC 7617); ("", "") where they aren't well formed."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() == b"basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            name, colon, token = base64.b64decode(encoded.strip(), validate=True).partition(b":")
            if colon:
                return name.decode("ascii"), token.decode("ascii")
    return "", ""
