"""The last response on a connection, whatever is asked on it: a refusal, and the end."""

import asyncio

from proxy.core.errors import Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.http1.writer import response_head


def last_response(refusal: Refusal) -> bytes:
    """Return the response that tells of ``refusal``, and that the connection ends behind it."""
    response = refusal_response(refusal)
    length = (b"content-length", str(len(response.body)).encode("ascii"))
    fields = (*response.fields, length, (b"connection", b"close"))
    return response_head(response.status, fields) + response.body


class Refusing(asyncio.Protocol):
    """A connection that gets ``response`` at once; nobody looks at what its client asks.

    It is read from until the client closes it: closing with unread bytes would reset it, and the
    reset can overtake the response. Who made it must limit the time.
    """

    def __init__(self, response: bytes) -> None:
        self._response = response
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the response, and end our side."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - a stream's is one
        transport.write(self._response)
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        del exc
        if not self.over.done():
            self.over.set_result(None)
