"""Both ends of a connection for tests: a server with a script, a client of raw bytes, a listener.

All of them run in the test's own loop, over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from proxy.core.http.origin import Origin
from proxy.http.server.protocol import TARGET, ServerConnection
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.tls.handshakes import HandshakeLimiter
from proxy.http.tls.opening import accept
from proxy.http.upstream import Destination
from tests.patience import PATIENCE

LOOPBACK = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Abort; asyncio fails where a close had waited for its buffer and is done already."""
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


@dataclass
class Link:
    """One accepted or opened connection, as bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, end: bytes) -> bytes:
        """Read up to and with ``end``."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def head(self) -> bytes:
        """Read a head with its empty line."""
        return await self.until(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        """Read ``count`` bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Read all that comes until the end."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def response(self, *, bodiless: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one response: its status, its fields (each name once), its body."""
        head = await self.head()
        first, *lines = head[:-4].split(b"\r\n")
        fields = {name: value for name, _, value in (line.partition(b": ") for line in lines)}
        assert len(fields) == len(lines), head
        status = int(first.split(b" ")[1])
        if bodiless or status in (204, 304) or status < 200:
            return status, fields, b""
        if b"content-length" in fields:
            return status, fields, await self.exactly(int(fields[b"content-length"]))
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
            return status, fields, body
        return status, fields, await self.rest()

    async def is_ended(self) -> bool:
        """Wait for the other side's end; tells whether nothing else came before it."""
        return await self.rest() == b""

    def stop_reading(self) -> None:
        """Take nothing more, so that the sockets fill up."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def end(self) -> None:
        """Send our end, and go on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the other side was faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        _abort(self.writer)

    def close(self) -> None:
        """Close both ways."""
        self.writer.close()


Script = Callable[[Link], Awaitable[None]]


@dataclass
class Server:
    """What the scripted server counted."""

    to: Destination
    connections: int = 0
    requests: int = 0
    links: list[Link] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def scripted(
    script: Script, *, tls: ssl.SSLContext | None = None, unix: str = "", keeps: bool = True
) -> AsyncIterator[Server]:
    """Serve every connection by ``script``, then close it; ``keeps`` what the test looks at."""
    tasks: set[asyncio.Task[Any]] = set()
    is_ending = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if is_ending:  # it was let in by a loop that had no turn for it until now
            _abort(writer)
            return
        tasks.add(task)
        server.connections += 1
        link = Link(reader, writer)
        if keeps:
            server.links.append(link)
        try:
            await script(link)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            if keeps:
                server.broken.append(error)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()
            tasks.discard(task)

    if unix:
        listener = await asyncio.start_unix_server(serve, unix, ssl=tls)
        server = Server(Destination(Origin("http", "app.example", 80), unix=unix))
    else:
        sock = socket.create_server((LOOPBACK, 0))
        listener = await asyncio.start_server(serve, sock=sock, ssl=tls, limit=1 << 16)
        port = sock.getsockname()[1]
        origin = Origin("https" if tls else "http", "app.example", 80)
        server = Server(Destination(origin, connect=(LOOPBACK, port)))
    try:
        yield server
    finally:
        is_ending = True
        listener.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for link in server.links:
            _abort(link.writer)
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(
    port: int, *, buffer: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Link]:
    """Connect to ``port``; ``buffer`` limits what this side's socket takes in unread.

    With ``tls`` the listener must be ``app.example``.
    """
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setblocking(False)  # noqa: FBT003 - the socket API
    await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
    name = "app.example" if tls else None
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=buffer or 1 << 16, ssl=tls, server_hostname=name
    )
    link = Link(reader, writer)
    try:
        yield link
    finally:
        _abort(writer)
        with contextlib.suppress(OSError):
            await writer.wait_closed()


Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


@dataclass
class Listening:
    """A listener's port, and what uvicorn knows of it."""

    port: int
    state: ServerState


@asynccontextmanager
async def listening(
    app: App,
    timeouts: ConnectionTimeouts | None = None,
    base: type[ServerConnection] = ServerConnection,
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Listening]:
    """Serve ``app`` by the listener's protocol, as uvicorn would; nothing may be left over."""
    state = ServerState()
    config = config_for(app)
    protocol = protocol_with(timeouts or ConnectionTimeouts(), base)
    async with accepting(lambda: protocol(config, state, {}), tls) as port:
        try:
            yield Listening(port, state)
            await settled(lambda: not state.tasks)
        finally:
            for connection in list(state.connections):
                connection.shutdown()
            await settled(lambda: not state.connections)


@asynccontextmanager
async def accepting(
    make: Callable[[], asyncio.BufferedProtocol], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve each connection by what ``make`` makes, as the listener does; gives the port."""
    loop = asyncio.get_running_loop()
    if tls is None:
        async with await loop.create_server(make, LOOPBACK, 0) as server:
            yield server.sockets[0].getsockname()[1]
        return
    context, limiter = tls, HandshakeLimiter(64)
    arriving: set[asyncio.Task[None]] = set()

    async def arrive(accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await accept(accepted, lambda: context, make, PATIENCE, limiter, None)

    def take() -> None:
        accepted, _ = listener.accept()
        accepted.setblocking(False)  # noqa: FBT003 - the socket API
        task = asyncio.create_task(arrive(accepted))
        arriving.add(task)
        task.add_done_callback(arriving.discard)

    with socket.create_server((LOOPBACK, 0), backlog=128) as listener:
        listener.setblocking(False)  # noqa: FBT003 - the socket API
        loop.add_reader(listener, take)
        try:
            yield listener.getsockname()[1]
        finally:
            loop.remove_reader(listener)
            for task in arriving:
                task.cancel()
            await asyncio.gather(*arriving, return_exceptions=True)


def protocol_with(
    timeouts: ConnectionTimeouts, base: type[ServerConnection] = ServerConnection
) -> type[ServerConnection]:
    """Return the listener's protocol with other timeouts."""
    return type("WithOtherTimeouts", (base,), {"timeouts": timeouts})


class Crowded(ServerConnection):
    """A listener that has hardly a place left."""

    is_short = staticmethod(lambda: True)


class Unhurried(ServerConnection):
    """A listener that never makes its app wait, so that much is left to send at the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport.set_write_buffer_limits(high=1 << 30)


def config_for(app: App) -> uvicorn.Config:
    """Return the settings that the proxy gives uvicorn, as far as they matter here."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return config


@dataclass
class Recorder:
    """An app that notes what it was given and answers with the body that it got."""

    seen: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    started: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.started += 1
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope["state"][TARGET], list(scope["headers"]), body))
        await respond(send, body)


async def respond(send: Send, body: bytes = b"ok", status: int = 200) -> None:
    """Answer with ``body`` and its length."""
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def settled(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until ``condition`` holds, or fail."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def tasks() -> set[asyncio.Task[Any]]:
    """Return the tasks that run beside the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@contextmanager
def unchanged_tasks() -> Iterator[None]:
    """Check that no task is left behind that wasn't there before."""
    before = tasks()
    yield
    assert tasks() <= before
