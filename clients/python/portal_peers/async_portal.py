"""The same as ``portal``, for programs with an event loop: asyncio or trio."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self, Unpack

import httpx

from portal_peers import calls
from portal_peers.calls import AsyncCallOptions
from portal_peers.errors import (
    CallBrokenOff,
    PortalError,
    RedirectRefused,
    TokenRefused,
    failed,
    refusal_in,
    refused,
)
from portal_peers.settings import Settings, current, settings_for


class AsyncPortal:
    """A session with the app's own Portal: connections are kept and used again.

    Without arguments it is found by the environment (``from_environment``). ``url`` is
    ``http://HOST:PORT`` or ``unix:PATH``; the environment's token isn't sent to it. Tasks may
    share one. It is an asynchronous a context manager; ``aclose`` ends it.
    """

    def __init__(
        self,
        url: str = "",
        *,
        token: str = "",
        token_file: str = "",
        timeout: float | httpx.Timeout | None = calls.TIMEOUT,
        settings: Settings | None = None,
    ) -> None:
        if settings is None:
            settings = settings_for(url, token, token_file) if url else current()
        self._settings = settings
        self._transport = _Transport(_network(settings), settings)
        self._client = httpx.AsyncClient(
            base_url=calls.address(settings),
            transport=self._transport,
            timeout=timeout,
            cookies=calls.blocked_cookies(),
            trust_env=False,  # else another proxy could be asked, or a .netrc
        )

    async def peers(self, name: str = "") -> "list[AsyncPeer]":
        """Return the peers that the app may know; with ``name``, those that have it in theirs."""
        response = await self._send("GET", calls.peers_target(name), {})
        return [AsyncPeer(self, *facts) for facts in calls.peers_in(response)]

    async def peer(self, peer_id: str) -> "AsyncPeer":
        """Return one peer, by its ID or six characters or more of its beginning.

        Raises ``NoSuchPeer``.
        """
        response = await self._send("GET", calls.peer_target(peer_id), {})
        return AsyncPeer(self, *calls.peer_in(response))

    async def whoareyou(self) -> dict[str, Any]:
        """Return what the Portal says of itself: ``id``, ``name``, ``domain`` and more."""
        return calls.members_in(await self._send("GET", calls.WHOAREYOU.encode("ascii"), {}))

    async def request(
        self, peer_id: str, method: str, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> httpx.Response:
        """Call the app at a peer of which only the ID is known; see ``AsyncPeer.request``."""
        target = calls.call_target(peer_id, path, options.get("params"))
        return await self._send(method, target, options)

    @asynccontextmanager
    async def stream(
        self, peer_id: str, method: str, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> AsyncIterator[httpx.Response]:
        """Call it, and read the response while it comes; see ``AsyncPeer.stream``."""
        target = calls.call_target(peer_id, path, options.get("params"))
        response = await self._begin(method, target, options)
        try:
            yield response
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.socket or self._settings.url!r})"

    async def _send(self, method: str, target: bytes, options: AsyncCallOptions) -> httpx.Response:
        response = await self._begin(method, target, options)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    async def _begin(self, method: str, target: bytes, options: AsyncCallOptions) -> httpx.Response:
        """Send a call and return its response when its head is there; refusals are raised."""
        request = calls.build(self._client, method, target, options)
        history: list[httpx.Response] = []
        while True:
            response = await self._ask(request)
            if not options.get("follow_redirects") or not response.has_redirect_location:
                response.history = history
                return response
            await response.aclose()
            if len(history) == calls.MOST_REDIRECTS:
                raise RedirectRefused(f"There were more than {calls.MOST_REDIRECTS} redirects.")
            request = calls.redirected(self._client, request, response)
            history.append(response)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._ask_once(request)
        except TokenRefused:
            if not self._transport.read_token_again() or not calls.is_repeatable(request):
                raise
        return await self._ask_once(request)

    async def _ask_once(self, request: httpx.Request) -> httpx.Response:
        response = await self._client.send(request, stream=True, follow_redirects=False)
        if refusal_in(response) is None:
            return response
        try:
            body = await _beginning(response)
        finally:
            await response.aclose()
        raise refused(response, body, calls.described(request))


class AsyncPeer:
    """The same app on the Portal of somebody whom the app may know."""

    def __init__(self, portal: AsyncPortal, peer_id: str, name: str, is_reachable: bool) -> None:  # noqa: FBT001
        self._portal = portal
        self.id = peer_id
        """The full Portal ID. Key data by it, never by the name."""
        self.name = name
        """What the owner calls the peer."""
        self.is_reachable = is_reachable
        """Whether it was there within the last minute: a hint, and only a call is a test."""

    async def request(
        self, method: str, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> httpx.Response:
        """Call the app there; return its response, whatever its status.

        ``path`` begins with ``/`` and goes out byte for byte. Raises ``Refused`` where a proxy
        refused the call, ``PortalUnreachable`` or ``CallFailed`` where none answered.
        """
        return await self._portal.request(self.id, method, path, **options)

    def stream(
        self, method: str, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Call it, and read the response while it comes: ``async with peer.stream(...)``.

        If ``aiter_bytes`` raises ``CallBrokenOff``, what came is no response.
        """
        return self._portal.stream(self.id, method, path, **options)

    async def get(self, path: str | bytes, **options: Unpack[AsyncCallOptions]) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def head(self, path: str | bytes, **options: Unpack[AsyncCallOptions]) -> httpx.Response:
        return await self.request("HEAD", path, **options)

    async def options(
        self, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> httpx.Response:
        return await self.request("OPTIONS", path, **options)

    async def post(self, path: str | bytes, **options: Unpack[AsyncCallOptions]) -> httpx.Response:
        return await self.request("POST", path, **options)

    async def put(self, path: str | bytes, **options: Unpack[AsyncCallOptions]) -> httpx.Response:
        return await self.request("PUT", path, **options)

    async def patch(self, path: str | bytes, **options: Unpack[AsyncCallOptions]) -> httpx.Response:
        return await self.request("PATCH", path, **options)

    async def delete(
        self, path: str | bytes, **options: Unpack[AsyncCallOptions]
    ) -> httpx.Response:
        return await self.request("DELETE", path, **options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncPeer) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"AsyncPeer({self.name!r}, {self.id[:6]})"


def _network(settings: Settings) -> httpx.AsyncBaseTransport:
    if settings.transport is None:
        return httpx.AsyncHTTPTransport(
            uds=settings.socket or None, limits=calls.LIMITS, trust_env=False
        )
    if not isinstance(settings.transport, httpx.AsyncBaseTransport):
        raise PortalError("This stand-in for the network is for Portal alone.")
    return settings.transport


async def _beginning(response: httpx.Response) -> bytes:
    """Return as much of a refusal's body as is looked at."""
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > calls.MOST_OF_A_REFUSAL:
                break
    except CallBrokenOff:
        pass  # the refusal is in the head
    return body[: calls.MOST_OF_A_REFUSAL]


class _Transport(httpx.AsyncBaseTransport):
    """The way to the Portal, and to nobody else; what fails there is told in our exceptions."""

    def __init__(self, network: httpx.AsyncBaseTransport, settings: Settings) -> None:
        self._network = network
        self._settings = settings
        self._token = settings.read_token()

    def read_token_again(self) -> bool:
        """Tell whether the token is another one now."""
        former, self._token = self._token, self._settings.read_token()
        return self._token != former

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        calls.refuse_foreign(request, self._settings)
        try:
            response = await self._network.handle_async_request(
                calls.with_token(request, self._token)
            )
        except httpx.TransportError as error:
            raise failed(error, request.method) from error
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Stream(response.stream, request.method)
        return response

    async def aclose(self) -> None:
        await self._network.aclose()


class _Stream(httpx.AsyncByteStream):
    """A response's body."""

    def __init__(self, stream: httpx.AsyncByteStream, method: str) -> None:
        self._stream = stream
        self._method = method

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except httpx.TransportError as error:
            raise failed(error, self._method) from error

    async def aclose(self) -> None:
        await self._stream.aclose()
