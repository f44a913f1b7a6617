"""WebSockets for tests: the app's process, a client of somebody else's library, and a raw one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from proxy.core.websocket.handshake import accept_for
from tests.core.websocket.framing import MASK, Frame, frames_of
from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import LOOPBACK, RawConnection

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = accept_for(KEY)


class WebSocketApp:
    """The app of ``websocket_app.py``; a context manager."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("websocket_app.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], env=environment(), stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def seen(self) -> dict[str, Any]:
        """Return what the app knows of the connections that ended, and how many are ``open``."""
        with connect(f"ws://{LOOPBACK}:{self.port}/public/seen", proxy=None) as ws:
            return dict(json.loads(ws.recv(PATIENCE)))


def dial(portal: Portal, path: str, app: str = "sock", **options: Any) -> ClientConnection:
    """Open a WebSocket at an app of a Portal's, through its public listener."""
    opened = socket.create_connection((LOOPBACK, portal.public), timeout=PATIENCE)
    uri = f"ws://{portal.app_host(app)}{path}"
    defaults: dict[str, Any] = {"max_size": None, "open_timeout": PATIENCE, "proxy": None}
    ws: ClientConnection = connect(uri, sock=opened, **(defaults | options))
    return ws


def handshake(
    host: str,
    path: str,
    *fields: tuple[str, str],
    start: bytes = b"GET %b HTTP/1.1",
    without: tuple[str, ...] = (),
) -> bytes:
    """Return a handshake's bytes: the usual fields but those in ``without``, then ``fields``."""
    usual = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY.decode(),
    }
    lines = [("Host", host), *((n, v) for n, v in usual.items() if n not in without), *fields]
    head = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in lines)
    return start % path.encode() + b"\r\n" + head + b"\r\n"


def switched(*fields: tuple[str, str], without: tuple[str, ...] = ()) -> bytes:
    """Return an app's response to ``handshake``, changed likewise."""
    usual = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Accept": ACCEPT.decode(),
    }
    lines = [*((n, v) for n, v in usual.items() if n not in without), *fields]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode("latin-1")


class RawSocket(RawConnection):
    """A WebSocket in bytes."""

    def open(self, request: bytes) -> bytes:
        """Send a handshake; return the head of the 101."""
        self.send(request)
        head = self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return head

    def say(self, *frames: Frame) -> None:
        """Send frames as a client does."""
        self.send(b"".join(frame.raw(MASK) for frame in frames))

    def hear(self, *frames: Frame) -> None:
        """Hold that exactly these come next, none of them masked."""
        raw = b"".join(frame.raw() for frame in frames)
        assert self.exactly(len(raw)) == raw

    def hear_all(self) -> list[Frame]:
        """Return the frames that come until the end."""
        frames, rest = frames_of(self.rest())
        assert rest == b""
        return frames


def resident(portal: Portal) -> int:
    """Return the bytes of memory that a Portal's process holds."""
    process = portal._process
    assert process is not None
    pages = int(Path(f"/proc/{process.pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
