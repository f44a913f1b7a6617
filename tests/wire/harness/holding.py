"""An app that keeps a request for as long as the test wants, and knows how many it keeps."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.patience import PATIENCE
from tests.wire.harness.raw import read_message, response
from tests.wire.harness.recorder import Accepted, Server
from tests.wire.harness.sockets import switched

if TYPE_CHECKING:
    import socket

PART = b"x" * 100


class HoldingApp(Server):
    """What it does with a request is told by the end of its target.

    ``hold`` is kept, ``part`` and ``nothing`` break off, ``socket`` is a WebSocket that is silent
    and ends when anything comes; everything else is answered at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._go = threading.Event()
        self.held = 0
        super().__init__()

    def let_go(self) -> None:
        """Answer all that is kept."""
        with self._lock:
            go, self._go = self._go, threading.Event()
            self.held = 0
        go.set()

    def keep(self) -> None:
        """Wait until the test lets go."""
        with self._lock:
            go = self._go
            self.held += 1
        go.wait(PATIENCE)

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        while True:
            asked = read_message(wire)
            deed = asked.target.rpartition(b"/")[2]
            if deed == b"hold":
                self.keep()
            elif deed == b"part":
                return wire.send(response(200, ("Content-Length", "9999"), body=None) + PART)
            elif deed == b"nothing":
                return None
            elif deed == b"socket":
                wire.send(switched())
                wire.piece()
                return None
            wire.send(response(200, body=b"ok"))
