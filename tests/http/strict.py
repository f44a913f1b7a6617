"""A strict reading of requests that shares nothing with the proxy's own: it judges what went out.

Every byte must be accounted for; anything with a second reading raises ``ValueError``.
"""

import string
from dataclasses import dataclass

_TOKEN = set((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
_HEX = set(b"0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Request:
    """One request; names in lower case."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def parse_requests(data: bytes) -> list[Request]:
    """Read requests until ``data`` is used up."""
    found = []
    while data:
        request, data = _request(data)
        found.append(request)
    return found


def _control(data: bytes) -> tuple[bytes, bytes]:
    line, end, rest = data.partition(b"\r\n")
    if not end:
        raise ValueError(f"no line end in {data[:80]!r}")
    if any((byte < 32 and byte != 9) or byte == 127 for byte in line):
        raise ValueError(f"a control byte in {line[:80]!r}")
    return line, rest


def _request(data: bytes) -> tuple[Request, bytes]:
    line, data = _control(data)
    method, target, version = line.split(b" ")
    if version != b"HTTP/1.1" or not method or not set(method) <= _TOKEN:
        raise ValueError(f"not a request line: {line!r}")
    if not target or not all(byte > 32 and byte != 127 for byte in target):
        raise ValueError(f"not a target: {target!r}")
    fields = []
    while True:
        line, data = _control(data)
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= _TOKEN:
            raise ValueError(f"not a field line: {line[:80]!r}")
        fields.append((name.lower(), value.strip(b" \t")))
    body, data = _body(fields, data)
    return Request(method, target, tuple(fields), body), data


def _body(fields: list[tuple[bytes, bytes]], data: bytes) -> tuple[bytes, bytes]:
    names = [name for name, _ in fields]
    if names.count(b"host") != 1:
        raise ValueError("not one Host")
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise ValueError("more than one framing")
    if lengths:
        if not lengths[0] or not set(lengths[0]) <= set(b"0123456789"):
            raise ValueError("not a length")
        size = int(lengths[0])
        if len(data) < size:
            raise ValueError("the body is short")
        return data[:size], data[size:]
    if not codings:
        return b"", data
    if codings[0] != b"chunked":
        raise ValueError("not chunked")
    return _chunks(data)


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, data = _control(data)
        if not line or not set(line) <= _HEX:
            raise ValueError(f"not a chunk size: {line[:80]!r}")
        size = int(line, 16)
        body, data = body + data[:size], data[size:]
        if not data.startswith(b"\r\n"):
            raise ValueError("no line end behind a chunk")
        data = data[2:]
        if size == 0:
            return body, data
