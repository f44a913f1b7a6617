"""What an app in this process is told of a request that was admitted, as an ASGI scope.

Its fields are the whole truth: whatever of the server's scope a client can have a say in is made
anew from them, or left out.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from starlette.types import Scope

from proxy.core.http.headers import Fields, values_of
from proxy.http.scope import TARGET, decoded_path
from proxy.http.upstream import UpstreamRequest

server_scope: ContextVar[Mapping[str, Any]] = ContextVar("server_scope")
"""The scope of the request that is served, as the server gave it."""

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_SECURE = {"http": "ws", "https": "wss"}


def http_scope(request: UpstreamRequest) -> Scope:
    return {
        **_shared(request),
        "type": "http",
        "method": request.method.decode("ascii"),
        "extensions": {},
    }


def websocket_scope(request: UpstreamRequest) -> Scope:
    """Return the scope of a WebSocket; ``request`` is its handshake."""
    shared = _shared(request)
    lines = b",".join(values_of(request.fields, b"sec-websocket-protocol")).split(b",")
    return {
        **shared,
        "type": "websocket",
        "scheme": _SECURE[shared["scheme"]],
        "subprotocols": [name.strip(b" \t").decode("ascii") for name in lines if name.strip()],
        "extensions": {"websocket.http.response": {}},
    }


def _shared(request: UpstreamRequest) -> Scope:
    path, _, query = request.target.partition(b"?")
    around = server_scope.get({})
    state = {name: value for name, value in around.get("state", {}).items() if name != TARGET}
    return {
        "asgi": dict(_ASGI),
        "http_version": "1.1",
        "scheme": _scheme(request),
        "server": around.get("server"),
        "client": _client(request.fields),
        "root_path": "",
        "path": decoded_path(path),
        "raw_path": path,
        "query_string": query,
        "headers": list(request.fields),
        "state": state,
    }


def _scheme(request: UpstreamRequest) -> str:
    """Return what the client spoke, as the fields tell it."""
    told = values_of(request.fields, b"x-forwarded-proto")
    if len(told) == 1 and told[0] in (b"http", b"https"):
        return told[0].decode("ascii")
    return request.to.origin.scheme


def _client(fields: Fields) -> tuple[str, int] | None:
    """Return the client's address as the fields tell it; its port is nobody's business."""
    told = values_of(fields, b"x-forwarded-for")
    first = told[0].partition(b",")[0].decode("latin-1") if told else "unknown"
    return None if first == "unknown" else (first, 0)
