"""Heads and chunks as bytes (RFC 9112). Fields go out as they are given, in their order."""

from collections.abc import Iterable
from http import HTTPStatus

from proxy.core.headers import Field

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}


def request_head(method: bytes, target: bytes, fields: Iterable[Field]) -> bytes:
    """Return a request's head. What is given was checked where it came in."""
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, _lines(fields))


def response_head(status: int, fields: Iterable[Field]) -> bytes:
    """Return a response's head."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"%b%b\r\n" % (line, _lines(fields))


def chunk(content: bytes) -> bytes:
    """Return one chunk; ``content`` isn't empty, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def _lines(fields: Iterable[Field]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])
