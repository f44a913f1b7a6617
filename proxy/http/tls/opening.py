"""TLS's handshake, on a socket that is connected: what comes of it is a ``TlsTransport``.

Until the client's first byte there is a socket and nothing else. What is raised refers to nothing
of the connection, so that nothing of a failed handshake has to be found by the garbage collector.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TypeVar

from proxy.http.futures import wake
from proxy.http.tls.handshakes import HandshakeLimiter
from proxy.http.tls.stream import TlsStream
from proxy.http.tls.transport import TlsTransport, shared_buffer

_AT_ONCE = 16 * 1024
"""Bytes of a handshake that are read at once."""

_Protocol = TypeVar("_Protocol", bound=asyncio.BufferedProtocol)


async def accept(
    sock: socket.socket,
    context: Callable[[], ssl.SSLContext],
    make: Callable[[], _Protocol],
    patience: float,
    limiter: HandshakeLimiter,
    network: Hashable,
) -> _Protocol:
    """Return what ``make`` made, connected by TLS to the client of ``sock``; raises ``OSError``.

    ``context`` is asked when the client begins. ``sock`` is closed where no connection was made
    within ``patience`` seconds, in which it also waits for the turn of its ``network``.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            await _until(loop.add_reader, loop.remove_reader, sock)
            async with limiter.slot(network):
                stream = TlsStream(context(), is_server=True)
                await _shake(loop, sock, stream, begins=False)
    except TimeoutError:
        sock.close()
        raise ConnectionAbortedError(f"no TLS handshake within {patience:g} s") from None
    except BaseException:
        sock.close()
        raise
    return _connected(sock, stream, make)


async def connect(
    sock: socket.socket, context: ssl.SSLContext, name: str, make: Callable[[], _Protocol]
) -> _Protocol:
    """Return what ``make`` made, connected by TLS to the server ``name``; raises ``OSError``."""
    try:
        stream = TlsStream(context, is_server=False, server_hostname=name)
        await _shake(asyncio.get_running_loop(), sock, stream, begins=True)
    except BaseException:
        sock.close()
        raise
    return _connected(sock, stream, make)


def _connected(sock: socket.socket, stream: TlsStream, make: Callable[[], _Protocol]) -> _Protocol:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # it is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    protocol = make()
    TlsTransport(sock, stream, protocol)
    return protocol


async def _shake(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, stream: TlsStream, *, begins: bool
) -> None:
    """Carry out the handshake, which a client ``begins``; raises ``OSError``."""
    received, came = shared_buffer(loop), 0
    while True:
        while not (begins or (came := _receive(sock, received))):
            await _until(loop.add_reader, loop.remove_reader, sock)
        begins = False
        try:
            is_done = stream.shake(received[:came])
        except ssl.SSLError:
            with suppress(OSError):  # the alert that says why, if there is space for it
                sock.send(stream.take_outgoing())
            raise
        if out := stream.take_outgoing():
            await _send(loop, sock, out)
        if is_done:
            return


def _receive(sock: socket.socket, into: memoryview) -> int:
    """Return how many bytes came, 0 if none did yet; raises ``OSError`` at their end."""
    try:
        came = sock.recv_into(into, _AT_ONCE)
    except (BlockingIOError, InterruptedError):
        return 0
    if not came:
        raise ConnectionResetError("the other side left before TLS's handshake was over")
    return came


async def _send(loop: asyncio.AbstractEventLoop, sock: socket.socket, out: bytes) -> None:
    """Send all of it."""
    while out:
        try:
            out = out[sock.send(out) :]
        except (BlockingIOError, InterruptedError):
            await _until(loop.add_writer, loop.remove_writer, sock)


async def _until(
    watch: Callable[..., None], unwatch: Callable[[int], object], sock: socket.socket
) -> None:
    """Wait until the socket is ready for what is watched."""
    ready, descriptor = asyncio.get_running_loop().create_future(), sock.fileno()
    watch(descriptor, wake, ready)
    try:
        await ready
    finally:
        unwatch(descriptor)
