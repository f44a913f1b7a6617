"""The last response on a connection, whatever is asked on it: a refusal, and the end."""

import asyncio
from typing import cast

from proxy.core.errors import Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.http1.writer import response_head
from proxy.http.read_buffer import ReadBuffer
from proxy.http.server.lingering import Lingering
from proxy.http.server.pacing import WriteSide
from proxy.http.server.timeouts import ConnectionTimeouts, Deadline


def last_response(refusal: Refusal) -> bytes:
    """Return the response that tells of ``refusal``, and that the connection ends behind it."""
    response = refusal_response(refusal)
    length = (b"content-length", str(len(response.body)).encode("ascii"))
    fields = (*response.fields, length, (b"connection", b"close"))
    return response_head(response.status, fields) + response.body


class Refusing(asyncio.BufferedProtocol):
    """A connection that gets ``response`` at once; nobody looks at what its client asks.

    It is read from until the client closes it, or ``Lingering`` says that it is time.
    """

    def __init__(self, response: bytes, timeouts: ConnectionTimeouts) -> None:
        self._response = response
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop)
        self._transport: asyncio.Transport | None = None
        self._lingering: Lingering | None = None
        self._read_buffer = ReadBuffer(1)
        self.over = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the response, and end our side."""
        self._transport = cast(asyncio.Transport, transport)
        write_side = WriteSide(self._transport, self._deadline, self._timeouts)
        self._lingering = Lingering(
            self._transport, self._deadline, self._timeouts, write_side, is_short=lambda: False
        )
        write_side.write(self._response)
        self._lingering.begin(is_hurried=False)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to read to."""
        return self._read_buffer.view()

    def buffer_updated(self, nbytes: int) -> None:
        """Read past it."""
        if self._lingering is not None:
            self._lingering.note(nbytes)

    def shutdown(self) -> None:
        """Linger no longer than needed for who reads at once: this place is needed, or we end."""
        if self._lingering is not None:
            self._lingering.hurry()

    def break_off(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        del exc
        self._deadline.end()
        if not self.over.done():
            self.over.set_result(None)
