"""How a connection that isn't used any more ends, whatever the other side takes."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import weakref
from typing import Any, cast

from proxy.http.client.connection import Connection
from proxy.http.read_buffer import SMALL
from proxy.http.upstream import UpstreamFailed, UpstreamTimeouts
from tests.http.ends import settled
from tests.http.tls.sides import full
from tests.patience import PATIENCE

_TIMEOUTS = UpstreamTimeouts(connect=1, read=PATIENCE, write=0.1)


class _Lost(Connection):
    """A connection that notes its end."""

    is_lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True


async def test_one_whose_end_nobody_takes_is_closed_all_the_same(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """TLS says its end, and there may be no space for it: as where the other side reads nothing."""
    connection = _Lost()
    async with full(connection, serving, trusting) as fill:
        now = asyncio.get_running_loop().time()
        connection.begin(cast("Any", None), b"GET", b"x", _TIMEOUTS, now, upgrade=False)
        fill()
        connection.leave()
        connection.close()
        assert not connection.is_lost
        await settled(lambda: connection.is_lost)


async def test_a_response_begins_with_a_small_read_whatever_came_before() -> None:
    """Interim responses are read all at once, and cost more for each byte than content does."""
    here, there = socket.socketpair()
    here.setblocking(False)  # noqa: FBT003 - the socket API
    with there:
        transport, connection = await asyncio.get_running_loop().create_connection(
            Connection, sock=here
        )
        for _ in range(3):  # as a large body does
            connection._read_buffer.take(len(connection.get_buffer(-1)))
        assert len(connection.get_buffer(-1)) > SMALL
        now = asyncio.get_running_loop().time()
        connection.begin(cast("Any", None), b"GET", b"x", _TIMEOUTS, now, upgrade=False)
        assert len(connection.get_buffer(-1)) == SMALL
        connection.leave()
        transport.abort()
        await asyncio.sleep(0)


async def test_nothing_is_left_of_one_that_was_broken_off() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)  # noqa: FBT003 - the socket API
    gc.disable()  # or it would hide what refers to itself
    try:
        with there:
            transport, connection = await asyncio.get_running_loop().create_connection(
                _Lost, sock=here
            )
            left = weakref.ref(transport), weakref.ref(connection)
            connection.break_off(UpstreamFailed("it isn't wanted any more"))
            del transport, connection
            await settled(lambda: left[0]() is None and left[1]() is None)
    finally:
        gc.enable()
