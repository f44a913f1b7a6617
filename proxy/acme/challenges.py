"""What is answered at port 80: an authority that looks for what it was promised, and nobody else.

A browser that comes to one of our names is sent on to https. Nothing else is behind this listener:
no app, no page of the Portal's, and nothing that anybody could change.
Source: RFC 8555, section 8.3.
"""

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import values_of
from proxy.core.http.origin import Origin
from proxy.core.http.problem import Response, refusal_response
from proxy.http.scope import target_of
from proxy.transfer.access_log import line_of
from proxy.transfer.response import send_response

PREFIX = b"/.well-known/acme-challenge/"
_READ = (b"GET", b"HEAD")
_NOT_KEPT = (b"cache-control", b"no-store")
_LONGEST_TARGET = 8192


class Challenges:
    """The responses that an authority was promised and may ask for now, by token."""

    def __init__(self) -> None:
        self._expected: dict[bytes, bytes] = {}

    def expect(self, responses: Mapping[str, str]) -> None:
        """Give these, and no others, from now on."""
        self._expected = {
            token.encode("ascii"): response.encode("ascii") for token, response in responses.items()
        }

    def forget(self) -> None:
        """Give none any more."""
        self._expected = {}

    def promised(self, token: bytes) -> bytes | None:
        """Return what was promised; None where nothing was."""
        return self._expected.get(token)


class ChallengeApp:
    """The ASGI app of the listener; ``names`` are our hosts, ``origin`` the Portal's own."""

    def __init__(self, challenges: Challenges, names: tuple[str, ...], origin: Origin) -> None:
        self._challenges = challenges
        self._names = frozenset(name.encode("ascii") for name in names)
        self._port = b"" if origin.port == 443 else b":%d" % origin.port  # noqa: PLR2004 - https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its body isn't read."""
        del receive
        method = scope["method"].encode("ascii")
        try:
            response = self._response(scope, method)
        except Refusal as refusal:
            line = line_of(scope)
            line.refuse(refusal)
            response = refusal_response(refusal, request_id=line.request_id)
        await send_response(send, response, method)

    def _response(self, scope: Scope, method: bytes) -> Response:
        target = target_of(scope)
        if method not in _READ:
            raise Refusal(Code.METHOD_NOT_ALLOWED, "only GET and HEAD", allow="GET, HEAD")
        if target.startswith(PREFIX):
            promised = self._challenges.promised(target.removeprefix(PREFIX))
            if promised is None:
                raise Refusal(Code.NOT_FOUND, "no authority was promised this")
            fields = ((b"content-type", b"application/octet-stream"), _NOT_KEPT)
            return Response(200, fields, promised)
        host = b",".join(values_of(scope["headers"], b"host"))
        name = host.partition(b":")[0].lower()
        if name not in self._names:
            raise Refusal(Code.MISDIRECTED, f"Host {host[:300]!r} isn't certified for us")
        if not target.startswith(b"/") or len(target) > _LONGEST_TARGET:
            raise Refusal(Code.NOT_FOUND, "no path")
        where = b"https://" + name + self._port + target
        return Response(308, ((b"location", where), _NOT_KEPT), b"")
