"""Raw HTTP/1.1: bytes out, bytes in, and just enough reading to know where a message ends."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from typing import Any, Self

from tests.patience import PATIENCE

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Raw:
    """One message: its head as it stood on the wire, and its body without the framing."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> bytes:
        return self.first_line.split(b" ")[1]

    @property
    def status(self) -> int:
        return int(self.first_line.split(b" ")[1])

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The lines of the head, names in lower case, in their order."""
        return fields_of(self.head)

    def all(self, name: str) -> list[bytes]:
        """Return the value of every line of a field."""
        return [value for key, value in self.fields if key == name.encode()]

    def one(self, name: str) -> bytes:
        """Return the value of a field that must stand on exactly one line."""
        (value,) = self.all(name)
        return value

    @property
    def comparable(self) -> tuple[bytes, bytes]:
        """Head and body, but for the request's ID, which no two refusals share, and the time.

        Some servers that host the proxy add a ``Date``.
        """
        head = re.sub(rb"x-request-id: [0-9a-f]{32}\r\n", b"", self.head)
        return re.sub(rb"(?i)\r\ndate: [^\r]*", b"", head), self.body

    @property
    def code(self) -> str:
        """The ``code`` of a refusal, which must be in the one form that refusals have."""
        assert self.one("content-type") == b"application/problem+json", self
        problem = self.json()
        assert problem["status"] == self.status
        assert problem["title"]
        return str(problem["code"])

    def json(self) -> Any:
        return json.loads(self.body)


def fields_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the header lines of a head, names in lower case."""
    lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip()) for name, _, value in pairs]


class RawConnection:
    """One connection, from the address ``came_from`` if it is given; a context manager."""

    def __init__(self, port: int, came_from: str = "") -> None:
        source = (came_from, 0) if came_from else None
        self.socket = socket.create_connection((LOOPBACK, port), PATIENCE, source)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, *, to_head: bool = False) -> Raw:
        """Read one response; ``to_head`` tells that it answers HEAD."""
        return read_message(self, bodiless=to_head)

    def rest(self) -> bytes:
        """Read until the other side closes."""
        data, self._buffer = self._buffer, b""
        while piece := self.piece():
            data += piece
        return data

    def until(self, mark: bytes) -> bytes:
        """Read up to and with ``mark``."""
        while mark not in self._buffer:
            piece = self.piece()
            if not piece:
                raise EOFError(f"closed before {mark!r}: {self._buffer[:200]!r}")
            self._buffer += piece
        data, _, self._buffer = self._buffer.partition(mark)
        return data + mark

    def exactly(self, count: int) -> bytes:
        """Read ``count`` bytes."""
        pieces = [self._buffer]
        missing = count - len(self._buffer)
        while missing > 0:
            piece = self.piece()
            if not piece:
                raise EOFError(f"closed {missing} bytes before the end")
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self._buffer = data[count:]
        return data[:count]

    def put_back(self, data: bytes) -> None:
        """Let the next reader begin with ``data``."""
        self._buffer = data + self._buffer

    def piece(self) -> bytes:
        """Read what is there; b"" where the other side has closed or broken off."""
        try:
            return self.socket.recv(1 << 18)
        except ConnectionError:
            return b""


def read_message(wire: RawConnection, *, bodiless: bool = False) -> Raw:
    """Read one request or final response with its body, whatever its framing."""
    head = wire.until(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1") and not head.startswith(b"HTTP/1.1 101 "):
        head = wire.until(b"\r\n\r\n")
    fields = dict(fields_of(head))
    is_response = head.startswith(b"HTTP/")
    if bodiless or (is_response and head.split(b" ")[1] in (b"204", b"304")):
        return Raw(head, b"")
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return Raw(head, _chunks(wire))
    if b"content-length" in fields:
        return Raw(head, wire.exactly(int(fields[b"content-length"])))
    return Raw(head, wire.rest() if is_response else b"")


def _chunks(wire: RawConnection) -> bytes:
    body = b""
    while size := int(wire.until(b"\r\n").split(b";")[0], 16):
        body += wire.exactly(size)
        wire.exactly(2)
    while wire.until(b"\r\n") != b"\r\n":
        pass
    return body


def exchange(port: int, request: bytes) -> Raw:
    """Send exactly these bytes on a connection of their own; return the response."""
    with RawConnection(port) as wire:
        wire.send(request)
        return wire.read(to_head=request.startswith(b"HEAD "))


def request(
    method: str | bytes,
    target: str | bytes,
    *fields: tuple[str, str | bytes],
    body: bytes | None = None,
) -> bytes:
    """Return a request's bytes; ``body`` adds its Content-Length, text is Latin-1."""
    lines = [_latin(method) + b" " + _latin(target) + b" HTTP/1.1"]
    lines += [_latin(name) + b": " + _latin(value) for name, value in fields]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + (body or b"")


def response(
    status: int | str, *fields: tuple[str, str | bytes], body: bytes | None = b""
) -> bytes:
    """Return a response's bytes; ``body`` None leaves the framing to ``fields``."""
    lines = [_latin(f"HTTP/1.1 {status} {'' if isinstance(status, str) else 'Whatever'}".strip())]
    lines += [_latin(name) + b": " + _latin(value) for name, value in fields]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + (body or b"")


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """Return a body in chunks, each piece one of them."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return body + b"0\r\n" + trailers + b"\r\n"


def _latin(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
