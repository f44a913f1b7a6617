"""A bare hop through one of our two engines, behind our own way in.

``python -m bench.servers.engine PORT UPSTREAM hop|httpx``
"""

import sys

from starlette.types import Receive, Scope, Send

from bench.endpoint import LOOPBACK
from bench.servers.uvicorn_server import run
from proxy.cli.http_client import HttpxUpstream
from proxy.core.http.headers import end_to_end
from proxy.core.http.origin import parse_origin
from proxy.http.client.engine import Http1Upstream
from proxy.http.scope import TARGET
from proxy.http.server.protocol import ServerConnection
from proxy.http.upstream import Destination, Upstream, UpstreamRequest
from proxy.transfer.body import RequestPieces


class Hop:
    """Passes every request on; decides nothing."""

    def __init__(self, upstream: int, engine: Upstream) -> None:
        self._to = Destination(parse_origin(f"http://{LOOPBACK}:{upstream}"))
        self._host = (b"host", self._to.origin.authority.encode("ascii"))
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request to the app, and the response back."""
        length = tuple(field for field in scope["headers"] if field[0] == b"content-length")
        request = UpstreamRequest(
            self._to,
            scope["method"].encode("ascii"),
            scope["state"][TARGET],
            (self._host, *end_to_end(scope["headers"]), *length),
            RequestPieces(receive) if length else None,
        )
        async with self._engine.send(request) as response:
            start = {"status": response.status, "headers": response.fields}
            await send({"type": "http.response.start", **start})
            async for piece in response.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


if __name__ == "__main__":
    engines: dict[str, type[Http1Upstream] | type[HttpxUpstream]] = {
        "hop": Http1Upstream,
        "httpx": HttpxUpstream,
    }
    run(Hop(int(sys.argv[2]), engines[sys.argv[3]]()), int(sys.argv[1]), ServerConnection)
