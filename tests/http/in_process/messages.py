"""Requests for an app in this process, and what an app may be made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination, UpstreamRequest, UpstreamTimeouts

if TYPE_CHECKING:
    from starlette.types import Message

    from proxy.core.http.headers import Field

TO = Destination(Origin("http", "app.example", 80))
HOST = (b"host", b"app.example")
LENGTH = b"content-length"


def ask(
    *fields: Field,
    method: bytes = b"GET",
    target: bytes = b"/",
    body: AsyncIterator[bytes] | None = None,
    read: float = 10.0,
) -> UpstreamRequest:
    """Return a request; ``read`` is how long its response may take."""
    timeouts = UpstreamTimeouts(read=read)
    return UpstreamRequest(TO, method, target, (HOST, *fields), body, timeouts)


async def pieces(*given: bytes | Exception) -> AsyncIterator[bytes]:
    """Yield what is given, and raise what isn't bytes."""
    for piece in given:
        if isinstance(piece, Exception):
            raise piece
        yield piece


def start(*fields: Field, status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(piece: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}
