"""A request's head as an ASGI scope, with the exact target beside what ASGI makes of it."""

from collections.abc import Mapping
from typing import Any, cast

from proxy.core.http.percent_encoding import unquote
from proxy.core.http1.grammar import RequestHead

TARGET = "portal.target"
"""Where ``scope["state"]`` has the request target as it stood on the wire."""

INTERIM = "http.response.interim"
"""The extension, and the message, with which an app passes on an interim response (1xx)."""

UPGRADE = "portal.upgrade"
"""The extension, and the message with which an app answers 101 instead of starting a response.

Its ``headers`` are all that go out. From then on the connection carries ``RAW`` messages, each way.
"""
RAW = "portal.raw"
"""``data`` as it came or is to go, and ``more``: False where that way ends."""
STOP = "portal.stop"
"""Received once, at any time after the upgrade: the server is about to end."""

_MOST_STRAYS = 256


def http_scope(head: RequestHead, connection: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of a request; ``connection`` has what all requests on it share."""
    path, _, query = head.target.partition(b"?")
    return {
        **connection,
        "http_version": "1.1" if head.minor else "1.0",
        "method": head.method.decode("ascii"),
        "path": decoded_path(path),
        "raw_path": path,
        "query_string": query,
        "headers": head.fields,
        "state": {**connection["state"], TARGET: head.target},
    }


def decoded_path(path: bytes) -> str:
    """Return a raw path as ASGI has it: its escapes decoded, as UTF-8.

    One with hundreds of ``%`` that start none stays as it is; no request with one gets anywhere.
    """
    decoded = unquote(path, _MOST_STRAYS)
    return (path if decoded is None else decoded).decode("utf-8", "replace")


def target_of(scope: Mapping[str, Any]) -> bytes:
    """Return the request target as on the wire; under another server, the best it can tell."""
    exact = scope.get("state", {}).get(TARGET)
    if exact is not None:
        return cast(bytes, exact)
    path = cast(bytes, scope.get("raw_path") or scope["path"].encode("utf-8"))
    query = cast(bytes, scope.get("query_string", b""))
    return path + b"?" + query if query else path


def socket_address(name: object) -> tuple[str, int | None] | None:
    """Return what a socket is called as ASGI has it: host and port, or a path and None.

    None where it has no name, as the client's end of a unix socket, or one that is gone.
    """
    if isinstance(name, tuple):
        return name[0], name[1]
    return (name, None) if isinstance(name, str) and name else None


def connection_scope(
    addresses: tuple[object, object], scheme: str, state: dict[str, Any]
) -> dict[str, Any]:
    """Return what the scopes of all requests on one connection have in common.

    ``addresses`` are the client's and the server's.
    """
    client, server = addresses
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "server": server,
        "client": client,
        "scheme": scheme,
        "root_path": "",
        "state": state,
        "extensions": {INTERIM: {}, UPGRADE: {}},
    }
