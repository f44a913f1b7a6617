"""What all calls of this Portal's apps share: who an app is, and whom it may call.

An app proves who it is with its token, never by its address, and reaches nothing here but its own
peers. Hidden and unknown peers look alike to it; the log tells the owner which it was.
"""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import ASGIApp

from proxy.core.access.call_routes import HostCall, PeerCall, ServicePath, is_absolute, route
from proxy.core.access.policy import Contact, Mode
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.headers import values_of
from proxy.outbound.call import CallTransport
from proxy.portal import Portal
from proxy.state.tokens import TokenStore
from proxy.transfer.failures import unusable
from proxy.transfer.limiters import ConcurrencyLimiter
from proxy.transfer.rates import RateLimiter


class OutboundContext:
    """One Portal's apps listener."""

    listener = "apps"
    own_app = ""
    """The app whose own the listener is; "" where apps share it."""
    entrance = ""
    """Where that one listens."""

    def __init__(
        self,
        portal: Portal,
        transports: Mapping[Mode, CallTransport],
        tokens: TokenStore,
        service: ASGIApp,
    ) -> None:
        """``service`` answers what isn't for a peer."""
        self.portal = portal
        self.transports = transports
        self.service = service
        self.limits = portal.config.limits
        full, counts = Code.TOO_MANY_REQUESTS, portal.counts
        self.concurrency = ConcurrencyLimiter(self.limits, full, counts, "apps")
        self.rates = RateLimiter(portal.rates, self.limits)
        self.tokens = tokens
        self._own_names = frozenset({"localhost", portal.config.listen.apps.host.lower()})

    def take_settings(self, transports: Mapping[Mode, CallTransport]) -> None:
        """Go by the Portal's settings as they are now; calls that run keep theirs."""
        self.transports = transports
        self.limits = self.portal.config.limits
        self.concurrency.take_limits(self.limits)
        self.rates.take_settings(self.limits)

    def route(self, request: Request) -> ServicePath | PeerCall | HostCall:
        """Return where the request leads to; raises ``Refusal``."""
        return route(request.method, request.target, self._own_names)

    def app_of(self, request: Request) -> str | None:
        """Return the app whose token the request shows; None where it shows none.

        Raises ``Refusal``: ``TOKEN_UNKNOWN`` for a wrong one, and for two that disagree, and
        ``APP_UNAVAILABLE``.
        """
        apps = {self.tokens.app_of(_text(v)) for v in values_of(request.fields, b"portal-token")}
        for value in values_of(request.fields, b"proxy-authorization"):
            name, token = _basic(value)
            apps.add(name if self.tokens.matches(name, token) else None)
        apps = {app if app in self.portal.apps else None for app in apps}
        if not apps:
            return None
        if unavailable := apps & self.portal.catalogue.unavailable:
            raise Refusal(Code.APP_UNAVAILABLE, f"the files of {unavailable} can't be read")
        if len(apps) != 1 or None in apps:
            proxied = is_absolute(request.target)
            code = Code.PROXY_TOKEN_UNKNOWN if proxied else Code.TOKEN_UNKNOWN
            raise Refusal(code, "a token that is no app's, or two that disagree")
        return apps.pop()

    def contact(self, app: str, leads_to: PeerCall | HostCall) -> Contact:
        """Return the peer that ``app`` calls, if it may know it; raises ``Refusal``."""
        if isinstance(leads_to, PeerCall):
            return self.portal.peer(app, leads_to.id)
        return self._peer_by_host(app, leads_to.host)

    def refusal_of_revoked(self, request: Request, reason: Refusal) -> Refusal:
        """Return what is due where no response had begun: what the same request would get now.

        Where the call may have changed something: that it was perhaps carried out.
        """
        try:
            app = required(self.app_of(request), request)
            leads_to = self.route(request)
            if not isinstance(leads_to, ServicePath):
                self.contact(app, leads_to)
        except Refusal as refusal:
            reason = refusal
        return unusable(reason, request.method)

    def _peer_by_host(self, app: str, host: str) -> Contact:
        """Return the peer whose app ``host`` names, if it is the calling app itself.

        It must fit exactly one of all contacts, hidden ones counted: an address holds a short ID
        alone. Nothing but a contact's address is ever connected to, whatever ``host`` says.
        """
        contacts = self.portal.contact_list()
        portal = host.removeprefix(f"{app}.")
        fitting = () if portal == host else contacts.at_host(portal)
        if len(fitting) == 1 and contacts.may_know(app, fitting[0].id):
            return fitting[0]
        detail = f"{app} asks for {host[:260]!r}; contacts: {[peer.id for peer in fitting]}"
        raise Refusal(Code.NOT_A_PEER_HOST, detail)


def required(app: str | None, request: Request) -> str:
    """Return the app; raises ``Refusal`` where no token showed one."""
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
