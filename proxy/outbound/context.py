"""What all calls of this Portal's apps share: who an app is, and whom it may call.

An app proves who it is with its token, never by its address, and reaches nothing here but its own
peers. Hidden and unknown peers look alike to it; the log tells the owner which it was.
"""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import ASGIApp

from proxy.core.access.call_routes import (
    ECOSYSTEM_HOSTS,
    HTTP_PORT,
    HTTPS_PORT,
    HostCall,
    PeerCall,
    Route,
    TunnelCall,
    destination_at_peer,
    is_absolute,
    route,
)
from proxy.core.access.destination_header import FIELD as DESTINATION
from proxy.core.access.policy import Contact, Mode
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.headers import Fields, values_of
from proxy.core.http.listener_reference import CallersListener
from proxy.core.http.uri_reference import read_uri_at_host
from proxy.outbound.call import Call, CallTransport
from proxy.outbound.tunnels import AppTunnel, Credentials, Tunnels
from proxy.portal import Portal
from proxy.state.tokens import TokenStore
from proxy.transfer.limiters import ConcurrencyLimiter
from proxy.transfer.rates import RateLimiter

_NOT_A_PEERS = "Where this isn't for a peer's app, have NO_PROXY name the host."
"""The same for every host: a peer that is hidden from the app looks like no peer."""


class OutboundContext:
    """One Portal's apps listener."""

    listener = "apps"
    own_app = ""
    """The app whose own the listener is; "" where apps share it."""

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
        self.tunnels = Tunnels(self._why_lost)
        self.tokens = tokens
        self._own_names = frozenset({"localhost", portal.config.listen.apps.host.lower()})

    @property
    def way(self) -> str:
        """By which calls come just now, where the listener is an app's own; else ""."""
        return ""

    def take_settings(self, transports: Mapping[Mode, CallTransport]) -> None:
        """Go by the Portal's settings as they are now; calls that run keep theirs."""
        self.transports = transports
        self.limits = self.portal.config.limits
        self.concurrency.take_limits(self.limits)
        self.rates.take_settings(self.limits)

    def route(self, request: Request) -> Route | TunnelCall:
        """Return where the request leads to; raises ``Refusal``."""
        return route(request.method, request.target, self._own_names)

    def with_destination_at_peer(self, request: Request, call: Call) -> Fields:
        """Return the fields of a call by path with its ``Destination`` as the peer's app reads it.

        Raises ``Refusal`` for one at another peer.
        """
        names = {*self._own_names, *ECOSYSTEM_HOSTS, *_hosts_of(request)}
        return [
            (name, destination_at_peer(value, call.contact.id, names))
            if name == DESTINATION
            else (name, value)
            for name, value in call.fields
        ]

    def listener_of(
        self, request: Request, leads_to: PeerCall | HostCall, contact: Contact
    ) -> CallersListener:
        """Return this listener as the app that ``contact`` is called at could name it."""
        asked = _hosts_of(request) if isinstance(leads_to, PeerCall) else ()
        hosts = self._own_names.union(asked) if asked else self._own_names
        return CallersListener(ECOSYSTEM_HOSTS, hosts, contact.id)

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

    def app_in(self, tunnel: AppTunnel, request: Request) -> str:
        """Return the app that opened the tunnel; raises ``Refusal`` as ``app_of`` does.

        A request in it needs no token. One that it shows all the same must be the same app's.
        """
        opened_by = self.app_of(tunnel.credentials.request)
        if opened_by != tunnel.credentials.app or self.app_of(request) not in (None, opened_by):
            raise Refusal(Code.TOKEN_UNKNOWN, "not the token of the app that opened the tunnel")
        return opened_by

    def contact(self, app: str, leads_to: PeerCall | HostCall) -> Contact:
        """Return the peer that ``app`` calls, if it may know it; raises ``Refusal``."""
        if isinstance(leads_to, PeerCall):
            return self.portal.peer(app, leads_to.id)
        return self._peer_by_host(app, leads_to.host)

    def check_tunnel(self, app: str, to: TunnelCall) -> None:
        """Refuse a tunnel that doesn't lead to port 80 of a peer's app, or of our own."""
        if to.host not in ECOSYSTEM_HOSTS:
            try:
                self._peer_by_host(app, to.host)
            except Refusal as refusal:
                if refusal.code is not Code.NOT_A_PEER_HOST:
                    raise
                detail = f"{refusal.detail}, at port {to.port}; have NO_PROXY name it"
                raise Refusal(Code.NO_INTERNET, detail) from None
        if to.port == HTTPS_PORT:
            detail = f"{app} asks for a tunnel to {to.host}:{to.port}: write http://{to.host}/"
            raise Refusal(Code.WRITE_HTTP, detail)
        if to.port != HTTP_PORT:
            detail = f"{app} asks for a tunnel to {to.host}:{to.port}: write http://{to.host}/"
            raise Refusal(Code.BAD_TUNNEL, detail)

    def end_lost_tunnels(self) -> None:
        """End each tunnel that wouldn't be opened now."""
        tokens = self.tokens
        known = tokens.current, tokens.is_stale, self.portal.context
        self.tunnels.end_lost(known)

    def _why_lost(self, credentials: Credentials) -> Refusal | None:
        """Return why no tunnel is opened for these any more; None if it would be."""
        try:
            if self.app_of(credentials.request) != credentials.app:
                return Refusal(Code.TOKEN_UNKNOWN, f"the token isn't {credentials.app}'s any more")
            self.check_tunnel(credentials.app, TunnelCall(credentials.host, HTTP_PORT))
        except Refusal as refusal:
            return refusal
        return None

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
        why = f"contacts: {[peer.id for peer in fitting]}" if fitting else f"no peer's {app}"
        detail = f"{app} asks for {host[:260]!r}, {why}"
        raise Refusal(Code.NOT_A_PEER_HOST, detail, hint=_NOT_A_PEERS)


def required(app: str | None, request: Request) -> str:
    """Return the app; raises ``Refusal`` where no token showed one."""
    if app is None:
        proxied = is_absolute(request.target)
        raise Refusal(Code.PROXY_TOKEN_REQUIRED if proxied else Code.TOKEN_REQUIRED, "no token")
    return app


def _hosts_of(request: Request) -> list[str]:
    """Return by which host the listener was asked, without its port."""
    written = [read_uri_at_host(b"//" + value) for value in values_of(request.fields, b"host")]
    return [uri.host for uri in written if uri is not None]


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
