"""What the socket beneath a transport knows, and asyncio doesn't tell."""

import asyncio
import os
import select
import ssl
from collections.abc import Iterator
from contextlib import suppress

_PIECE = 256 * 1024


def is_end_genuine(transport: asyncio.BaseTransport) -> bool:
    """Tell whether the other side ended the stream, not somebody between (RFC 9112, 9.8).

    asyncio tells of both in the same way; the TLS object knows whether a close_notify came.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return tls.read(1) == b""
    except ssl.SSLError:
        return False


def arrivals(transport: asyncio.BaseTransport) -> select.poll:
    """Return what tells, when polled, of what has arrived and the loop hasn't seen: an end, mostly.

    A server may close right behind its response, and a request sent after that would be lost.
    """
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return poll


def left_unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """Yield what the other side said before it broke off: an early response, mostly.

    A server that refuses an upload answers and closes; our next write fails then, and asyncio
    gives up the connection with the response still unread.
    """
    if transport.get_extra_info("sslcontext") is not None:
        return
    descriptor = transport.get_extra_info("socket").fileno()
    with suppress(OSError):
        while data := os.read(descriptor, _PIECE):
            yield data
