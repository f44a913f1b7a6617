"""The one interface through which the proxy opens HTTP connections: to apps, and to peers.

``Upstream`` is what the rest of the proxy knows. An engine carries targets and fields byte for
byte, follows no redirect, reads no environment, decompresses nothing, and never repeats a request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, Self

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields
from proxy.core.http.origin import Origin


class UpstreamFailed(Exception):
    """The other side couldn't be reached, was too slow, or broke off."""

    def __init__(self, detail: str, *, timeout: bool = False, sent: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timeout = timeout
        self.sent = sent
        """Whether any of the request may have been received."""


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
    _hash: int = field(init=False, repr=False, compare=False)
    """Made once: every request asks for it."""

    @classmethod
    def at_socket(cls, path: str, name: str) -> Self:
        """Return where the app ``name`` is, at a socket that it listens on."""
        # Of the origin no more is used than that it isn't https.
        return cls(Origin("http", name, 80), unix=path)

    def __post_init__(self) -> None:
        parts = (self.origin, self.connect, self.unix, self.authorities)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

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


@dataclass(slots=True)
class UpstreamRequest:
    """A request as it is to stand on the wire; ``fields`` include ``Host`` and the framing.

    Nobody changes one (``replace``). It isn't frozen, since that takes four times as long to make.
    """

    to: Destination
    method: bytes
    target: bytes
    fields: tuple[Field, ...]
    body: AsyncIterator[bytes] | None = None
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    on_interim: OnInterim | None = None
    """Where the response is awaited: is given each interim one (1xx) but 100. None drops them."""
    caller: str = NOBODY
    """Who alone may use the connection again once it carried this request's body.

    A server that doesn't read the body may take it for the next request, whose response is then
    the next one to come: it must not reach anybody else.
    """
    streams: bool = False
    """Whether a body comes by the exchange's ``send``, and ``body`` is None."""

    def with_timeouts(self, timeouts: UpstreamTimeouts) -> "UpstreamRequest":
        """Return the same request with these; ``replace`` would take ten times as long."""
        return UpstreamRequest(
            self.to, self.method, self.target, self.fields, self.body, timeouts,
            self.on_interim, self.caller, self.streams,
        )  # fmt: skip


class ResponseReceiver(Protocol):
    """Who gets what comes back on one exchange. It raises nothing.

    It is called from the event loop, never from within ``begin``, ``resume`` or ``finish``, and
    told nothing behind the exchange's end: the response's end, a failure, or ``finish``. Behind a
    101 the other side's end isn't that, while ours is still to come: a failure may follow.
    """

    def interim_received(self, status: int, fields: Fields) -> None:
        """Take an interim response (1xx), any but 100 and 101."""

    def head_received(self, status: int, fields: Fields) -> None:
        """Take the head of the response: names in lower case, values as received."""

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the response's content, b"" where only its end came.

        Behind a 101 it is what comes on the raw stream. Isn't called while paused.
        """

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """Take note that nothing more comes, and why; what had come was told before."""

    def body_invited(self) -> None:
        """Take note that the server wants the body, or has kept it waiting for long enough.

        Only where the request says ``Expect``. A body may be sent without it.
        """

    def pause_body(self) -> None:
        """Send no more of the body for now; may be called from within ``send``."""

    def resume_body(self) -> None:
        """Go on sending the body."""


class UpstreamExchange(Protocol):
    """One request on its way, and its response. Nothing of it raises."""

    @property
    def is_blocked(self) -> bool:
        """Whether to send of the body only behind ``resume_body``: at first, until connected."""

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the request's body, in the framing that its head announced.

        ``ends`` with the last one, which may be b"". A body that isn't what was announced fails
        the exchange. Behind a 101 it is the raw stream's bytes, and our end of it.
        """

    def pause(self) -> None:
        """Take no more of the response; what has come waits, and so does a failure behind it."""

    def resume(self) -> None:
        """Take the response again."""

    def finish(self) -> None:
        """End it, and give the connection back or up. A second call does nothing."""


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


class Upstream(Protocol):
    """An engine that carries a request out."""

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        """Send ``request``; what comes back is told to ``receiver``, and so is each failure."""

    async def close(self) -> None:
        """Close every connection."""


class AppUpstream(Upstream, Protocol):
    """An engine that carries requests to apps, whose servers may be of any age."""

    async def minor_version(self, request: UpstreamRequest) -> int:
        """Return the 1 of HTTP/1.1 or the 0 of HTTP/1.0: what the server of ``request`` speaks.

        0 too where nobody can tell. Raises ``UpstreamFailed`` where it can't be reached.
        """

    def known_minor_version(self, request: UpstreamRequest) -> int | None:
        """Return the same where it is known without asking, else None."""


@dataclass(frozen=True)
class WithTimeouts:
    """An engine that waits as long as somebody wants it to, whatever the requests say."""

    upstream: Upstream
    timeouts: UpstreamTimeouts

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Send ``request``; inside the context is the response. Raises ``UpstreamFailed``."""
        return self.upstream.send(request.with_timeouts(self.timeouts))

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        """Send ``request``; what comes back is told to ``receiver``, and so is each failure."""
        return self.upstream.begin(request.with_timeouts(self.timeouts), receiver)

    async def close(self) -> None:
        """Close every connection."""
        await self.upstream.close()
