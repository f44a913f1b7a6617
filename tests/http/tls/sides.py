"""Two sides of a TLS connection for tests: ours, and OpenSSL's own, which a test steers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from proxy.http.tls.handshakes import HandshakeLimiter
from proxy.http.tls.opening import accept
from proxy.http.tls.transport import TlsTransport
from tests.http.ends import settled
from tests.patience import PATIENCE


class Notes(asyncio.BufferedProtocol):
    """A protocol that notes what it is told."""

    def __init__(self, size: int = 65536, *, keeps_open: bool = False) -> None:
        self._buffer = memoryview(bytearray(size))
        self._keeps_open = keeps_open
        self.transport = cast(TlsTransport, None)
        self.got = bytearray()
        self.told: list[str] = []
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(TlsTransport, transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self._buffer[:nbytes]

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self._keeps_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost = exc

    @property
    def is_lost(self) -> bool:
        return "lost" in self.told


class Other:
    """The other side: a blocking socket, used from threads; its bytes can be looked at."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="app.example")

    async def shake(self, step: int = 1 << 20) -> None:
        """Carry out the handshake; what is sent goes out in pieces of ``step``."""
        await asyncio.to_thread(self._until, self.tls.do_handshake, step)

    async def send(self, data: bytes) -> None:
        def sending() -> None:
            self.tls.write(data)
            self.socket.sendall(self.outgoing.read())

        await asyncio.to_thread(sending)

    async def read(self) -> bytes:
        """Read what comes next; b"" is a close_notify, a bare end raises."""
        return await asyncio.to_thread(self._until, lambda: self.tls.read(65536))

    async def read_all(self) -> bytes:
        got = bytearray()
        while piece := await self.read():
            got += piece
        return bytes(got)

    async def end(self) -> None:
        """Send close_notify, and leave the socket open."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await asyncio.to_thread(self.socket.sendall, self.outgoing.read())

    def _until(self, step: Callable[[], Any], size: int = 1 << 20) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush(size)
                if came := self.socket.recv(65536):
                    self.incoming.write(came)
                else:
                    self.incoming.write_eof()
            except ssl.SSLZeroReturnError:
                return b""
            else:
                self._flush(size)
                return done

    def _flush(self, size: int) -> None:
        out = self.outgoing.read()
        for at in range(0, len(out), size):
            self.socket.sendall(out[at : at + size])


@asynccontextmanager
async def full(
    connection: asyncio.BufferedProtocol, serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> AsyncIterator[Callable[[], None]]:
    """Give what fills all space towards the other side, which reads nothing past the handshake.

    Then ``connection``, our side, has to be closed.
    """
    here, there = socket.socketpair()
    here.setblocking(False)  # noqa: FBT003 - the socket API
    there.settimeout(PATIENCE)
    other = Other(there, trusting)

    def fill() -> None:
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    here.send(b"x" * size)

    with there:
        await asyncio.gather(
            accept(here, lambda: serving, lambda: connection, PATIENCE, HandshakeLimiter(1), None),
            other.shake(),
        )
        yield fill
    assert here.fileno() == -1


@asynccontextmanager
async def sides(
    serving: ssl.SSLContext,
    trusting: ssl.SSLContext,
    ours: Notes | None = None,
    *,
    step: int = 1 << 20,
    buffer: int = 0,
) -> AsyncIterator[tuple[Notes, Other]]:
    """Give our side as the server and the other as its client, past the handshake.

    ``buffer`` limits what lies between them.
    """
    here, there = socket.socketpair()
    if buffer:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    here.setblocking(False)  # noqa: FBT003 - the socket API
    there.settimeout(PATIENCE)
    notes, other = ours or Notes(), Other(there, trusting)
    with there:
        await asyncio.gather(
            accept(here, lambda: serving, lambda: notes, PATIENCE, HandshakeLimiter(1), "a"),
            other.shake(step),
        )
        try:
            yield notes, other
        finally:
            if not notes.is_lost:
                notes.transport.abort()
            await settled(lambda: notes.is_lost)
    assert here.fileno() == -1
