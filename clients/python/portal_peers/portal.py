"""The app's own Portal, and its peers, for programs that wait for each call."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self, Unpack

import httpx

from portal_peers import calls
from portal_peers.calls import CallOptions
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


class Portal:
    """A session with the app's own Portal: connections are kept and used again.

    Without arguments it is found by the environment (``from_environment``). ``url`` is
    ``http://HOST:PORT`` or ``unix:PATH``; the environment's token isn't sent to it. Threads may
    share one. It is a context manager; ``close`` ends it.
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
        self._client = httpx.Client(
            base_url=calls.address(settings),
            transport=self._transport,
            timeout=timeout,
            cookies=calls.blocked_cookies(),
            trust_env=False,  # else another proxy could be asked, or a .netrc
        )

    def peers(self, name: str = "") -> "list[Peer]":
        """Return the peers that the app may know; with ``name``, those that have it in theirs."""
        response = self._send("GET", calls.peers_target(name), {})
        return [Peer(self, *facts) for facts in calls.peers_in(response)]

    def peer(self, peer_id: str) -> "Peer":
        """Return one peer, by its ID or six characters or more of its beginning.

        Raises ``NoSuchPeer``.
        """
        response = self._send("GET", calls.peer_target(peer_id), {})
        return Peer(self, *calls.peer_in(response))

    def whoareyou(self) -> dict[str, Any]:
        """Return what the Portal says of itself: ``id``, ``name``, ``domain`` and more."""
        return calls.members_in(self._send("GET", calls.WHOAREYOU.encode("ascii"), {}))

    def request(
        self, peer_id: str, method: str, path: str | bytes, **options: Unpack[CallOptions]
    ) -> httpx.Response:
        """Call the app at a peer of which only the ID is known; see ``Peer.request``."""
        target = calls.call_target(peer_id, path, options.get("params"))
        return self._send(method, target, options)

    @contextmanager
    def stream(
        self, peer_id: str, method: str, path: str | bytes, **options: Unpack[CallOptions]
    ) -> Iterator[httpx.Response]:
        """Call it, and read the response while it comes; see ``Peer.stream``."""
        target = calls.call_target(peer_id, path, options.get("params"))
        response = self._begin(method, target, options)
        try:
            yield response
        finally:
            response.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.socket or self._settings.url!r})"

    def _send(self, method: str, target: bytes, options: CallOptions) -> httpx.Response:
        response = self._begin(method, target, options)
        try:
            response.read()
        finally:
            response.close()
        return response

    def _begin(self, method: str, target: bytes, options: CallOptions) -> httpx.Response:
        """Send a call and return its response when its head is there; refusals are raised."""
        request = calls.build(self._client, method, target, options)
        history: list[httpx.Response] = []
        while True:
            response = self._ask(request)
            if not options.get("follow_redirects") or not response.has_redirect_location:
                response.history = history
                return response
            response.close()
            if len(history) == calls.MOST_REDIRECTS:
                raise RedirectRefused(f"There were more than {calls.MOST_REDIRECTS} redirects.")
            request = calls.redirected(self._client, request, response)
            history.append(response)

    def _ask(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._ask_once(request)
        except TokenRefused:
            if not self._transport.read_token_again() or not calls.is_repeatable(request):
                raise
        return self._ask_once(request)

    def _ask_once(self, request: httpx.Request) -> httpx.Response:
        response = self._client.send(request, stream=True, follow_redirects=False)
        if refusal_in(response) is None:
            return response
        try:
            body = _beginning(response)
        finally:
            response.close()
        raise refused(response, body, calls.described(request))


class Peer:
    """The same app on the Portal of somebody whom the app may know."""

    def __init__(self, portal: Portal, peer_id: str, name: str, is_reachable: bool) -> None:  # noqa: FBT001
        self._portal = portal
        self.id = peer_id
        """The full Portal ID. Key data by it, never by the name."""
        self.name = name
        """What the owner calls the peer."""
        self.is_reachable = is_reachable
        """Whether it was there within the last minute: a hint, and only a call is a test."""

    def request(
        self, method: str, path: str | bytes, **options: Unpack[CallOptions]
    ) -> httpx.Response:
        """Call the app there; return its response, whatever its status.

        ``path`` begins with ``/`` and goes out byte for byte. Raises ``Refused`` where a proxy
        refused the call, ``PortalUnreachable`` or ``CallFailed`` where none answered.
        """
        return self._portal.request(self.id, method, path, **options)

    def stream(
        self, method: str, path: str | bytes, **options: Unpack[CallOptions]
    ) -> AbstractContextManager[httpx.Response]:
        """Call it, and read the response while it comes: ``with peer.stream(...) as response``.

        If ``iter_bytes`` raises ``CallBrokenOff``, what came is no response.
        """
        return self._portal.stream(self.id, method, path, **options)

    def get(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("GET", path, **options)

    def head(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("HEAD", path, **options)

    def options(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("OPTIONS", path, **options)

    def post(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("POST", path, **options)

    def put(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("PUT", path, **options)

    def patch(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str | bytes, **options: Unpack[CallOptions]) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peer) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Peer({self.name!r}, {self.id[:6]})"


def _network(settings: Settings) -> httpx.BaseTransport:
    if settings.transport is None:
        return httpx.HTTPTransport(
            uds=settings.socket or None, limits=calls.LIMITS, trust_env=False
        )
    if not isinstance(settings.transport, httpx.BaseTransport):
        raise PortalError("This stand-in for the network is for AsyncPortal alone.")
    return settings.transport


def _beginning(response: httpx.Response) -> bytes:
    """Return as much of a refusal's body as is looked at."""
    body = b""
    try:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > calls.MOST_OF_A_REFUSAL:
                break
    except CallBrokenOff:
        pass  # the refusal is in the head
    return body[: calls.MOST_OF_A_REFUSAL]


class _Transport(httpx.BaseTransport):
    """The way to the Portal, and to nobody else; what fails there is told in our exceptions."""

    def __init__(self, network: httpx.BaseTransport, settings: Settings) -> None:
        self._network = network
        self._settings = settings
        self._token = settings.read_token()

    def read_token_again(self) -> bool:
        """Tell whether the token is another one now."""
        former, self._token = self._token, self._settings.read_token()
        return self._token != former

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        calls.refuse_foreign(request, self._settings)
        try:
            response = self._network.handle_request(calls.with_token(request, self._token))
        except httpx.TransportError as error:
            raise failed(error, request.method) from error
        if isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _Stream(response.stream, request.method)
        return response

    def close(self) -> None:
        self._network.close()


class _Stream(httpx.SyncByteStream):
    """A response's body."""

    def __init__(self, stream: httpx.SyncByteStream, method: str) -> None:
        self._stream = stream
        self._method = method

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.TransportError as error:
            raise failed(error, self._method) from error

    def close(self) -> None:
        self._stream.close()
