"""A connection that becomes a tunnel: who serves it from then on, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from proxy.http.server.exchange import Exchange
from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import Listening, connected, listening, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.http.forwarded import RemotePeer
    from proxy.core.http1.grammar import RequestHead
    from proxy.http.downstream import Downstream, RequestHandler

_CONNECT = b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_REFUSED = b"CONNECT b:80 HTTP/1.1\r\nHost: b\r\n\r\n"
_GET = b"GET /in HTTP/1.1\r\nHost: a\r\n\r\n"
_OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
_TIMEOUTS = ConnectionTimeouts(last_call=0.2)


class Handler:
    """What serves a request that is answered at once."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _answer(client: Downstream, body: bytes, status: int = 200) -> RequestHandler:
    client.send_head(status, [(b"content-length", b"%d" % len(body))])
    client.send(body, ends=True)
    client.finish()
    return cast("RequestHandler", Handler())


class Tunnel:
    """One that notes what it hears."""

    name = "a tunnel to a"

    def __init__(self) -> None:
        self.end: Callable[[], None] | None = None
        self.closed_times = 0

    def serve(self, head: RequestHead, _: RemotePeer, client: Downstream) -> RequestHandler:
        return _answer(client, b"tunnel " + head.target)

    def opened(self, end: Callable[[], None]) -> None:
        self.end = end

    def closed(self) -> None:
        self.closed_times += 1


class App:
    """Opens a tunnel to ``a``, refuses others, and answers what comes outside of one."""

    def __init__(self) -> None:
        self.tunnel = Tunnel()

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise AssertionError((scope, receive, send))

    def serve(self, head: RequestHead, _: RemotePeer, client: Downstream) -> RequestHandler:
        if head.method != b"CONNECT":
            return _answer(client, b"listener " + head.target)
        if head.target != b"a:80":
            return _answer(client, b"", 403)
        assert isinstance(client, Exchange)
        client.open_tunnel(self.tunnel)
        with pytest.raises(RuntimeError):
            client.open_tunnel(self.tunnel)
        client.finish()
        return cast("RequestHandler", Handler())


def _stop(listener: Listening) -> None:
    for connection in list(listener.state.connections):
        connection.shutdown()


async def test_what_follows_is_the_tunnels_however_it_arrives() -> None:
    raw = _GET + _CONNECT + _GET + _GET
    for cut in range(1, len(raw)):
        app = App()
        async with listening(app, _TIMEOUTS) as listener, connected(listener.port) as link:
            await link.send(raw[:cut])
            await link.send(raw[cut:])
            assert (await link.response())[2] == b"listener /in"
            assert await link.head() == _OPENED
            for _ in range(2):
                assert (await link.response())[2] == b"tunnel /in"
            assert app.tunnel.closed_times == 0
        assert app.tunnel.closed_times == 1


async def test_behind_one_that_is_refused_nothing_is_read() -> None:
    app = App()
    async with listening(app, _TIMEOUTS) as listener, connected(listener.port) as link:
        await link.send(_REFUSED + _GET)
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (403, b"close")
        assert await link.is_ended()
    assert app.tunnel.end is None


async def test_it_ends_at_once_between_two_requests() -> None:
    app = App()
    async with listening(app, _TIMEOUTS) as listener, connected(listener.port) as link:
        await link.send(_CONNECT + _GET)
        assert await link.head() == _OPENED
        assert (await link.response())[2] == b"tunnel /in"
        assert app.tunnel.end is not None
        app.tunnel.end()
        assert await link.is_ended()
        await settled(lambda: app.tunnel.closed_times == 1)


async def test_one_that_opens_at_the_listeners_end_may_ask_once() -> None:
    app = App()
    async with listening(app, _TIMEOUTS) as listener, connected(listener.port) as link:
        await link.send(_CONNECT[:-2])
        await settled(lambda: listener.state.connections)
        _stop(listener)
        await link.send(_CONNECT[-2:])
        assert await link.head() == _OPENED
        await link.send(_GET)
        _, fields, body = await link.response()
        assert (fields[b"connection"], body) == (b"close", b"tunnel /in")
        assert await link.is_ended()


async def test_a_client_that_leaves_is_told_to_the_tunnel() -> None:
    app = App()
    async with listening(app, _TIMEOUTS) as listener, connected(listener.port) as link:
        await link.send(_CONNECT)
        assert await link.head() == _OPENED
        link.reset()
        await settled(lambda: app.tunnel.closed_times == 1)
