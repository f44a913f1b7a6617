"""A Portal that isn't there: peers, their responses and refusals, for an app's unit tests.

It answers in the form of the real one, and a test holds both to it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha512
from typing import Any
from urllib.parse import parse_qs

import httpx

from portal_peers import calls
from portal_peers.errors import By
from portal_peers.fake_server import served
from portal_peers.settings import Settings, settings_everywhere

_ALPHABET = "abcdefghjklnpqrstvwxyz0123456789"
_REFUSALS = {
    "bad_target": (400, "The request target can't be judged safely."),
    "bad_field": (400, "A header field can't be judged safely."),
    "envelope_broken": (400, "The sealed message broke off or isn't well formed."),
    "token_required": (401, "The app must show its token."),
    "token_unknown": (401, "The token isn't one of an app of this Portal."),
    "out_of_time": (401, "The signature isn't valid at this time."),
    "not_allowed": (403, "The caller is known by its key, but isn't allowed here."),
    "mode_not_accepted": (403, "Calls in this mode aren't accepted here."),
    "no_such_app": (404, "There is no such app on this Portal."),
    "no_such_peer": (404, "There is no such peer."),
    "not_found": (404, "There is nothing here."),
    "method_not_allowed": (405, "That method isn't served here."),
    "too_large": (413, "The body is larger than what is taken here."),
    "target_too_long": (414, "The path is longer than what is taken here."),
    "too_many_requests": (429, "The caller has too many requests running here."),
    "rate_limited": (429, "Requests come faster than they are taken here."),
    "upgrade_unsupported": (501, "Upgrades aren't carried between Portals."),
    "app_unreachable": (502, "The app can't be reached."),
    "app_failed": (502, "The app's answer broke off or can't be used."),
    "answer_too_large": (502, "The answer is larger than can be signed."),
    "peer_unreachable": (502, "The peer can't be reached."),
    "peer_untrusted": (502, "The peer's answer can't be believed."),
    "no_sealing_key": (502, "The peer offers no key to seal a call with."),
    "outcome_unknown": (502, "The call was perhaps carried out; don't repeat it."),
    "contacts_unavailable": (503, "Who is a contact can't be told just now."),
    "app_unavailable": (503, "What the app asks for can't be told just now."),
    "storage_full": (503, "There is no room to hold the body just now."),
    "app_busy": (503, "The app has as many requests running as it may."),
    "too_many_connections": (503, "No more connections are taken just now."),
    "app_timeout": (504, "The app took too long."),
    "peer_timeout": (504, "The peer took too long."),
    "cannot_hold": (507, "The app must be told the body's length; it is too large."),
    "loop_detected": (508, "The request came back to the app that it was for."),
}
"""What an app may be refused with: status and title, as in docs/protocol.md."""
_OF_PEERS = frozenset({
    "envelope_broken", "out_of_time", "not_allowed", "mode_not_accepted", "no_such_app",
    "app_unreachable", "app_failed", "app_timeout", "app_busy", "cannot_hold", "loop_detected",
})  # fmt: skip
"""Those that come from the peer's proxy, unless a test says otherwise."""
_FULL = frozenset({"too_many_requests", "app_busy", "too_many_connections"})
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_LONGEST_PATH = 8192


@dataclass(frozen=True)
class RecordedCall:
    """A call as the peer's app would have got it."""

    peer: "FakePeer"
    method: str
    target: bytes
    """Path and query, byte for byte."""
    headers: httpx.Headers
    content: bytes

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("ascii")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition(b"?")[2].decode("ascii"), keep_blank_values=True)

    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)


Handler = Callable[[RecordedCall], httpx.Response]


@dataclass(eq=False)
class FakePeer:
    """A peer of the fake: what its app answers is scripted; anything else is 404."""

    id: str
    name: str
    is_reachable: bool = True
    """False: every call is refused with ``peer_unreachable``."""
    calls: list[RecordedCall] = field(default_factory=list)
    """What its app got, in order."""
    _scripts: list[tuple[str, str, Handler]] = field(default_factory=list)

    def respond(
        self,
        path: str = "",
        *,
        method: str = "",
        status: int = 200,
        json: Any = None,  # noqa: ANN401 - JSON
        content: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let its app answer calls of ``path`` and ``method``; "" is any. The last one holds."""

        def handler(_: RecordedCall) -> httpx.Response:
            body = {"json": json} if json is not None else {"content": content}
            return httpx.Response(status, headers=headers, **body)

        self.handle(handler, path, method=method)

    def refuse(self, code: str, path: str = "", *, method: str = "", by: By | None = None) -> None:
        """Have calls refused, as the proxies would; ``by`` is whose proxy does."""
        refusal = _told_by(code, by)
        self.handle(lambda _: refusal(), path, method=method)

    def handle(self, handler: Handler, path: str = "", *, method: str = "") -> None:
        """Let ``handler`` make the response to each call of ``path`` and ``method``."""
        self._scripts.append((method.upper(), path, handler))

    def answer(self, call: RecordedCall) -> httpx.Response:
        """Return what the call gets."""
        for method, path, handler in reversed(self._scripts):
            if method in {"", call.method} and path in {"", call.path}:
                return handler(call)
        return httpx.Response(404, text=f"No response is scripted for {call.method} {call.path}.")


class FakePortal(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The Portal of an app under test; give ``settings`` to ``Portal`` and ``AsyncPortal``."""

    def __init__(self, name: str = "Ada") -> None:
        self.name = name
        self.id = _id_for(name)
        self.peers: list[FakePeer] = []
        self.calls: list[RecordedCall] = []
        """What peers' apps got, in order."""
        self._refusal: Callable[[], httpx.Response] | None = None

    @property
    def settings(self) -> Settings:
        """What leads a client here instead of over a network."""
        return Settings(transport=self)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Be the Portal of the whole process, for all that names no other one."""
        with settings_everywhere(self.settings):
            yield

    @contextmanager
    def served(self, app: str = "app") -> Iterator[dict[str, str]]:
        """Be at a port, for what doesn't call by this package.

        In the context are the variables of the environment by which it is found: ``HTTP_PROXY``,
        ``PORTAL_CORE_URL`` and so on.
        """
        with served(self, app) as environment:
            yield environment

    def add_peer(self, name: str, *, peer_id: str = "") -> FakePeer:
        """Let the app know one peer more; its ID is made of the name."""
        peer = FakePeer(peer_id or _id_for(name), name)
        self.peers.append(peer)
        return peer

    def refuse(self, code: str) -> None:
        """Refuse everything from now on; "" ends that."""
        self._refusal = _told_by(code, "portal") if code else None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, await request.aread())

    def _respond(self, request: httpx.Request, content: bytes) -> httpx.Response:
        target: bytes = request.extensions.get("target", request.url.raw_path)
        path = target.partition(b"?")[0].decode("ascii")
        if self._refusal is not None:
            return self._refusal()
        if path.startswith(calls.CALL):
            return self._call(request, target.decode("ascii").removeprefix(calls.CALL), content)
        if path not in {calls.PEERS, calls.WHOAREYOU} and not path.startswith(f"{calls.PEERS}/"):
            return refusal("not_found")
        if request.method not in {"GET", "HEAD"}:
            return refusal("method_not_allowed")
        if path == calls.WHOAREYOU:
            return httpx.Response(200, json=self._self())
        if path == calls.PEERS:
            query = parse_qs(target.partition(b"?")[2].decode("ascii"))
            wanted = query.get("name", [""])[-1].casefold()
            return httpx.Response(
                200, json=[_members(each) for each in self.peers if wanted in each.name.casefold()]
            )
        peer = self._find(path.removeprefix(f"{calls.PEERS}/"))
        return refusal("no_such_peer") if peer is None else httpx.Response(200, json=_members(peer))

    def _call(self, request: httpx.Request, rest: str, content: bytes) -> httpx.Response:
        named, _, query = rest.partition("?")
        who, _, path = named.partition("/")
        peer = self._find(who)
        if peer is None:
            return refusal("no_such_peer")
        if len(path) >= _LONGEST_PATH:
            return refusal("target_too_long")
        if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
            return refusal("bad_target")
        if not peer.is_reachable:
            return refusal("peer_unreachable")
        target = f"/{path}?{query}" if "?" in rest else f"/{path}"
        headers = httpx.Headers(
            [
                (name, value)
                for name, value in request.headers.multi_items()
                if name not in {"host", "portal-token", "connection", "transfer-encoding"}
            ]
        )
        call = RecordedCall(peer, request.method, target.encode("ascii"), headers, content)
        response = peer.answer(call)
        if response.extensions.get("refused") is None:
            for name in ("portal-refusal", "portal-peer-refusal"):
                response.headers.pop(name, None)
            peer.calls.append(call)
            self.calls.append(call)
        location = response.headers.get("location", "")
        if location.startswith("/") and not location.startswith("//"):
            response.headers["location"] = f"{calls.CALL}{who}{location}"  # stays at the peer's app
        if request.method == "HEAD":
            return httpx.Response(response.status_code, headers=response.headers)
        return response

    def _find(self, who: str) -> FakePeer | None:
        found = [each for each in self.peers if each.id.startswith(who)]
        return found[0] if len(found) == 1 and len(who) >= 6 else None  # noqa: PLR2004 - a short ID

    def _self(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "email": None,
            "description": None,
            "is_default": True,
            "public_key_pem": "-----BEGIN PUBLIC KEY-----\nfake\n-----END PUBLIC KEY-----\n",
            "domain": f"{self.id[:6]}.portal.localhost",
        }


def refusal(code: str, by: By = "portal") -> httpx.Response:
    """Return the response with which a proxy refuses; ``by`` is whose."""
    status, title = _REFUSALS[code]
    field = "portal-refusal" if by == "portal" else "portal-peer-refusal"
    headers = {field: code, "cache-control": "no-store", "content-type": "application/problem+json"}
    if code in _FULL:
        headers["retry-after"] = "5"
    if status == httpx.codes.UNAUTHORIZED:
        headers["www-authenticate"] = "Portal"
    told = {"type": "about:blank", "title": title, "status": status, "code": code}
    return httpx.Response(
        status, headers=headers, content=json.dumps(told), extensions={"refused": code}
    )


def _told_by(code: str, by: By | None) -> Callable[[], httpx.Response]:
    if code not in _REFUSALS:
        raise ValueError(f"{code!r} isn't a code that an app gets: {', '.join(_REFUSALS)}")
    whose: By = by or ("peer" if code in _OF_PEERS else "portal")
    return lambda: refusal(code, whose)


def _members(peer: FakePeer) -> dict[str, object]:
    return {"id": peer.id, "name": peer.name, "is_reachable": peer.is_reachable}


def _id_for(name: str) -> str:
    """Return 103 characters like those of a Portal ID, the same for the same name."""
    digest = sha512(name.encode("utf-8")).digest()
    bits = f"{int.from_bytes(digest):0512b}000"
    return "".join(_ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, 515, 5))
