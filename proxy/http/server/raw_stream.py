"""A client's connection behind its 101, as ASGI messages: bytes both ways, each with its own end.

The messages are those of ``proxy.http.scope``. A client that ended its side may still be sent to; of
one that is gone, what it said before its end is still handed over.
"""

import asyncio
from collections import deque
from collections.abc import MutableMapping
from typing import Any

from proxy.http.scope import RAW, STOP
from proxy.http.server.interfaces import Wire

Message = MutableMapping[str, Any]


class Stream:
    """The two ends of it that the app has."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pieces: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_stopping = False
        self.buffered = 0
        self.has_client_ended = False
        self.is_complete = False
        """Whether our end was sent."""

    # What the connection tells.

    def take(self, piece: bytes) -> None:
        """Take in what came."""
        self._pieces.append(piece)
        self.buffered += len(piece)
        self._wake()

    def end(self) -> None:
        """Take note that the client sends nothing more."""
        self.has_client_ended = True
        self._wake()

    def stop(self) -> None:
        """Tell the app that the server is about to end."""
        self._is_stopping = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # What the app calls.

    async def receive(self) -> Message:
        """Return what comes next; the end, once it came, again and again."""
        while not (self._pieces or self.has_client_ended or self._is_stopping):
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if self._is_stopping:
            self._is_stopping = False
            return {"type": STOP}
        if not self._pieces:
            return {"type": RAW, "data": b"", "more": False}
        piece = self._pieces.popleft()
        self.buffered -= len(piece)
        self._wire.go_on_reading()
        return {"type": RAW, "data": piece, "more": True}

    async def send(self, message: Message) -> None:
        """Send what the app says, and wait while the client takes nothing."""
        if message["type"] != RAW or self.is_complete:
            raise RuntimeError(f"{message['type']} isn't expected here")
        if message["data"]:
            self._wire.write(message["data"])
        if message["more"]:
            await self._wire.drained()
        else:
            self.is_complete = True
            self._wire.write_end()
