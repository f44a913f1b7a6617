"""What a call is made of: its target, fields and body, and where a redirect leads. No I/O."""

import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple, Protocol, TypedDict
from urllib.parse import urlencode, urljoin, urlsplit

import anyio.to_thread
import httpx

from portal_peers.errors import NotAPortal, PortalError, RedirectRefused
from portal_peers.settings import Settings

PEERS = "/protected/peers"
WHOAREYOU = "/public/meta/whoareyou"
CALL = "/internal/call_peer/"
TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""The Portal gives up on a peer after 105 s of silence, and then says so."""
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)
"""How many calls may run is the Portal's to say; it keeps an idle connection for 75 s."""
MOST_OF_A_REFUSAL = 65_536
MOST_REDIRECTS = 20

_HOST = "portal_core"
_OWN_HOSTS = frozenset({_HOST, "portal-core", "shard_core"})
_ID = re.compile(r"[a-z0-9]{6,103}")
_TARGET = re.compile(rb"/[!-\"$-~]*")
_PIECE = 65_536
_OF_A_BODY = ("content-length", "content-type", "content-encoding", "transfer-encoding")

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]


class SyncFile(Protocol):
    """A file that was opened for reading bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


Content = str | bytes | Iterable[bytes] | SyncFile
AsyncContent = Content | AsyncIterable[bytes]


class _Options(TypedDict, total=False):
    params: Params
    """Added to the path's query."""
    headers: Mapping[str, str] | Sequence[tuple[str, str]]
    data: Mapping[str, Any]
    """A form."""
    files: Any
    """As httpx takes them."""
    json: Any
    timeout: float | httpx.Timeout | None
    """Seconds in which nothing may move; None waits for ever."""
    follow_redirects: bool
    """Follow those that stay at the peer's app."""


class CallOptions(_Options, total=False):
    """What a call may have beside its method and path."""

    content: Content


class AsyncCallOptions(_Options, total=False):
    """The same, where a body may be an asynchronous iterator, too."""

    content: AsyncContent


class PeerFacts(NamedTuple):
    """What the Portal tells of a peer."""

    id: str
    name: str
    is_reachable: bool


def blocked_cookies() -> CookieJar:
    """Return a jar that keeps nothing: one peer's cookies would go to all the others."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def call_target(peer: str, path: str | bytes, params: Params | None = None) -> bytes:
    """Return the target of a call: ``path`` as it is, byte for byte, and ``params`` behind it."""
    checked_id(peer)
    try:
        raw = path.encode("ascii") if isinstance(path, str) else path
    except UnicodeEncodeError:
        raw = b""
    if _TARGET.fullmatch(raw) is None:
        raise ValueError(
            f"{path!r} can't be a path: it begins with / and has no blank, # or letter outside "
            "ASCII. Percent-encode its parts: urllib.parse.quote(part, safe='')"
        )
    query = urlencode(tuple(_pairs(params))).encode("ascii") if params else b""
    if query:
        raw += (b"&" if b"?" in raw else b"?") + query
    return f"{CALL}{peer}".encode("ascii") + raw


def checked_id(peer: str) -> str:
    """Return ``peer`` where it can be a Portal ID or the beginning of one."""
    if _ID.fullmatch(peer) is None:
        raise ValueError(f"{peer!r} isn't a Portal ID, nor six characters or more of one")
    return peer


def peers_target(name: str = "") -> bytes:
    return (f"{PEERS}?{urlencode({'name': name})}" if name else PEERS).encode("ascii")


def peer_target(peer: str) -> bytes:
    return f"{PEERS}/{checked_id(peer)}".encode("ascii")


def address(settings: Settings) -> httpx.URL:
    return httpx.URL(settings.url)


def build(
    client: httpx.Client | httpx.AsyncClient, method: str, target: bytes, options: Mapping[str, Any]
) -> httpx.Request:
    """Return the request for ``target`` at the Portal; it has no token yet."""
    known = {key: options[key] for key in ("data", "files", "json") if key in options}
    headers = httpx.Headers(options.get("headers"))
    headers.pop("host", None)
    headers.pop("portal-token", None)
    headers["host"] = _HOST
    content = options.get("content")
    if hasattr(content, "read") and (length := _length_of(content)) is not None:
        headers["content-length"] = str(length)
    if isinstance(client, httpx.AsyncClient):
        content = _without_blocking(content)
    url = address_of(client).copy_with(raw_path=target)
    return client.build_request(
        method,
        url,
        headers=headers,
        content=content,
        timeout=options.get("timeout", httpx.USE_CLIENT_DEFAULT),
        extensions={"target": target},
        **known,
    )


def address_of(client: httpx.Client | httpx.AsyncClient) -> httpx.URL:
    """Return where the client's Portal is."""
    return client.base_url


def is_for(request: httpx.Request, settings: Settings) -> bool:
    """Tell whether ``request`` goes to the Portal, so may bear its token."""
    own, url = address(settings), request.url
    return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)


def with_token(request: httpx.Request, token: str) -> httpx.Request:
    """Return ``request`` with the token, which the one that the app gets to see hasn't."""
    if not token:
        return request
    return httpx.Request(
        request.method,
        request.url,
        headers=[*request.headers.raw, (b"portal-token", token.encode("ascii"))],
        stream=request.stream,
        extensions=request.extensions,
    )


def is_repeatable(request: httpx.Request) -> bool:
    """Tell whether its body can be sent once more."""
    return isinstance(request.stream, httpx.ByteStream)


def described(request: httpx.Request) -> str:
    """Return method and path for a person, without a query, which may hold anything."""
    target: bytes = request.extensions["target"]
    path = target.partition(b"?")[0].decode("ascii", "replace")
    if path.startswith(CALL):
        peer, _, rest = path.removeprefix(CALL).partition("/")
        return f"{request.method} /{rest} at {peer[:6]}"
    return f"{request.method} {path}"


def redirected(
    client: httpx.Client | httpx.AsyncClient, request: httpx.Request, response: httpx.Response
) -> httpx.Request:
    """Return the request that a redirect asks for; it stays at the app of the same peer."""
    target: bytes = request.extensions["target"]
    method = request.method
    is_seen_elsewhere = response.status_code == httpx.codes.SEE_OTHER and method != "HEAD"
    if is_seen_elsewhere or (response.status_code in {301, 302} and method == "POST"):
        method = "GET"  # as browsers do
    headers = httpx.Headers(request.headers)
    content: bytes | None = None
    if method != request.method:
        for name in _OF_A_BODY:
            headers.pop(name, None)
    elif is_repeatable(request):
        content = request.content
    else:
        raise RedirectRefused("A redirect asks for the body once more, and it is spent.")
    extensions = request.extensions | {"target": _target_of(target, response.headers["location"])}
    return httpx.Request(
        method,
        address_of(client).copy_with(raw_path=extensions["target"]),
        headers=headers,
        content=content,
        extensions=extensions,
    )


def _target_of(asked: bytes, location: str) -> bytes:
    """Return the target that ``location`` means, seen from the target that was ``asked``."""
    text = asked.decode("ascii")
    peer = text.removeprefix(CALL).partition("/")[0]
    own = f"{CALL}{peer}"
    refusal = RedirectRefused(f"A redirect leads away from the peer's app: {location[:200]!r}")
    try:
        parts = urlsplit(location)
        host = parts.netloc
    except ValueError:
        raise refusal from None
    if parts.scheme or host:
        if (parts.scheme or "http") != "http" or host.removesuffix(":80") not in _OWN_HOSTS:
            raise refusal
        location = location.partition(host)[2]
        if not location.startswith(CALL):
            raise refusal
    elif location.startswith("/") and not location.startswith(CALL):
        location = own + location  # the peer's app names a path of its own
    led = urljoin(text, location).partition("#")[0]
    found = led.removeprefix(CALL).partition("/")[0]
    is_same = found.startswith(peer) or peer.startswith(found)
    if not led.startswith(f"{CALL}{found}/") or len(found) < 6 or not is_same:  # noqa: PLR2004
        raise refusal
    if _TARGET.fullmatch(led.encode("utf-8")) is None:
        raise refusal
    return led.encode("ascii")


def peers_in(response: httpx.Response) -> list[PeerFacts]:
    """Read the list of peers."""
    return [_facts(each) for each in _json(response, list)]


def peer_in(response: httpx.Response) -> PeerFacts:
    return _facts(_json(response, dict))


def members_in(response: httpx.Response) -> dict[str, Any]:
    return dict(_json(response, dict))


def _json(response: httpx.Response, kind: type[Any]) -> Any:  # noqa: ANN401 - JSON
    try:
        told = response.json()
    except ValueError:
        told = None
    if response.status_code != httpx.codes.OK or not isinstance(told, kind):
        where = f"{response.url.scheme}://{response.url.netloc.decode('ascii')}"
        raise NotAPortal(f"What answers at {where} isn't a Portal: status {response.status_code}")
    return told


def _facts(told: object) -> PeerFacts:
    match told:
        case {"id": str(peer), "name": str(name), "is_reachable": bool(is_reachable)}:
            return PeerFacts(peer, name, is_reachable)
        case _:
            raise NotAPortal("A peer in the Portal's list isn't told as one.")


def _pairs(params: Params) -> Iterable[tuple[str, str]]:
    given = params.items() if isinstance(params, Mapping) else params
    for name, value in given:
        for each in value if isinstance(value, list | tuple) else (value,):
            yield name, _as_text(each)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _length_of(file: Any) -> int | None:  # noqa: ANN401 - whatever has been given as a file
    """Return how many bytes are left to read in a file; None where that can't be told."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, TypeError):
        return None
    return int(end - here) if isinstance(end, int) else None


def _without_blocking(content: Any) -> Any:  # noqa: ANN401 - as httpx takes it
    """Return a body for an event loop: what must be waited for is read in a thread."""
    if content is None or isinstance(content, AsyncIterable | str | bytes):
        return content
    if hasattr(content, "read"):
        return _read_in_a_thread(content)
    return _iterated(content)


async def _read_in_a_thread(file: SyncFile) -> AsyncIterator[bytes]:
    while piece := await anyio.to_thread.run_sync(file.read, _PIECE):
        yield piece


async def _iterated(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(pieces)
    while (piece := await anyio.to_thread.run_sync(next, iterator, None)) is not None:
        yield piece


def refuse_foreign(request: httpx.Request, settings: Settings) -> None:
    """Refuse to send anything anywhere but to the Portal."""
    if not is_for(request, settings):
        raise PortalError(f"This isn't the Portal, so it gets no call: {request.url.host}")
