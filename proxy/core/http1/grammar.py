"""Lines and fields: strict parsing of a message's head (RFC 9112, sections 2 to 5).

Strict means: CR LF and nothing else ends a line, no white space before a colon, no folded lines,
no control bytes. Each leniency that is missing here is one that some request smuggling needs.
"""

import re

from proxy.core.http.headers import TOKEN, Fields, Proven
from proxy.core.record import record

MAX_HEAD = 64 * 1024
MAX_FIELDS = 256

_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t \x21-\x7e\x80-\xff]*)?\r\n")
_OTHER_VERSION = re.compile(
    TOKEN + rb" [\x21-\x7e\x80-\xff]+ HTTP/(?!1\.[01]\r)[0-9]+(?:\.[0-9]+)?\r\n",
)
_LINE = re.compile(rb"^(?:(" + TOKEN + rb"):([\t \x21-\x7e\x80-\xff]*)\r\n|\r\n\Z)", re.MULTILINE)
"""A whole line that names a field, or the empty one behind them all."""
_EMPTY_LINE = (b"", b"")
_BEGINNING = re.compile(TOKEN + rb"|\r?\Z")
"""What a request line begins with, or the empty line that may stand in front of one."""
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|$)")
"""A line feed or carriage return on its own; a CR at the very end may still get its LF."""
_TLS_HELLO = re.compile(rb"\x16(?:\x03|\Z)")
"""How TLS begins: a record of its handshake (RFC 8446, section 5.1)."""
_WRITE_HTTP = "Plain HTTP is spoken here: write http:// in place of https://."


class Malformed(Exception):
    """Bytes that aren't the message they should be; ``status`` is that of a server's response.

    ``hint`` is for who sent them, too: what to do, in a sentence; "" is none.
    """

    def __init__(self, detail: str, status: int = 400, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.hint = hint


@record(frozen=True, slots=True)
class RequestHead:
    """A request's head; names of ``fields`` in lower case, values without surrounding space."""

    method: bytes
    target: bytes
    minor: int
    """The 1 of HTTP/1.1, or 0."""
    fields: Fields


@record(frozen=True, slots=True)
class ResponseHead:
    """A response's head, an interim one (1xx) too."""

    status: int
    minor: int
    fields: Fields


def parse_request_head(data: bytes | bytearray, end: int) -> RequestHead:
    """Read the head that fills ``data`` up to ``end`` (behind its empty line).

    Raises ``Malformed``; for a version that isn't ours, with status 505.
    """
    line = _REQUEST_LINE.match(data, 0, end)
    if line is None:
        raise _no_request_line(data)
    method, target, minor = line.groups()
    return RequestHead(method, target, int(minor), parse_fields(data, line.end(), end))


def parse_response_head(data: bytes | bytearray, end: int) -> ResponseHead:
    """Read the head that fills ``data`` up to ``end``; raises ``Malformed``."""
    line = _STATUS_LINE.match(data, 0, end)
    if line is None:
        raise Malformed("not a status line")
    minor, status = line.groups()
    return ResponseHead(int(status), int(minor), parse_fields(data, line.end(), end))


def parse_fields(data: bytes | bytearray, start: int, end: int) -> Proven:
    """Read the field lines between ``start`` and ``end``, the empty line included.

    Raises ``Malformed``; for more than ``MAX_FIELDS`` of them, with status 431.
    """
    lines = _LINE.findall(data, start, end)
    # A line that isn't well formed is passed over there: then more lines end than were found.
    if len(lines) != data.count(b"\n", start, end) or not lines or lines.pop() != _EMPTY_LINE:
        raise Malformed("not field lines")
    if len(lines) > MAX_FIELDS:
        raise Malformed(f"more than {MAX_FIELDS} fields", 431)
    # Of what ``strip`` takes for white space only blanks and tabs can be in a value here.
    return Proven([(name.lower(), value.strip()) for name, value in lines])


def refuse_hopeless(data: bytes | bytearray, start: int, *, request: bool, has_line: bool) -> bool:
    """Refuse the beginning of a head that can't become one any more; raises ``Malformed``.

    Without this a client that ends its lines with a bare LF, or speaks TLS, would wait for a
    response until the head's time is over. ``start`` is where the bytes begin that weren't looked
    at before; ``has_line`` is what was returned then: whether the first line is whole. So each byte
    is looked at once here, and once more in a first line, however small the pieces are in which
    they come.
    """
    if request and not has_line and _BEGINNING.match(data, 0, 1) is None:
        raise _no_request_line(data)
    if _BARE.search(data, max(start - 1, 0)):
        raise Malformed("a line ends with something else than CR LF")
    if has_line or data.find(b"\r\n", max(start - 1, 0)) < 0:
        return has_line
    if request and _REQUEST_LINE.match(data) is None:
        raise _no_request_line(data)
    if not request and _STATUS_LINE.match(data) is None:
        raise Malformed("not a status line")
    return True


def _no_request_line(data: bytes | bytearray) -> Malformed:
    """Return what is wrong with ``data``, which begins with no request line of ours."""
    if _OTHER_VERSION.match(data):
        return Malformed("not HTTP/1.0 or HTTP/1.1", 505)
    if _TLS_HELLO.match(data):
        hint = _WRITE_HTTP
        return Malformed("TLS where plain HTTP is spoken: write http://, not https://", hint=hint)
    return Malformed("not a request line")
