"""The app that takes uploads and compares every byte; without nginx it serves the rest too.

``python -m bench.servers.taker PORT``
"""

import asyncio
import sys
from typing import cast

import httptools

from bench.load import LOOPBACK
from bench.work import SIZES, TAKEN, content


def answer(status: str, body: bytes) -> bytes:
    """Return a whole response."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


_GOOD = answer("200 OK", TAKEN)
_BAD = answer("409 Conflict", b"another body\n")
_UNKNOWN = answer("404 Not Found", b"")


class Taker(asyncio.Protocol):
    """One connection; requests follow one another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._got = 0
        self._right = True

    def on_url(self, url: bytes) -> None:
        """Note what is to come, or asked for."""
        name = url.rpartition(b"/")[2].decode("ascii", "replace")
        self._content = content(name) if name in SIZES else None

    def on_body(self, body: bytes) -> None:
        """Compare a piece."""
        if self._content is None or not self._content.startswith(body, self._got):
            self._right = False
        self._got += len(body)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._content is None:
            self._transport.write(_UNKNOWN)
        elif self._parser.get_method() == b"POST":
            whole = self._right and self._got == len(self._content)
            self._transport.write(_GOOD if whole else _BAD)
        else:
            self._transport.write(answer("200 OK", self._content))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Taker, LOOPBACK, port, backlog=2048, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    for size in SIZES:
        content(size)
    asyncio.run(_serve(int(sys.argv[1])))
