"""Whoever sent a request: who that is, how its body is framed, and its end for a coroutine.

A client's own connection, or an envelope on it: what serves the request needn't know which.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.types import Scope, Send

from proxy.core.http.forwarded import ForwardedChain, RemotePeer
from proxy.core.http.headers import Field, Fields, values_of
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.log_line import RequestLine


@dataclass(frozen=True)
class Client:
    """One request as a coroutine serves it: where its body comes from, and the response goes."""

    pieces: AsyncIterator[bytes]
    """The request's body; nothing is asked of the client before the first is awaited."""
    send: Send
    chain: ForwardedChain
    """The way by which the connection came; a sealed call came by that of its envelope."""
    line: RequestLine


def remote_peer_of(scope: Scope) -> RemotePeer:
    """Return who is at the other end of the connection.

    A unix socket is known by its own address. That a client has none shows nothing: one that is
    gone before anybody asked has none either.
    """
    client, server = scope.get("client"), scope.get("server")
    is_unix = server is not None and server[1] is None
    is_tls = scope.get("scheme") == "https"
    return RemotePeer(client[0] if client and not is_unix else "", is_unix, is_tls)


def received_framing(fields: Fields) -> Field | None:
    """Return the framing of the request's body; None where it has no body.

    A length in its one form: there are servers to which "010" is eight.
    """
    if lengths := values_of(fields, b"content-length"):
        return b"content-length", lengths[0].lstrip(b"0") or b"0"
    if values_of(fields, b"transfer-encoding"):
        return IN_CHUNKS
    return None
