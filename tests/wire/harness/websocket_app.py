"""An app that speaks WebSockets, by somebody else's library, as a process of its own.

Run it: it prints its port. What a path does is told by the functions below; what the app saw of the
connections that ended is to be asked for at ``/public/seen``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

_SEEN: list[dict[str, object]] = []
_PIECE = b"x" * 65536


async def _echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def _headers(ws: ServerConnection) -> None:
    """Tell the handshake's fields, as they came."""
    assert ws.request is not None
    await ws.send(json.dumps(list(ws.request.headers.raw_items())))


async def _fragments(ws: ServerConnection) -> None:
    """Answer each message in fragments, one a character."""
    async for message in ws:
        await ws.send(iter(message) if isinstance(message, str) else (message, message))


async def _ping(ws: ServerConnection) -> None:
    """Ping, and tell when the response came."""
    await (await ws.ping(b"are you there"))
    await ws.send("pong came")


async def _close(ws: ServerConnection) -> None:
    """Close as the query says."""
    assert ws.request is not None
    query = parse_qs(urlsplit(ws.request.path).query)
    await ws.close(int(query["code"][0]), query.get("reason", [""])[0])


async def _flood(ws: ServerConnection) -> None:
    """Send for as long as somebody takes it, and note how much that was."""
    sent = 0
    try:
        while True:
            await ws.send(_PIECE)
            sent += len(_PIECE)
            _counts["flood"] = sent
    finally:
        _counts["flood"] = sent


async def _deaf(ws: ServerConnection) -> None:
    """Take nothing until the connection is over."""
    ws.transport.pause_reading()
    await ws.wait_closed()


async def _seen(ws: ServerConnection) -> None:
    await ws.send(json.dumps({"seen": _SEEN, **_counts}))


_counts: dict[str, int] = {"open": 0}
_PATHS = {
    "/public/echo": _echo,
    "/public/headers": _headers,
    "/public/fragments": _fragments,
    "/public/ping": _ping,
    "/public/close": _close,
    "/public/flood": _flood,
    "/public/deaf": _deaf,
    "/public/seen": _seen,
    "/private/echo": _echo,
}


async def _serve(ws: ServerConnection) -> None:
    assert ws.request is not None
    path = urlsplit(ws.request.path).path
    if path == "/public/seen":
        return await _seen(ws)
    _counts["open"] += 1
    try:
        await _PATHS[path](ws)
    except ConnectionClosed:
        pass
    finally:
        await ws.wait_closed()
        _SEEN.append({"path": path, "code": ws.close_code, "reason": ws.close_reason})
        _counts["open"] -= 1


def _choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in offered if name in ("chat", "v2.chat")), None)


def _refuse_unknown(ws: ServerConnection, request: Request) -> Response | None:
    if urlsplit(request.path).path in _PATHS:
        return None
    return ws.respond(HTTPStatus.NOT_FOUND, "no WebSocket here\n")


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(
        _serve,
        "127.0.0.1",
        0,
        select_subprotocol=_choose,
        process_request=_refuse_unknown,
        max_size=None,
        ping_interval=None,
        close_timeout=5,
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
