"""Tunnels that apps opened with CONNECT: connections on which all that is asked is for one host.

They end here: each request in one is served like any other at the listener, as the app that opened
it. The token was shown with CONNECT alone, so what was shown there is kept, and judged anew for
each request. A tunnel on which nothing is asked ends, too, where it wouldn't be opened now.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from proxy.core.access.call_routes import Route, route_in_tunnel
from proxy.core.errors import Refusal
from proxy.core.gate import Request
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Field, indexed, values_of
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import Downstream, RequestHandler

log = logging.getLogger("proxy")

_SHOWN_BY = (b"portal-token", b"proxy-authorization")


class Credentials(NamedTuple):
    """By what a tunnel was opened, and where to."""

    app: str
    host: str
    fields: tuple[Field, ...]

    @property
    def request(self) -> Request:
        """A request that shows them as to a server: who asks in a tunnel asks no proxy."""
        return Request(b"GET", b"/", indexed(self.fields))


def credentials_of(app: str, host: str, request: Request) -> Credentials:
    """Return what ``request``, a CONNECT of ``app``, shows."""
    shown = tuple((name, value) for name in _SHOWN_BY for value in values_of(request.fields, name))
    return Credentials(app, host, shown)


class RequestInTunnel(RequestHandler, Protocol):
    """What serves one request in a tunnel."""

    def begin(self) -> None:
        """Begin to serve it; raises nothing."""

    def revoke(self, reason: Refusal) -> None:
        """End it with ``reason``; a second call does nothing."""


Prepare = Callable[[RequestHead, RemotePeer, Downstream, "AppTunnel"], RequestInTunnel]
"""Makes what serves a request in a tunnel, and leaves it to the tunnel to begin."""


class AppTunnel:
    """One tunnel: a ``proxy.http.downstream.Tunnel``."""

    __slots__ = ("_end", "_prepare", "_running", "_tunnels", "credentials")

    def __init__(self, tunnels: "Tunnels", credentials: Credentials, prepare: Prepare) -> None:
        self.credentials = credentials
        self._tunnels = tunnels
        self._prepare = prepare
        self._end: Callable[[], None] | None = None
        self._running: RequestInTunnel | None = None

    @property
    def name(self) -> str:
        """Whose it is, and where it leads, for the log."""
        return f"a tunnel of {self.credentials.app} to {self.credentials.host}"

    def serve(self, head: RequestHead, remote: RemotePeer, client: Downstream) -> RequestInTunnel:
        """Begin to serve a request in it."""
        self._running = running = self._prepare(head, remote, client, self)
        running.begin()
        return running

    def route(self, request: Request) -> Route:
        """Return where a request in it leads; raises ``Refusal``."""
        hosts = values_of(request.fields, b"host")
        return route_in_tunnel(self.credentials.host, request.method, request.target, hosts)

    def finished(self) -> None:
        """Take note that the request which ran is over."""
        self._running = None

    def opened(self, end: Callable[[], None]) -> None:
        """Take note that it is open."""
        self._end = end
        self._tunnels.add(self)

    def closed(self) -> None:
        """Take note that its connection is gone."""
        self._end = None
        self._tunnels.discard(self)

    def end(self, reason: Refusal) -> None:
        """End it, and what runs in it with ``reason``."""
        end, running = self._end, self._running
        if end is not None:
            end()  # first, so that a refusal says that the connection ends
        if running is not None:
            running.revoke(reason)


class Tunnels:
    """All that are open."""

    def __init__(self, why_lost: Callable[[Credentials], Refusal | None]) -> None:
        """``why_lost`` tells why a tunnel wouldn't be opened now; None: it would."""
        self._why_lost = why_lost
        self._open: dict[Credentials, set[AppTunnel]] = {}
        self._judged_by: tuple[object, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def add(self, tunnel: AppTunnel) -> None:
        """Count ``tunnel`` among them, until it is discarded."""
        self._open.setdefault(tunnel.credentials, set()).add(tunnel)

    def discard(self, tunnel: AppTunnel) -> None:
        """Count it no more."""
        opened = self._open.get(tunnel.credentials)
        if opened is not None:
            opened.discard(tunnel)
            if not opened:
                del self._open[tunnel.credentials]

    def end_lost(self, judged_by: tuple[object, ...]) -> None:
        """End those that wouldn't be opened now.

        ``judged_by`` is all that decides it. While each of it is the very object of the last time,
        nothing is looked at: there may be thousands of them, and this comes twice a second.
        """
        if len(judged_by) == len(self._judged_by) and all(
            now is then for now, then in zip(judged_by, self._judged_by, strict=True)
        ):
            return
        for credentials in tuple(self._open):
            reason = self._why_lost(credentials)
            if reason is None:
                continue
            lost = tuple(self._open.get(credentials, ()))
            where = f"{credentials.app} to {credentials.host}"
            log.info("tunnels of %s end, %d of them: %s", where, len(lost), reason)
            for tunnel in lost:
                tunnel.end(reason)
        self._judged_by = judged_by
