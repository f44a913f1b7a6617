"""Heads and chunks as bytes (RFC 9112). Fields go out as they are given, in their order.

What is given was checked where it came in. Whatever slipped through there, nothing can begin a
line of its own here: a head with more line ends than lines is our bug, and raises ``ValueError``.
"""

from collections.abc import Iterable
from http import HTTPStatus

from proxy.core.http.headers import Field

LAST_CHUNK = b"0\r\n\r\n"
TUNNEL_OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
"""With neither a length nor chunks (RFC 9110, section 9.3.6): what follows is the tunnel's."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")
    for status in HTTPStatus
}


def request_head(method: bytes, target: bytes, fields: Iterable[Field]) -> bytes:
    if b" " in target:
        raise ValueError("a space in a request target")
    return _head(b"%b %b HTTP/1.1" % (method, target), fields)


def response_head(status: int, fields: Iterable[Field]) -> bytes:
    return _head(_STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status, fields)


def chunk(content: bytes) -> bytes:
    """Return one chunk; ``content`` isn't empty, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def _head(first: bytes, fields: Iterable[Field]) -> bytes:
    lines = [first, *map(b": ".join, fields), b"\r\n"]
    head = b"\r\n".join(lines)
    ends = len(lines)
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise ValueError("a line break or NUL in a head")
    return head
