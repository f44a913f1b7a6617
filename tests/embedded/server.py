"""Another ASGI server as a test plays it: what it tells, and what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from proxy.core.http.headers import Field

PATIENCE = 10.0


@dataclass
class Server:
    """One request's two ends; ``says`` what a test gives it, in that order."""

    sent: list[Message] = field(default_factory=list)
    """What the app sent."""
    asked: int = 0
    """How often ``receive`` was called."""
    error: Exception | None = None
    """What ``send`` raises from now on."""
    _said: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def says(self, *messages: Message) -> None:
        for message in messages:
            self._said.put_nowait(message)

    def leaves(self) -> None:
        self.says({"type": "http.disconnect"})

    async def receive(self) -> Message:
        self.asked += 1
        return await self._said.get()

    async def send(self, message: Message) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(message)

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        async with asyncio.timeout(PATIENCE):
            await app(scope, self.receive, self.send)

    @property
    def status(self) -> int:
        """The status of the response that was sent."""
        (status,) = (message["status"] for message in self.sent if "status" in message)
        return int(status)

    @property
    def fields(self) -> dict[bytes, bytes]:
        (start,) = (message for message in self.sent if "status" in message)
        return dict(start["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def http(
    host: str = "ada.example",
    target: bytes = b"/",
    *fields: Field,
    method: str = "GET",
    version: str = "1.1",
    **changes: Any,
) -> Scope:
    """Return the scope of a request, as uvicorn would have it."""
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "method": method,
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", host.encode()), *fields],
        "client": ("192.0.2.7", 4711),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
        "state": {},
        **changes,
    }


def request(body: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def living(app: ASGIApp) -> AsyncIterator[list[Message]]:
    """Start ``app`` and stop it, as a server does; gives what it said to that."""
    server = Server()
    server.says({"type": "lifespan.startup"})
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    life = asyncio.create_task(server.serve(app, scope))
    try:
        async with asyncio.timeout(PATIENCE):
            while not (server.sent or life.done()):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)
        yield server.sent
    finally:
        server.says({"type": "lifespan.shutdown"})
        await life
