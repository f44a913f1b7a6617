"""uvicorn with one of three protocols, its app answering by itself.

``python -m bench.servers.way_in PORT httptools|h11|ours``
"""

import sys
from typing import Any

from starlette.types import Receive, Scope, Send

from bench.servers.uvicorn_server import run
from bench.work import SIZES, TAKEN, content
from proxy.http.server.protocol import ServerConnection

_PIECE = 64 * 1024
_PROTOCOLS: dict[str, Any] = {"httptools": "httptools", "h11": "h11", "ours": ServerConnection}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Give what is asked for, or take and compare what is sent."""
    body = content(scope["path"].rpartition("/")[2])
    status = 200
    if scope["method"] == "POST":
        status, body = await _taken(receive, body)
    length = str(len(body)).encode("ascii")
    fields = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    for start in range(0, len(body), _PIECE):
        more = start + _PIECE < len(body)
        piece = body[start : start + _PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _taken(receive: Receive, expected: bytes) -> tuple[int, bytes]:
    got, right, more = 0, True, True
    while more:
        message = await receive()
        piece = message.get("body", b"")
        right = right and expected.startswith(piece, got)
        got += len(piece)
        more = message.get("more_body", False)
    return (200, TAKEN) if right and got == len(expected) else (409, b"another body\n")


if __name__ == "__main__":
    for size in SIZES:
        content(size)
    run(app, int(sys.argv[1]), _PROTOCOLS[sys.argv[2]])
