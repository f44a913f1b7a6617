"""The one interface through which the proxy opens HTTP connections: to apps, and to peers.

``Upstream`` is what the rest of the proxy knows. An engine carries targets and fields byte for
byte, follows no redirect, reads no environment, decompresses nothing, and never repeats a request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol, Self

from proxy.core.http.headers import Field
from proxy.core.http.origin import Origin


@dataclass(frozen=True)
class Destination:
    """Where a request goes: the origin, whose name TLS verifies, and the address to connect to."""

    origin: Origin
    connect: tuple[str, int] | None = None
    """Host and port to connect to instead of those of ``origin``; None resolves ``origin``."""
    unix: str = ""
    """The path of a unix socket to connect to instead; "" is none."""
    authorities: str = ""
    """Certificates (PEM) that TLS trusts here instead of the system's; "" are the system's."""

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else str(self.origin)


@dataclass(frozen=True)
class UpstreamTimeouts:
    """Seconds that each phase of an exchange may take."""

    connect: float = 10.0
    read: float = 90.0
    write: float = 90.0


ANYBODY, NOBODY = "*", ""
"""Who may use a connection again, besides those who can be named."""

OnInterim = Callable[[int, list[Field]], Awaitable[None]]
"""Is given the status and fields of an interim response (1xx)."""


@dataclass(frozen=True)
class UpstreamRequest:
    """A request as it is to stand on the wire; ``fields`` include ``Host`` and the framing."""

    to: Destination
    method: bytes
    target: bytes
    fields: tuple[Field, ...]
    body: AsyncIterator[bytes] | None = None
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    on_interim: OnInterim | None = None
    """Is given each interim response (1xx) but 100 as it arrives; None drops them."""
    caller: str = NOBODY
    """Who alone may use the connection again once it carried this request's body.

    A server that doesn't read the body may take it for the next request, whose response is then
    the next one to come: it must not reach anybody else.
    """
    has_begun: Callable[[], Awaitable[None]] | None = None
    """Returns once the body has begun to come unasked: then nothing need be waited for."""


class BytesBody:
    """A body that is there already, in one piece: an engine can send it together with the head."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._is_taken = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_taken:
            raise StopAsyncIteration
        self._is_taken = True
        return self.data


class Ending:
    """Pieces that can tell whether another follows: whoever passes one on sends the end along."""

    def is_over(self) -> bool:
        """Tell whether the end is there, right behind the piece that was taken last."""
        raise NotImplementedError


class UpstreamResponse(Protocol):
    """A response whose head has arrived; names of ``fields`` in lower case, values as received."""

    @property
    def status(self) -> int:
        """The status code: a final one, 200 to 599."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields in the order of the wire."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, content coding untouched; raises ``UpstreamFailed``.

        After a 101, the raw stream until its end, however long it is silent.
        """

    async def write(self, data: bytes) -> None:
        """Send ``data`` on the raw stream that a 101 made; raises ``UpstreamFailed``."""

    def write_end(self) -> None:
        """End our side of that stream; the other one may still be read."""


class UpstreamFailed(Exception):
    """The other side couldn't be reached, was too slow, or broke off."""

    def __init__(self, detail: str, *, timeout: bool = False, sent: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timeout = timeout
        self.sent = sent
        """Whether any of the request may have been received."""


class Upstream(Protocol):
    """An engine that carries a request out."""

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""

    async def close(self) -> None:
        """Close every connection."""


class AppUpstream(Upstream, Protocol):
    """An engine that carries requests to apps, whose servers may be of any age."""

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return the 1 of HTTP/1.1 or the 0 of HTTP/1.0: what the server of ``request`` speaks.

        0 too where nobody can tell. Raises ``UpstreamFailed`` where it can't be reached.
        """


@dataclass(frozen=True)
class WithTimeouts:
    """An engine that waits as long as somebody wants it to, whatever the requests say."""

    upstream: Upstream
    timeouts: UpstreamTimeouts

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        return self.upstream.send(replace(request, timeouts=self.timeouts))

    async def close(self) -> None:
        """Close every connection."""
        await self.upstream.close()
