"""Many handshakes at once: those of one address wait for each other, and for nobody else."""

from __future__ import annotations

import ssl
from contextlib import ExitStack

import pytest

from proxy.http.tls.stream import TlsStream
from proxy.server.listener import HANDSHAKES_AT_ONCE
from tests.certificates import authority
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import RawConnection, request
from tests.wire.test_tls import secure

_TLS = (
    "tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"
    "timeouts: {head: 10m}\nlimits: {connections_per_address: 500}\n"
)
_ONE, _OTHER = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def settings() -> str:
    return _TLS


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority().pem.decode())


def _half_way(portal: Portal, source: str, stack: ExitStack) -> RawConnection:
    """Say hello, hear of the server, and say nothing more."""
    wire = stack.enter_context(RawConnection(portal.public, source))
    stream = TlsStream(_context(), is_server=False, server_hostname="a.example")
    stream.shake(memoryview(b""))
    wire.send(stream.take_outgoing())
    assert wire.piece()
    return wire


def _status(portal: Portal, wire: RawConnection) -> int:
    name = portal.app_host("site")
    with _context().wrap_socket(wire.socket, server_hostname=name.partition(":")[0]) as tls:
        wire.socket = tls
        wire.send(request("GET", "/", ("Host", name)))
        return wire.read().status


def test_who_fills_an_address_s_places_keeps_out_nobody_else(gina: Portal) -> None:
    secure(gina).start()
    with ExitStack() as stack:
        stuck = [_half_way(gina, _ONE, stack) for _ in range(HANDSHAKES_AT_ONCE)]
        waits = stack.enter_context(RawConnection(gina.public, _ONE))
        stream = TlsStream(_context(), is_server=False, server_hostname="a.example")
        stream.shake(memoryview(b""))
        waits.send(stream.take_outgoing())
        with RawConnection(gina.public, _OTHER) as other:
            assert _status(gina, other) == 200
        waits.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waits.piece()
        waits.socket.settimeout(None)
        stuck[0].socket.close()
        assert waits.piece()  # it is its turn
        stuck[1].socket.close()
        with RawConnection(gina.public, _ONE) as last:
            assert _status(gina, last) == 200
    assert "Traceback" not in gina.log
