"""An app that knows what it carried out, and notices a part that is passed for a whole."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

from tests.wire.harness.raw import read_message, response
from tests.wire.harness.recorder import Accepted, Server

if TYPE_CHECKING:
    import socket

_CHUNKED = ("Transfer-Encoding", "chunked")


def marked(number: int, length: int) -> bytes:
    """Return a body of which each part can be told from the whole."""
    text = hashlib.shake_128(b"%d" % number).digest(max(length, 32))
    return text + hashlib.sha256(text).digest()


def is_whole(body: bytes) -> bool:
    return len(body) >= 64 and hashlib.sha256(body[:-32]).digest() == body[-32:]


class Ledger(Server):
    """Its targets: ``/do/N`` is noted under N; ``/get/N/LENGTH`` gives a marked body."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self.done: Counter[int] = Counter()
        self.parts: list[int] = []
        """What came as a whole request, and was only a part of its body."""
        super().__init__()

    def next(self) -> int:
        """Return a number that nobody else has."""
        with self._lock:
            self._last += 1
            return self._last

    def next_body(self, length: int = 64) -> tuple[int, bytes]:
        """Return such a number, and a body for it."""
        number = self.next()
        return number, marked(number, length)

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        while True:
            asked = read_message(wire)
            deed, *rest = asked.target.decode().strip("/").split("/")
            if deed == "do":
                self._note(int(rest[0]), asked.body)
                wire.send(response(200, body=b"done " + rest[0].encode()))
            elif deed == "get":
                number, length = map(int, rest)
                body = marked(number, length)
                if number % 3 == 0:
                    wire.send(response(200, ("Connection", "close"), body=None) + body)
                    return
                if number % 3 == 1:
                    wire.send(response(200, body=body))
                else:
                    wire.send(response(200, _CHUNKED, body=None))
                    for at in range(0, len(body), 30_000):
                        piece = body[at : at + 30_000]
                        wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                    wire.send(b"0\r\n\r\n")
            else:
                wire.send(response(200, body=b"ok"))

    def _note(self, number: int, body: bytes) -> None:
        with self._lock:
            self.done[number] += 1
            if not is_whole(body):
                self.parts.append(number)
