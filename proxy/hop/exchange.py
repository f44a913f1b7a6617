"""One request and its response over one connection, both ways at once.

The answer may begin, and end, before the request's body does: then the rest of the body stays
unsent and the connection is given up. A body that isn't what its framing says is never passed on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from proxy.core.headers import values_of
from proxy.core.http1.framing import Persistence, persistence
from proxy.core.http1.grammar import ResponseHead
from proxy.core.http1.reader import END, Interim
from proxy.core.http1.writer import LAST_CHUNK, chunk, request_head
from proxy.hop.connection import Connection
from proxy.upstream import UpstreamFailed, UpstreamRequest

_CONTINUE = 100


class Exchange:
    """The life of one request on ``connection``; ``start`` it, read ``pieces``, then ``finish``."""

    def __init__(self, connection: Connection, request: UpstreamRequest) -> None:
        self._connection = connection
        self._request = request
        self._pump: asyncio.Task[None] | None = None
        self._persistence = Persistence(keeps=False, options=frozenset())
        self._is_sent = request.body is None
        self._is_whole = False

    async def start(self) -> ResponseHead:
        """Send the request and return the head of its final response; raises ``UpstreamFailed``."""
        request, connection = self._request, self._connection
        connection.begin(request.method, upgrade=bool(values_of(request.fields, b"upgrade")))
        connection.write(request_head(request.method, request.target, request.fields))
        if request.body is not None:
            self._pump = asyncio.create_task(self._send_body(request.body))
        while True:
            event = await connection.next_event(request.timeouts.read)
            if isinstance(event, ResponseHead):
                self._persistence = persistence(event.fields, event.minor)
                return event
            if isinstance(event, Interim) and event.head.status != _CONTINUE:
                await self._pass_on(event)

    async def _pass_on(self, interim: Interim) -> None:
        if self._request.on_interim is not None:
            await self._request.on_interim(interim.head.status, interim.head.fields)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the response's body as it arrives; raises ``UpstreamFailed`` unless it is whole."""
        while (event := await self._connection.next_event(self._request.timeouts.read)) is not END:
            if isinstance(event, bytes):
                yield event
        self._is_whole = True

    async def finish(self) -> bool:
        """Stop whatever still runs; tell whether the connection may carry another request."""
        is_whole = self._is_whole or self._connection.take_end()
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump
        if is_whole and self._is_sent and self._connection.is_reusable(self._persistence):
            return True
        self._connection.fail(UpstreamFailed("the exchange was given up"))
        return False

    async def write(self, data: bytes) -> None:
        """Send bytes on the raw stream that a 101 has made of the connection."""
        self._connection.write(data)
        await self._connection.drained(self._request.timeouts.write)

    async def _send_body(self, pieces: AsyncIterator[bytes]) -> None:
        """Send the request's body as it comes, in the framing that its head announced."""
        fields = self._request.fields
        lengths = values_of(fields, b"content-length")
        left = int(lengths[0]) if lengths else None
        try:
            async for piece in pieces:
                if not piece:
                    continue
                if left is not None:
                    left = _remaining(left, piece)
                self._connection.write(piece if left is not None else chunk(piece))
                await self._connection.drained(self._request.timeouts.write)
            if left is None:
                self._connection.write(LAST_CHUNK)
            elif left:
                raise UpstreamFailed(f"the request's body is {left} bytes short")  # noqa: TRY301
            self._is_sent = True
        except UpstreamFailed as failure:
            # An answer that came before is still there to be read; the connection isn't reused.
            self._connection.stop(failure)
        except Exception as error:  # noqa: BLE001 - whatever ends the body ends the exchange
            self._connection.fail(error)


def _remaining(left: int, piece: bytes) -> int:
    if len(piece) > left:
        raise UpstreamFailed("the request's body is longer than it said")
    return left - len(piece)
