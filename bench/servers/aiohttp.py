"""A plain hop of aiohttp's server and client: ``python -m bench.servers.aiohttp PORT UPSTREAM``."""

import sys

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from bench.endpoint import LOOPBACK

_OF_THE_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host"})
_PIECE = 64 * 1024


class Hop:
    """Passes every request on, its body and the answer's as they come."""

    def __init__(self, upstream: int) -> None:
        self._base = f"http://{LOOPBACK}:{upstream}"
        self._session: ClientSession | None = None

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Carry one request to the app, and the response back."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
            )
        fields = [(n, v) for n, v in request.headers.items() if n.lower() not in _OF_THE_HOP]
        async with self._session.request(
            request.method,
            self._base + request.raw_path,
            headers=fields,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            kept = [(n, v) for n, v in answer.headers.items() if n.lower() not in _OF_THE_HOP]
            response = web.StreamResponse(status=answer.status)
            response.headers.extend(kept)
            await response.prepare(request)
            async for piece in answer.content.iter_chunked(_PIECE):
                await response.write(piece)
            await response.write_eof()
            return response


if __name__ == "__main__":
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Hop(int(sys.argv[2])).pass_on)
    web.run_app(
        app, host=LOOPBACK, port=int(sys.argv[1]), access_log=None, print=None, backlog=2048
    )
