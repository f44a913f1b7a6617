"""A request's head as an ASGI scope, with the exact target beside what ASGI makes of it."""

from typing import Any
from urllib.parse import unquote

from proxy.core.http1.grammar import RequestHead

TARGET = "portal.target"
"""Where ``scope["state"]`` has the request target as it stood on the wire."""


def http_scope(head: RequestHead, connection: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of a request; ``connection`` has what all requests on it share."""
    path, _, query = head.target.partition(b"?")
    text = path.decode("ascii")
    return {
        **connection,
        "http_version": "1.1" if head.minor else "1.0",
        "method": head.method.decode("ascii"),
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "headers": head.fields,
        "state": {**connection["state"], TARGET: head.target},
    }


def connection_scope(
    addresses: tuple[object, object], scheme: str, state: dict[str, Any]
) -> dict[str, Any]:
    """Return what the scopes of all requests on one connection have in common.

    ``addresses`` are the client's and the server's, pairs of host and port or None.
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
        "extensions": {"http.response.interim": {}},
    }
