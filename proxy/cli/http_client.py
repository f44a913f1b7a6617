"""The command line's own HTTP, on httpx: whether a listener answers, who a Portal says it is.

A command needs no pool that is quick, and no raw streams: httpx will do. A call is another matter,
and so is what ``ping`` finds out about one: these go by the engine of the proxy
(``proxy.http.client``), which sends a body while it reads, and takes no response that calls can't.

Below httpx's client API, so that nothing is rewritten: ``httpx.AsyncClient`` normalises targets,
adds fields and reads the environment, the transport doesn't. A pool of its own for each destination
keeps a connection that was verified for one name from being used for another.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from proxy.core.http.headers import Field
from proxy.http.pumped_exchange import PumpedExchange
from proxy.http.upstream import (
    Destination,
    ResponseReceiver,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)

IDLE_SECONDS = 4
"""Less than servers keep an idle connection open (often 5 s), so a stale one is rarely used."""

_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599
"""Final status codes (RFC 9110, section 15). A 101 would be an upgrade that nobody asked for."""


class _Body(httpx.AsyncByteStream):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces


@dataclass
class _Response:
    status: int
    fields: tuple[Field, ...]
    _stream: AsyncIterator[bytes] = field(repr=False)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except httpx.HTTPError as error:
            raise _failure(error) from error

    async def write(self, data: bytes) -> None:
        del data
        raise UpstreamFailed("httpx makes no raw streams")

    def write_end(self) -> None:
        raise UpstreamFailed("httpx makes no raw streams")


class HttpxUpstream:
    """Carries requests out with ``httpx.AsyncHTTPTransport``.

    ``tls`` says whose certificates are taken; None: those that this machine trusts. A destination's
    own ``authorities`` are for apps, which no command asks.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls or ssl.create_default_context()
        self._transports: dict[Destination, httpx.AsyncHTTPTransport] = {}

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send ``request``; inside the context is the response.

        Raises ``UpstreamFailed``, whose cause is what httpx raised.
        """
        try:
            response = await self._transport(request.to).handle_async_request(_request(request))
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise _failure(error) from error
        if not _LOWEST_STATUS <= response.status_code <= _HIGHEST_STATUS:
            await response.aclose()
            raise UpstreamFailed(f"the status {response.status_code} ends no exchange")
        fields = tuple((name.lower(), value) for name, value in response.headers.raw)
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError("the transport gave a stream that isn't asynchronous")
        try:
            yield _Response(response.status_code, fields, aiter(stream))
        finally:
            await response.aclose()

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        """Send ``request``; what comes back is told to ``receiver``, and so is each failure."""
        return PumpedExchange(self.send, request, receiver)

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    def _transport(self, to: Destination) -> httpx.AsyncHTTPTransport:
        transport = self._transports.get(to)
        if transport is None:
            limits = httpx.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=IDLE_SECONDS
            )
            transport = httpx.AsyncHTTPTransport(
                verify=self._tls, trust_env=False, limits=limits, uds=to.unix or None
            )
            self._transports[to] = transport
        return transport


def unverified_tls() -> ssl.SSLContext:
    """Return TLS that takes any certificate, for our own listeners alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def cause_of(failure: UpstreamFailed) -> OSError | None:
    """Return what the system or TLS had against it, beneath what httpx and its parts raised."""
    found: OSError | None = None
    error: BaseException | None = failure
    while error is not None:
        found = error if isinstance(error, OSError) else found
        error = error.__cause__ or error.__context__  # httpcore cuts its causes off
    return found


def _request(request: UpstreamRequest) -> httpx.Request:
    origin = request.to.origin
    host, port = request.to.connect or (origin.host.strip("[]"), origin.port)
    timeouts = request.timeouts
    extensions: dict[str, object] = {
        "target": request.target,
        "timeout": {
            "connect": timeouts.connect,
            "read": timeouts.read,
            "write": timeouts.write,
            "pool": timeouts.connect,
        },
    }
    if origin.scheme == "https":
        extensions["sni_hostname"] = origin.host
    carried = httpx.Request(
        "GET",
        httpx.URL(scheme=origin.scheme, host=host, port=port, path="/"),
        headers=list(request.fields),
        stream=_Body(request.body) if request.body is not None else httpx.ByteStream(b""),
        extensions=extensions,
    )
    carried.method = request.method.decode("ascii")  # not by the constructor: it makes upper case
    return carried


def _failure(error: Exception) -> UpstreamFailed:
    """Map what httpx raises; what failed before a connection stood was certainly not received."""
    detail = f"{type(error).__name__}: {error}"
    timeout = isinstance(error, httpx.TimeoutException)
    sent = not isinstance(
        error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, ssl.SSLError)
    )
    return UpstreamFailed(detail, timeout=timeout, sent=sent)
