"""A thousand WebSockets on which nobody speaks: what they cost, and that all of them still work."""

from __future__ import annotations

import os
import resource
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.certificates import authority
from tests.core.websocket.framing import TEXT, Frame, close
from tests.wire.harness.portals import Portal
from tests.wire.harness.sockets import RawSocket, WebSocketApp, handshake, resident
from tests.wire.test_tls import secure

pytestmark = pytest.mark.more

TLS = "tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"
MANY = 1000
KIB = 1024
MOST = 48 * KIB
"""Bytes of memory for each, both of its sockets; two thirds of it are usual."""
OF_TLS = 24 * KIB
"""Bytes more with TLS, at most; two thirds of it are usual."""
_OPEN = """{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}"""
_AS_BROWSERS_DO = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Origin", "https://app.example"),
    ("Cookie", "theme=dark; session=0123456789abcdef0123456789abcdef"),
)


def _cpu(portal: Portal) -> float:
    """Return the seconds of CPU that a Portal's process has used."""
    process = portal._process
    assert process is not None
    times = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _descriptors(soft: int) -> Iterator[None]:
    """Allow ``soft`` of them to this process and to what it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_a_thousand_quiet_websockets_cost_little_and_stay(
    tmp_path: Path, *, with_tls: bool
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY * 2 + 500:
        pytest.skip("this machine allows too few descriptors")
    # One address holds a quarter of an app's places, unless it is a web server's.
    settings = "trusted_proxies: [127.0.0.1]\n" + (TLS if with_tls else "")
    portal = Portal(tmp_path / "wendy", "Wendy", settings=settings)
    context = ssl.create_default_context(cadata=authority().pem.decode()) if with_tls else None
    if with_tls:
        secure(portal)
    most = MOST + (OF_TLS if with_tls else 0)
    with ExitStack() as stack:
        stack.enter_context(_descriptors(MANY * 2 + 500))
        app = stack.enter_context(WebSocketApp())
        stack.callback(portal.release)
        portal.add_app("sock", _OPEN, app.port)
        with _descriptors(1024):  # as usual: the proxy has to raise it
            portal.start()
        name = portal.app_host("sock").partition(":")[0]
        asked = handshake(portal.app_host("sock"), "/public/echo", *_AS_BROWSERS_DO)

        def opened() -> RawSocket:
            wire = stack.enter_context(RawSocket(portal.public))
            if context is not None:
                wire.socket = context.wrap_socket(wire.socket, server_hostname=name)
                stack.callback(wire.socket.close)
            wire.open(asked)
            return wire

        stays = opened()
        before = resident(portal)
        sockets = [opened() for _ in range(MANY)]
        each = (resident(portal) - before) / MANY
        assert each < most

        used, start = _cpu(portal), time.monotonic()
        time.sleep(3)
        share = (_cpu(portal) - used) / (time.monotonic() - start)
        assert share < 0.1  # what follows the files goes on

        hello = Frame(TEXT, b"hello")
        for wire in sockets:
            wire.say(hello)
        for wire in sockets:
            wire.hear(hello)
        assert (resident(portal) - before) / MANY < most

        for wire in sockets:
            wire.say(close(1000))
        for wire in sockets:
            assert wire.hear_all() == [close(1000)]
        assert portal.stop() == 0
        assert stays.hear_all() == [close(1001)]
