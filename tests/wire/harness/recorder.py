"""An app that records every byte it gets and answers with the bytes it was given.

It stands behind the proxy: what isn't in ``received`` never came through.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tests.patience import PATIENCE
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, read_message, response


class Accepted(RawConnection):
    """A connection that somebody else opened; notes what comes in."""

    def __init__(self, accepted: socket.socket, note: Callable[[bytes], None]) -> None:
        accepted.settimeout(PATIENCE * 3)
        self.socket = accepted
        self._buffer = b""
        self._note = note

    def piece(self) -> bytes:
        try:
            data = super().piece()
        except TimeoutError:
            return b""
        self._note(data)
        return data


@dataclass(frozen=True)
class Script:
    """What a recorder answers, and how."""

    response: bytes
    before_body: bool = False
    """Answer as soon as the head is there, then read the body."""
    close: bool = False
    """Close the connection behind the response."""


class Server:
    """A listening socket and a thread for each connection; a context manager."""

    def __init__(self) -> None:
        self._listener = self.listen()
        name = self._listener.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0
        self.connections = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._listener, *self._open):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def listen(self) -> socket.socket:
        """Return a socket that listens."""
        return socket.create_server((LOOPBACK, 0))

    def handle(self, accepted: socket.socket) -> None:
        """Serve one connection."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(accepted)
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, suppress(OSError, EOFError):
            self.handle(accepted)


class Recorder(Server):
    """The recording app."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()
        super().__init__()

    def clear(self) -> None:
        """Forget what came (in ``requests`` what was passed on), and answer 200, ``ok`` again."""
        with self._lock:
            self.received = b""
            self.requests: list[Raw] = []
            self.connections = 0
        self.script(response(200, body=b"ok"))

    def script(self, data: bytes, *, before_body: bool = False, close: bool = False) -> None:
        """Answer every request from now on with ``data``."""
        self._script = Script(data, before_body, close)

    @property
    def request(self) -> Raw:
        """The one request that came."""
        (request,) = self.requests
        return request

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, self._note)
        while True:
            wire.put_back(wire.until(b"\r\n\r\n"))
            is_early = self._script.before_body
            if is_early:
                wire.send(self._script.response)
            request = read_message(wire)
            script = self._script  # a test may go on to the next as soon as it has its response
            # What a proxy asks a server for itself, where it heard nothing of it for a minute.
            if not request.head.startswith(b"OPTIONS * "):
                with self._lock:
                    self.requests.append(request)
            if not is_early:
                wire.send(script.response)
            if script.close:
                return

    def _note(self, data: bytes) -> None:
        with self._lock:
            self.received += data


class Trap(Server):
    """A port that nobody may connect to."""

    def handle(self, accepted: socket.socket) -> None:
        accepted.close()


class Live(Server):
    """An app that does with a connection what the test says: ``act``."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """End all connections, and do nothing on others."""
        self.act: Callable[[Accepted], None] = lambda _: None
        for opened in self._open:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def handle(self, accepted: socket.socket) -> None:
        self.act(Accepted(accepted, lambda _: None))


class Relay(Server):
    """What a tunnelling service is: passes bytes on, and keeps them for the test to look at."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.clear()
        super().__init__()

    def clear(self) -> None:
        """Forget what went by."""
        self.sent = bytearray()
        self.answered = bytearray()

    def handle(self, accepted: socket.socket) -> None:
        with socket.create_connection((LOOPBACK, self._to_port)) as onward:
            self._open.append(onward)
            pass_on(accepted, onward, self._note_sent, self._note_answered)

    def _note_sent(self, data: bytes) -> None:
        self.sent += data

    def _note_answered(self, data: bytes) -> None:
        self.answered += data


def pass_on(
    accepted: socket.socket,
    onward: socket.socket,
    sent: Callable[[bytes], None],
    answered: Callable[[bytes], None],
) -> None:
    """Pass bytes on between two connections, both ways, until both have ended."""
    for side in (accepted, onward):
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_pump, args=(onward, accepted, answered), daemon=True)
    back.start()
    _pump(accepted, onward, sent)
    back.join()


def _pump(source: socket.socket, sink: socket.socket, note: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            note(data)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def eventually(condition: Callable[[], object]) -> float:
    """Wait until ``condition`` holds; return the seconds it took, or fail."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, "it never happened"
        time.sleep(0.02)
    return time.monotonic() - start
