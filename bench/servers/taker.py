"""The app that takes uploads and compares every byte; without nginx it serves the rest too.

``python -m bench.servers.taker PORT``. Under ``/slow/`` it takes what is sent at a slow reader's
rate, so that what is on its way stays there for seconds.
"""

import asyncio
import sys
from typing import cast

import httptools

from bench.endpoint import LOOPBACK
from bench.work import SIZES, TAKEN, content, size_of


def response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


_GOOD = response("200 OK", TAKEN)
_BAD = response("409 Conflict", b"another body\n")
_SLOW_BYTES = 256 * 1024
"""How much a slow reader takes, ..."""
_SLOW_PAUSE = 0.02
"""... before it rests for so many seconds."""
_UNKNOWN = response("404 Not Found", b"")


class Taker(asyncio.Protocol):
    """One connection; requests follow one another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._got = 0
        self._right = True

    def on_url(self, url: bytes) -> None:
        """Note what is to come, or asked for."""
        name = url.rpartition(b"/")[2].decode("ascii", "replace")
        self._content = content(name) if size_of(name) is not None else None
        self._is_slow = b"/slow/" in url
        self._until_rest = _SLOW_BYTES

    def on_body(self, body: bytes) -> None:
        """Compare a piece."""
        if self._content is None or not self._content.startswith(body, self._got):
            self._right = False
        self._got += len(body)
        if self._is_slow:
            self._until_rest -= len(body)
            if self._until_rest <= 0:
                self._until_rest = _SLOW_BYTES
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(_SLOW_PAUSE, self._transport.resume_reading)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._content is None:
            self._transport.write(_UNKNOWN)
        elif self._parser.get_method() == b"POST":
            whole = self._right and self._got == len(self._content)
            self._transport.write(_GOOD if whole else _BAD)
        else:
            self._transport.write(response("200 OK", self._content))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Taker, LOOPBACK, port, backlog=2048, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    for size in SIZES:
        content(size)
    asyncio.run(_serve(int(sys.argv[1])))
