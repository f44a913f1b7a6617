"""The public listener: strangers and peers on their way to this Portal's apps."""

from starlette.types import Receive, Scope, Send

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.http.asgi_client import serve_by_callbacks
from proxy.http.downstream import Downstream
from proxy.http.upstream import AppUpstream
from proxy.inbound.context import InboundContext
from proxy.inbound.relay import InboundRelay
from proxy.portal import Portal
from proxy.transfer.client import remote_peer_of


class Inbound:
    """What is behind the public listener: ``serve`` for our own connections, and an ASGI app."""

    def __init__(self, portal: Portal, upstream: AppUpstream) -> None:
        self._context = InboundContext(portal, upstream)

    def take_settings(self) -> None:
        """Go by the Portal's settings as they are now."""
        self._context.take_settings()

    def serve(self, head: RequestHead, remote: RemotePeer, client: Downstream) -> InboundRelay:
        """Begin to serve a request."""
        relay = InboundRelay(self._context, head, remote, client)
        relay.begin()
        return relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that another server has read."""
        await serve_by_callbacks(self.serve, remote_peer_of(scope), scope, receive, send)
