"""The smallest proxy: what the listener takes in goes out by the engine, as it comes."""

from collections.abc import AsyncIterator
from typing import Any

from proxy.core.http.headers import Field, end_to_end, values_of
from proxy.http.scope import TARGET
from proxy.http.upstream import (
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamTimeouts,
)
from tests.http.ends import Message, Receive, Send, respond

_TIMEOUTS = UpstreamTimeouts()


class ClientLeftError(Exception):
    """The client left in the middle of its body."""


class PassThrough:
    """An ASGI app that passes every request on to one place."""

    def __init__(
        self, engine: Upstream, to: Destination, timeouts: UpstreamTimeouts = _TIMEOUTS
    ) -> None:
        self._engine = engine
        self._to = to
        self._timeouts = timeouts

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        started = False
        try:
            async with self._engine.send(self._request(scope, receive)) as response:
                started = True
                fields = end_to_end(response.fields)
                if not values_of(response.fields, b"transfer-encoding"):
                    fields += _lengths(response.fields)
                await send(
                    {"type": "http.response.start", "status": response.status, "headers": fields}
                )
                async for piece in response.pieces():
                    await send(_body(piece, more=True))
                await send(_body(b"", more=False))
        except UpstreamFailed as failure:
            if started:
                raise
            await respond(send, b"", 504 if failure.timeout else 502)
        except ClientLeftError:
            pass

    def _request(self, scope: dict[str, Any], receive: Receive) -> UpstreamRequest:
        fields = scope["headers"]
        framing = _lengths(fields) or [
            (b"transfer-encoding", b"chunked") for _ in values_of(fields, b"transfer-encoding")
        ]
        host = values_of(fields, b"host") or [b"none"]
        return UpstreamRequest(
            self._to,
            scope["method"].encode(),
            scope["state"][TARGET],
            ((b"host", host[0]), *end_to_end(fields), *framing),
            _pieces(receive) if framing else None,
            self._timeouts,
        )


def _lengths(fields: Any) -> list[Field]:
    return [(b"content-length", value) for value in values_of(fields, b"content-length")]


def _body(piece: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        more = message["more_body"]
        yield message["body"]
