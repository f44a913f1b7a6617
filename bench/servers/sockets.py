"""An app for WebSockets: takes every handshake, and answers whatever is said with one word.

``python -m bench.servers.sockets PORT``.
"""

import asyncio
import base64
import hashlib
import re
import sys
from typing import cast

from bench.endpoint import LOOPBACK

WORD = b"\x81\x02hi"
"""A text frame, as servers send it."""
_KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r]+)\r\n", re.IGNORECASE)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of RFC 6455, section 1.3."""
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: %b\r\n\r\n"
)


class Sockets(asyncio.Protocol):
    """One connection; its first message is the handshake, in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if self._is_open:
            self._transport.write(WORD)
        elif (key := _KEY.search(data)) is not None:
            self._is_open = True
            digest = hashlib.sha1(key[1] + _GUID, usedforsecurity=False).digest()
            self._transport.write(_ANSWER % base64.b64encode(digest))
        else:
            self._transport.abort()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Sockets, LOOPBACK, port, backlog=2048, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
