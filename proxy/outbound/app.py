"""The apps listener: this Portal's apps, on their way to the same app on a peer."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.core.access.policy import Mode
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.http.asgi_client import serve_by_callbacks
from proxy.http.downstream import Downstream
from proxy.outbound.call import CallTransport
from proxy.outbound.context import OutboundContext
from proxy.outbound.relay import OutboundRelay
from proxy.portal import Portal
from proxy.state.tokens import TokenStore
from proxy.transfer.client import remote_peer_of


class Outbound:
    """What is behind the apps listener: ``serve`` for our own connections, and an ASGI app."""

    def __init__(
        self,
        portal: Portal,
        transports: Mapping[Mode, CallTransport],
        tokens: TokenStore,
        service: ASGIApp,
    ) -> None:
        self._context = OutboundContext(portal, transports, tokens, service)

    @property
    def context(self) -> OutboundContext:
        """What its requests share."""
        return self._context

    def take_settings(self, transports: Mapping[Mode, CallTransport]) -> None:
        """Go by the Portal's settings as they are now: ``transports`` are made of them."""
        self._context.take_settings(transports)

    def end_lost_tunnels(self) -> None:
        """End the tunnels that apps hold open, and couldn't open any more."""
        self._context.end_lost_tunnels()

    def serve(self, head: RequestHead, remote: RemotePeer, client: Downstream) -> OutboundRelay:
        """Begin to serve a request."""
        relay = OutboundRelay(self._context, head, remote, client)
        relay.begin()
        return relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that another server has read."""
        await serve_by_callbacks(self.serve, remote_peer_of(scope), scope, receive, send)
