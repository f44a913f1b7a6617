"""A server that sends scripted bytes, and keeps what it was sent, byte for byte."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

Answer = bytes | Callable[["Asked"], bytes]


class Asked(NamedTuple):
    """One request."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ")[1].decode()

    def all(self, name: str) -> list[str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return [value.strip() for key, _, value in pairs if key.lower() == name]


class Server:
    """Answers one request a connection, with the answers in their order; then with the last."""

    def __init__(self, listening: socket.socket, answers: tuple[Answer, ...]) -> None:
        self.asked: list[Asked] = []
        self.is_slow = threading.Event()
        self._listening = listening
        self._answers = list(answers)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def end(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                return
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        asked = Asked(head, b"")
        length = int((asked.all("content-length") or ["0"])[0])
        chunked = bool(asked.all("transfer-encoding"))
        while len(body) < length or (chunked and not body.endswith(b"0\r\n\r\n")):
            body += connection.recv(65536)
        asked = Asked(head, body)
        self.asked.append(asked)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        raw = answer if isinstance(answer, bytes) else answer(asked)
        if raw:
            connection.sendall(raw)
        else:
            while connection.recv(65536):  # silent until the client leaves
                pass


def http(status: int, body: bytes = b"", *fields: str, length: int | None = None) -> bytes:
    """Return a response, whose connection ends with it."""
    told = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {told}", "Connection: close", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def serving(*answers: Answer, path: Path | None = None) -> Iterator[Server]:
    """Serve at a free port, or at a Unix socket."""
    if path is None:
        listening = socket.create_server(("127.0.0.1", 0))
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
    server = Server(listening, answers)
    try:
        yield server
    finally:
        server.end()
