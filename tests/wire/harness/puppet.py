"""An app that holds every request until the test has done with it: a visit each, by its path."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.patience import PATIENCE
from tests.wire.harness.recorder import Accepted, Server

if TYPE_CHECKING:
    import socket

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"
LAST = b"0\r\n\r\n"


class Visit:
    """One request that reached the app, as far as its head; the rest is the test's to do."""

    def __init__(self, wire: Accepted, head: bytes) -> None:
        self.wire = wire
        self.head = head
        self.over = threading.Event()

    def response(self) -> None:
        """Answer it whole, and be done."""
        self.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        self.over.set()

    def is_broken_off(self) -> bool:
        """Wait for the connection's end; tell whether a body that was coming never ended."""
        return not self.wire.rest().endswith(LAST)


class Puppet(Server):
    """The app. Whoever visits waits in ``visits``, by the path that was asked for."""

    def __init__(self) -> None:
        self.visits: dict[str, Visit] = {}
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        while True:
            head = wire.until(b"\r\n\r\n")
            visit = Visit(wire, head)
            self.visits[head.split(b" ")[1].decode("ascii")] = visit
            visit.over.wait(PATIENCE * 3)
