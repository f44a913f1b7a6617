"""What becomes of connections that can't be made, and of what runs at a forced end."""

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.config.limits import Limits
from proxy.config.listen import Address
from proxy.core.http1.grammar import RequestHead
from proxy.http.downstream import Downstream, RequestHandler
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.server.listener import Listener
from proxy.server.sockets import open_socket
from proxy.transfer.limiters import ConnectionLimiter
from tests.http.ends import LOOPBACK, settled

_TIMEOUTS = ConnectionTimeouts()


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


class _Deaf:
    """Serves a WebSocket, and doesn't end by itself when its client has ended."""

    def __init__(self) -> None:
        self.client: Downstream | None = None
        self.has_ended = False
        self.lefts = 0

    def serve(self, _head: RequestHead, _remote: object, client: Downstream) -> RequestHandler:
        self.client = client
        client.resume()
        return cast("RequestHandler", self)

    def body_received(self, _: bytes, *, ends: bool) -> None:
        if self.client is not None and not self.has_ended:
            if self.lefts or not ends:
                return
            if not cast(Any, self.client).is_upgraded:
                self.client.switch_protocols(())
                self.client.resume()
            else:
                self.has_ended = True

    def client_left(self) -> None:
        self.lefts += 1
        if self.client is not None:
            self.client.finish()

    def stop(self) -> None:
        pass

    def pause_response(self) -> None:
        pass

    def resume_response(self) -> None:
        pass


@pytest.mark.parametrize("is_lost", [False, True], ids=["ended", "lost"])
async def test_at_a_forced_end_a_stream_whose_client_has_ended_is_told(*, is_lost: bool) -> None:
    """Whoever carries it writes its line then: it waited for what the other side still takes."""
    app = _Deaf()
    listening = open_socket(Address(LOOPBACK, 0))
    limiter = ConnectionLimiter(Limits())
    listener = Listener("public", SimpleNamespace(serve=app.serve), listening, _TIMEOUTS, limiter)
    listener.begin()
    with socket.create_connection(listening.socket.getsockname()) as client:
        client.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n")
        await settled(lambda: app.client is not None and cast(Any, app.client).is_upgraded)
        client.shutdown(socket.SHUT_WR)
        await settled(lambda: app.has_ended)
        if is_lost:
            (connection,) = listener._connections()
            connection._transport.abort()
            await settled(lambda: connection._is_lost)
        assert app.lefts == 0
        await listener.break_off()
    assert app.lefts == 1
    assert listener.is_idle
