"""A client that closed its connection, of which the listener hears while it answers."""

import asyncio
import socket
from typing import Any

from tests.http.ends import LOOPBACK, Receive, Send, listening, respond, settled
from tests.patience import PATIENCE

_GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"


async def test_a_client_that_left_before_its_second_response_is_no_mistake_of_ours() -> None:
    """That response is met with a reset, and the end behind it with an error."""
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    client = socket.socket()

    async def app(_scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        await respond(send)
        client.settimeout(PATIENCE)
        assert client.recv(1 << 16).endswith(b"ok")
        client.close()  # here, so that the listener can't have heard of it

    async with listening(app) as server:
        client.connect((LOOPBACK, server.port))
        client.sendall(_GET + b"no request\r\n\r\n")
        await settled(lambda: server.state.total_requests == 1 and not server.state.tasks)
        await settled(lambda: not server.state.connections)
    assert raised == []
