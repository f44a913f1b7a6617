"""What becomes of connections that can't be made."""

import asyncio
import socket
import ssl
from typing import Any

from proxy.config.limits import Limits
from proxy.config.listen import Address
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.server.listener import Listener
from proxy.server.sockets import open_socket
from proxy.transfer.limiters import ConnectionLimiter
from tests.http.ends import LOOPBACK, settled


async def _app(scope: dict[str, Any], receive: object, send: object) -> None:
    raise AssertionError((scope, receive, send))


async def test_a_mistake_of_ours_in_a_handshake_gives_the_place_back() -> None:
    asked: list[bool] = []

    def broken() -> ssl.SSLContext:
        asked.append(True)
        raise RuntimeError("no certificate")

    limiter = ConnectionLimiter(Limits())
    listening = open_socket(Address(LOOPBACK, 0))
    listener = Listener("public", _app, listening, ConnectionTimeouts(), limiter, broken)
    listener.begin()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    try:
        with socket.create_connection(listening.socket.getsockname()) as client:
            client.sendall(b"\x16")
            await settled(lambda: bool(asked) and listener.is_idle)
            assert len(limiter) == 0
    finally:
        await listener.break_off()
