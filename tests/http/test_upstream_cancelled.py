"""An exchange given up at each of its points leaves nothing: no connection, task or descriptor."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination, Upstream, UpstreamRequest, UpstreamTimeouts
from tests.http.ends import Link, Server, descriptors, scripted, settled, tasks

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


async def _silent(link: Link) -> None:
    await link.rest()


async def _taking_nothing(link: Link) -> None:
    link.stop_reading()
    await asyncio.Event().wait()


async def _stopping(link: Link) -> None:
    await link.head()
    await link.send(_HEAD + b"hello")
    await link.rest()


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


async def _stalled() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


def _request(to: Destination, body: AsyncIterator[bytes] | None) -> UpstreamRequest:
    framing = ((b"transfer-encoding", b"chunked"),) if body is not None else ()
    fields = ((b"host", b"app.example"), *framing)
    return UpstreamRequest(to, b"POST", b"/", fields, body, UpstreamTimeouts(30, 30, 30))


Point = tuple[Callable[[Link], Awaitable[None]], Callable[[], AsyncIterator[bytes]] | None, str]
POINTS: dict[str, Point] = {
    "handshake": (_silent, None, "https"),
    "head": (_silent, None, "http"),
    "body that is read": (_stopping, None, "http"),
    "body that is written": (_taking_nothing, _endless, "http"),
    "body that doesn't come": (_silent, _stalled, "http"),
}


async def _use(engine: Upstream, request: UpstreamRequest) -> None:
    async with engine.send(request) as response:
        async for _ in response.pieces():
            pass


@pytest.mark.more
@pytest.mark.parametrize("row", POINTS)
async def test_nothing_is_left_of_an_exchange_that_is_cancelled(engine: Upstream, row: str) -> None:
    script, body, scheme = POINTS[row]
    gc.collect()
    before, running = descriptors(), tasks()
    async with scripted(script) as server:
        to = Destination(Origin(scheme, "app.example", 80), server.to.connect)  # type: ignore[arg-type]
        for delay in (0.0, 0.001, 0.02, 0.05):
            using = asyncio.create_task(_use(engine, _request(to, body and body())))
            await asyncio.sleep(delay)
            using.cancel()
            with pytest.raises(asyncio.CancelledError):
                await using
        if row != "body that is written":  # there the server doesn't look
            await settled(lambda: _all_ended(server))
    await engine.close()
    gc.collect()
    await settled(lambda: tasks() <= running)
    await settled(lambda: descriptors() <= before)


def _all_ended(server: Server) -> bool:
    return all(link.reader.at_eof() or link.reader.exception() is not None for link in server.links)


async def test_nothing_is_left_where_the_connection_is_not_yet_there(engine: Upstream) -> None:
    gc.collect()
    before, running = descriptors(), tasks()
    to = Destination(Origin("http", "app.example", 80), connect=("192.0.2.1", 81))
    for delay in (0.0, 0.02):
        using = asyncio.create_task(_use(engine, _request(to, None)))
        await asyncio.sleep(delay)
        using.cancel()
        await asyncio.wait((using,))
    gc.collect()
    await settled(lambda: tasks() <= running)
    await settled(lambda: descriptors() <= before)


async def test_a_cancelled_exchange_stays_cancelled_while_its_body_takes_its_time(
    engine: Upstream,
) -> None:
    """The body's own clean-up waits; whoever cancels twice isn't swallowed by it."""
    begun, cleaning = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            begun.set()
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.05)

    async with scripted(_silent) as server:
        using = asyncio.create_task(_use(engine, _request(server.to, body())))
        await settled(begun.is_set)  # what never began has nothing to clean up
        using.cancel()
        await settled(cleaning.is_set)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        await settled(lambda: len(tasks()) <= 1)
