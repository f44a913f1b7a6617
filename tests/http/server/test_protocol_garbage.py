"""A connection that is over is gone at once: Python looks for garbage too seldom to wait for it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from proxy.http.server.exchange import Exchange
from proxy.http.server.protocol import ServerConnection
from proxy.http.server.requests import ConnectionRequests
from tests.http.ends import LOOPBACK, listening, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"


class Watched(ServerConnection):
    """Is remembered as long as somebody else holds it, and so is its transport."""

    seen: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.seen.update((self, transport))


async def _app(_scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        _HEAD + bytes(200_000),
        _HEAD,
        b"\0\r\n\r\n",
    ],
    ids=["nothing", "half a head", "a request", "much of a body", "a head", "no request"],
)
async def test_nothing_is_left_of_a_client_that_leaves(said: bytes) -> None:
    ours = (ServerConnection, ConnectionRequests, Exchange)
    before = _count(ours)
    async with listening(_app, base=Watched) as listener:
        for _ in range(5):
            _, writer = await asyncio.open_connection(LOOPBACK, listener.port)
            writer.write(said)
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.transport.abort()
            del writer
        await settled(lambda: not Watched.seen and _count(ours) == before)


def _count(types: tuple[type, ...]) -> int:
    return sum(isinstance(each, types) for each in gc.get_objects())
