"""What TLS connections hold: idle, silent, and after their handshake failed."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import authority
from tests.more.test_websockets_idle import TLS
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, RawConnection, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sockets import resident
from tests.wire.test_tls import secure

pytestmark = pytest.mark.more

MANY = 1000
KIB = 1024
_SETTINGS = "timeouts: {head: 10m, idle: 10m}\ntrusted_proxies: [127.0.0.1]\n" + TLS


@pytest.fixture
def nora(tmp_path: Path) -> Iterator[Portal]:
    """A Portal with TLS that waits long for everybody."""
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY + 500:
        pytest.skip("this machine allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, MANY + 500), hard))
    portal = Portal(tmp_path / "nora", "Nora", settings=_SETTINGS)
    try:
        with Recorder() as app:
            portal.add_app("site", SITE, app.port)
            yield secure(portal).start()
    finally:
        portal.release()
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _opened(portal: Portal, stack: ExitStack, context: ssl.SSLContext) -> RawConnection:
    """Open a connection with TLS on which one request was answered."""
    wire = stack.enter_context(RawConnection(portal.public))
    name = portal.app_host("site")
    wire.socket = context.wrap_socket(wire.socket, server_hostname=name.partition(":")[0])
    stack.callback(wire.socket.close)
    wire.send(request("GET", "/", ("Host", name)))
    assert wire.read().status == 200
    return wire


def test_a_thousand_connections_hold_little(nora: Portal) -> None:
    context = ssl.create_default_context(cadata=authority().pem.decode())
    with ExitStack() as stack:
        for _ in range(20):
            _opened(nora, stack, context)
        before = resident(nora)
        for _ in range(MANY):
            _opened(nora, stack, context)
        assert (resident(nora) - before) / MANY < 40 * KIB
    with ExitStack() as stack:
        before = resident(nora)
        for _ in range(MANY):
            stack.enter_context(socket.create_connection((LOOPBACK, nora.public)))
        _opened(nora, stack, context)
        assert (resident(nora) - before) / MANY < 8 * KIB


def test_failed_handshakes_hold_nothing(nora: Portal) -> None:
    def fail(count: int) -> None:
        for _ in range(count):
            with RawConnection(nora.public) as wire:
                wire.send(b"\x16\x03\x01\x00\x05hello")
                wire.rest()

    fail(500)
    before = resident(nora)
    fail(5000)
    assert (resident(nora) - before) / 5000 < KIB
    eventually(lambda: nora.log.count("no connection of") >= 5500)
