"""The apps listener: this Portal's apps, on their way to the same app on a peer.

An app proves who it is with its token, never by its address, and reaches nothing here but its own
peers. Hidden and unknown peers look alike to it; the log tells the owner which it was.
"""

import asyncio
import base64
import binascii
import logging
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.body import ClientLeft, HeldBody, request_pieces
from proxy.call import Call, Courier
from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.headers import (
    INTERMEDIARY,
    connection_options,
    end_to_end,
    refuse_malformed,
    renamed_for_travel,
    values_of,
    without_identity,
)
from proxy.core.policy import Contact
from proxy.core.routes import HostCall, PeerCall, is_absolute, route
from proxy.core.target import parse_target
from proxy.hop.scope import target_of
from proxy.portal import Portal
from proxy.reply import send_answer, send_held
from proxy.request_log import LEFT, line
from proxy.tokens import TokenStore

log = logging.getLogger("proxy.outbound")


class Outbound:
    """The ASGI app behind the apps listener."""

    def __init__(
        self, portal: Portal, courier: Courier, tokens: TokenStore, service: ASGIApp
    ) -> None:
        self._portal = portal
        self._courier = courier
        self._tokens = tokens
        self._service = service
        self._own_names = frozenset({"localhost", portal.config.listen.apps.host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope["method"].encode("ascii"), target_of(scope), scope["headers"])
        try:
            await self._serve(request, scope, receive, send)
        except Refusal as refusal:
            log.warning("%s refused: %s", line(request), refusal)
            await send_answer(send, refusal_answer(refusal), request.method)
        except ClientLeft:
            log.info(LEFT, line(request))
        except asyncio.CancelledError:
            log.info(LEFT, line(request))
            raise

    async def _serve(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_malformed(request.fields)
        app = self._app_of(request)
        leads_to = route(request.method, request.target, self._own_names)
        if isinstance(leads_to, PeerCall):
            contact = self._portal.peer(_required(app, request), leads_to.id)
        elif isinstance(leads_to, HostCall):
            contact = self._peer_by_host(_required(app, request), leads_to.host)
        else:
            path = leads_to.target.partition(b"?")[0].decode("ascii")
            if not path.startswith("/public/"):
                _required(app, request)
            await self._service(
                {**scope, "path": path, "raw_path": path.encode(), "portal.app": app},
                receive,
                send,
            )
            return
        await self._call(_required(app, request), contact, leads_to.target, request, receive, send)

    async def _call(
        self,
        app: str,
        contact: Contact,
        target: bytes,
        request: Request,
        receive: Receive,
        send: Send,
    ) -> None:
        if b"upgrade" in connection_options(request.fields):
            raise Refusal(Code.UPGRADE_UNSUPPORTED, f"{app} asks for an upgrade")
        parse_target(target)
        passing = [
            pair
            for pair in without_identity(end_to_end(request.fields))
            if pair[0] not in INTERMEDIARY and pair[0] != b"portal-token"
        ]
        has_body = bool(
            values_of(request.fields, b"content-length")
            or values_of(request.fields, b"transfer-encoding")
        )
        call = Call(app, contact, request.method, target, renamed_for_travel(passing), has_body)
        with HeldBody() as body, HeldBody() as held:
            await body.fill(request_pieces(receive), limit=Code.TOO_LARGE)
            answer = await self._courier.carry_out(call, body, held)
            log.info("%s %s calls %s: %d", line(request), app, contact.id, answer.status)
            await send_held(send, answer.status, answer.fields, held, request.method)

    def _app_of(self, request: Request) -> str | None:
        """Return the app whose token the request shows; None where it shows none.

        Raises ``Refusal`` (``TOKEN_UNKNOWN``) for a wrong one, and for two that disagree.
        """
        apps = {self._tokens.app_of(_text(v)) for v in values_of(request.fields, b"portal-token")}
        for value in values_of(request.fields, b"proxy-authorization"):
            name, token = _basic(value)
            apps.add(name if self._tokens.matches(name, token) else None)
        apps = {app if app in self._portal.apps else None for app in apps}
        if not apps:
            return None
        if len(apps) != 1 or None in apps:
            proxied = is_absolute(request.target)
            code = Code.PROXY_TOKEN_UNKNOWN if proxied else Code.TOKEN_UNKNOWN
            raise Refusal(code, "a token that is no app's, or two that disagree")
        return apps.pop()

    def _peer_by_host(self, app: str, host: str) -> Contact:
        """Return the peer whose app ``host`` names, if it is the calling app itself.

        It must fit exactly one of all contacts, hidden ones counted: an address holds a short ID
        alone. Nothing but a contact's address is ever connected to, whatever ``host`` says.
        """
        contacts = self._portal.contacts.current
        portal = host.removeprefix(f"{app}.")
        fitting = [] if portal == host else [p for p in contacts.peers if p.origin.host == portal]
        if len(fitting) == 1 and contacts.may_know(app, fitting[0].id):
            return fitting[0]
        detail = f"{app} asks for {host[:260]!r}; contacts: {[peer.id for peer in fitting]}"
        raise Refusal(Code.NOT_A_PEER_HOST, detail)


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
