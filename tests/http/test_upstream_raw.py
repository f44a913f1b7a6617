"""The raw stream that a 101 makes of a connection to an app."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.http.client.engine import Http1Upstream
from proxy.http.client.server_history import ServerHistory
from proxy.http.tcp_keepalive import PATIENCE as KERNEL_PATIENCE
from proxy.http.upstream import (
    Destination,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeouts,
)
from tests.http.ends import Link, scripted, settled, unchanged_tasks
from tests.patience import PATIENCE

_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
_PIECE = b"x" * 65536


def _ask(to: Destination, timeouts: UpstreamTimeouts) -> UpstreamRequest:
    fields = ((b"host", b"a"), (b"connection", b"upgrade"), (b"upgrade", b"x"))
    return UpstreamRequest(to, b"GET", b"/", fields, None, timeouts)


@asynccontextmanager
async def _raw(
    http1: Http1Upstream,
    script: Callable[[Link], Awaitable[None]],
    timeouts: UpstreamTimeouts | None = None,
) -> AsyncIterator[UpstreamResponse]:
    """Give the raw stream to a server that follows ``script`` behind its 101."""

    async def switching(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED)
        await script(link)

    async with (
        scripted(switching) as server,
        http1.send(_ask(server.to, timeouts or UpstreamTimeouts())) as response,
    ):
        assert response.status == 101
        yield response


async def test_it_may_be_silent_for_longer_than_a_response(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        await asyncio.sleep(0.5)
        await link.send(b"at last")
        assert await link.is_ended()

    async with _raw(http1, script, UpstreamTimeouts(read=0.1, write=0.1)) as response:
        assert await anext(response.pieces()) == b"at last"


async def test_the_server_is_heard_after_our_end(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        heard = await link.rest()
        await link.send(heard + b", too")

    async with _raw(http1, script) as response:
        await response.write(b"hello")
        response.write_end()
        assert b"".join([piece async for piece in response.pieces()]) == b"hello, too"


async def test_the_server_hears_us_after_its_end(http1: Http1Upstream) -> None:
    heard: list[bytes] = []

    async def script(link: Link) -> None:
        link.end()
        heard.append(await link.rest())

    async with _raw(http1, script) as response:
        assert [piece async for piece in response.pieces()] == []
        await response.write(b"hello")
        response.write_end()
        await settled(lambda: heard)
    assert heard == [b"hello"]


async def test_over_tls_our_end_stands_behind_what_was_written(
    http1: Http1Upstream, serving: ssl.SSLContext
) -> None:
    heard: list[bytes] = []

    async def script(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED)
        heard.append(await link.rest())

    async with (
        scripted(script, tls=serving) as server,
        http1.send(_ask(server.to, UpstreamTimeouts())) as response,
    ):
        await response.write(_PIECE)
        response.write_end()
        await settled(lambda: heard)
        assert [piece async for piece in response.pieces()] == []
    assert heard == [_PIECE]


async def test_over_tls_a_stream_that_somebody_cut_hasn_t_ended(
    http1: Http1Upstream, serving: ssl.SSLContext
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED)
        link.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await link.rest()

    async with (
        scripted(script, tls=serving) as server,
        http1.send(_ask(server.to, UpstreamTimeouts())) as response,
    ):
        with pytest.raises(UpstreamFailed):
            assert [piece async for piece in response.pieces()] == []


async def test_two_that_wait_for_space_both_go_on(http1: Http1Upstream) -> None:
    go_on = asyncio.Event()

    async def script(link: Link) -> None:
        await go_on.wait()
        await link.rest()

    async with _raw(http1, script) as response:
        writing = [asyncio.create_task(_fill(response)) for _ in range(2)]
        await asyncio.wait(writing, timeout=0.3)
        assert not any(task.done() for task in writing)
        go_on.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*writing)


async def _fill(response: UpstreamResponse) -> None:
    for _ in range(400):
        await response.write(_PIECE)


async def test_a_server_that_takes_nothing_is_given_up(http1: Http1Upstream) -> None:
    async def script(_link: Link) -> None:
        await asyncio.Event().wait()

    async with _raw(http1, script, UpstreamTimeouts(write=0.2)) as response:
        with pytest.raises(UpstreamFailed) as failed:
            await _fill(response)
    assert failed.value.timeout


async def test_it_is_never_another_requests_however_well_it_ended(http1: Http1Upstream) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.send(_SWITCHED)
        link.end()
        await link.rest()

    with unchanged_tasks():
        async with scripted(script) as server:
            for _ in range(2):
                async with http1.send(_ask(server.to, UpstreamTimeouts())) as response:
                    assert [piece async for piece in response.pieces()] == []
                    response.write_end()
                with pytest.raises(UpstreamFailed):
                    await response.write(b"GET /smuggled HTTP/1.1\r\n\r\n")
                with pytest.raises(UpstreamFailed):
                    response.write_end()
            assert server.connections == 2


async def test_the_kernel_looks_whether_a_silent_server_is_still_there(
    http1: Http1Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    connect = http1._pool._connect

    async def noting(to: ServerHistory) -> Any:
        made.append(await connect(to))
        return made[-1]

    monkeypatch.setattr(http1._pool, "_connect", noting)

    async def script(link: Link) -> None:
        await link.rest()

    async with _raw(http1, script):
        sock = made[0]._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == (
            KERNEL_PATIENCE * 1000
        )
