"""Two asyncio protocols that pass on what they get: ``python -m bench.servers.bare PORT UPSTREAM``.

They read none of it, and decide nothing: the floor of any proxy that runs on asyncio.
"""

import asyncio
import sys
from typing import cast

from bench.endpoint import LOOPBACK


class Side(asyncio.Protocol):
    """One of a pair of connections: what it gets, the other one sends."""

    other: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass a piece on."""
        self.other.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.other.close()

    def pause_writing(self) -> None:
        """Have the other side wait until this one has sent what it holds."""
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()


class Front(Side):
    """The client's side, whose requests go to a connection of its own."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.other = self.transport  # until there is another one, nothing is read
        self.transport.pause_reading()
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(Side, LOOPBACK, self._upstream)
        self._connecting = loop.create_task(connecting)
        self._connecting.add_done_callback(self._begin)

    def _begin(self, connected: "asyncio.Task[tuple[asyncio.Transport, Side]]") -> None:
        if connected.cancelled() or connected.exception() is not None:
            self.transport.abort()
            return
        self.other, back = connected.result()
        back.other = self.transport
        self.transport.resume_reading()


async def _serve(port: int, upstream: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Front(upstream), LOOPBACK, port, backlog=2048, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
