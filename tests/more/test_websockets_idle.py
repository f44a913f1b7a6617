"""A thousand WebSockets on which nobody speaks: what they cost, and that all of them still work."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.core.websocket.framing import TEXT, Frame, close
from tests.wire.harness.portals import Portal
from tests.wire.harness.sockets import RawSocket, WebSocketApp, handshake, resident

pytestmark = pytest.mark.more

MANY = 1000
KIB = 1024
MOST = 48 * KIB
"""Bytes of memory for each, both of its sockets; half of it is usual."""
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


def test_a_thousand_quiet_websockets_cost_little_and_stay(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY * 2 + 500:
        pytest.skip("this machine allows too few descriptors")
    # One address holds a quarter of an app's places, unless it is a web server's.
    portal = Portal(tmp_path / "wendy", "Wendy", settings="trusted_proxies: [127.0.0.1]\n")
    with ExitStack() as stack:
        stack.enter_context(_descriptors(MANY * 2 + 500))
        app = stack.enter_context(WebSocketApp())
        stack.callback(portal.release)
        portal.add_app("sock", _OPEN, app.port)
        with _descriptors(1024):  # as usual: the proxy has to raise it
            portal.start()
        asked = handshake(portal.app_host("sock"), "/public/echo", *_AS_BROWSERS_DO)

        def opened() -> RawSocket:
            wire = stack.enter_context(RawSocket(portal.public))
            wire.open(asked)
            return wire

        stays = opened()
        before = resident(portal)
        sockets = [opened() for _ in range(MANY)]
        each = (resident(portal) - before) / MANY
        assert each < MOST

        used = _cpu(portal)
        time.sleep(3)
        assert _cpu(portal) - used < 0.3  # what follows the files goes on

        hello = Frame(TEXT, b"hello")
        for wire in sockets:
            wire.say(hello)
        for wire in sockets:
            wire.hear(hello)
        assert (resident(portal) - before) / MANY < MOST

        for wire in sockets:
            wire.say(close(1000))
        for wire in sockets:
            assert wire.hear_all() == [close(1000)]
        assert portal.stop() == 0
        assert stays.hear_all() == [close(1001)]
