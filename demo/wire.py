"""What went by on the wire, as the relay wrote it down: each request with its response.

Whoever carries a message has no keys: nothing here knows more than the bytes.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from demo.stage import DemoError
from proxy.core.http.headers import values_of
from proxy.core.http1.grammar import RequestHead, ResponseHead
from proxy.core.http1.reader import END, RequestReader, ResponseReader

_EXCERPT = 20
"""Bytes of a body that are shown."""


@dataclass(frozen=True)
class Exchange:
    """A request and its response, byte for byte as they went by."""

    came_from: str
    """The address from which the connection was made."""
    request: bytes = b""
    response: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Whether both went by to their ends."""
        return END in self._asked() and END in self._answered()

    @property
    def request_head(self) -> RequestHead:
        """The request's head; the exchange must be whole, as for all below."""
        return next(event for event in self._asked() if isinstance(event, RequestHead))

    @property
    def request_body(self) -> bytes:
        return _body(self._asked())

    @property
    def response_head(self) -> ResponseHead:
        return next(event for event in self._answered() if isinstance(event, ResponseHead))

    @property
    def response_body(self) -> bytes:
        return _body(self._answered())

    def told(self) -> list[str]:
        """Return what can be read of it, as lines for a person."""
        asked, answered = self.request_head, self.response_head
        request_line = b"-> %s %s" % (asked.method, asked.target)
        return [
            request_line.decode("latin-1"),
            *_shown(asked, self.request_body),
            f"<- {answered.status}",
            *_shown(answered, self.response_body),
        ]

    def _asked(self) -> list[object]:
        return RequestReader().feed(self.request)

    def _answered(self) -> list[object]:
        reader = ResponseReader()
        reader.expect(next((e.method for e in self._asked() if isinstance(e, RequestHead)), b""))
        return reader.feed(self.response)


def exchanges(record: bytes) -> list[Exchange]:
    """Return what the relay's record holds, in order; the last one may not be whole yet.

    On one connection the proxies send a request when the response before it came, never earlier.
    """
    found: dict[tuple[int, int], Exchange] = {}
    latest: dict[int, tuple[int, bool]] = {}
    for connection, came_from, asked, piece in _pieces(record):
        number, was_asked = latest.get(connection, (0, False))
        number += asked and not was_asked
        latest[connection] = number, asked
        so_far = found.get((connection, number), Exchange(came_from))
        if asked:
            found[connection, number] = replace(so_far, request=so_far.request + piece)
        else:
            found[connection, number] = replace(so_far, response=so_far.response + piece)
    return list(found.values())


def marks_in(data: bytes, marks: Mapping[str, tuple[bytes, ...]]) -> list[str]:
    """Return the names of those ``marks`` of which any form stands in ``data``."""
    return [name for name, forms in marks.items() if any(form in data for form in forms)]


def _pieces(record: bytes) -> Iterator[tuple[int, str, bool, bytes]]:
    """Yield connection, address, direction and bytes of each piece."""
    whole, _, _ = record.rpartition(b"\n")  # behind it is a line that is being written
    for line in whole.splitlines():
        try:
            piece = json.loads(line)
            data = base64.b64decode(piece["piece"], validate=True)
            yield piece["connection"], piece["from"], piece["asked"], data
        except (ValueError, KeyError, TypeError) as error:
            raise DemoError(f"the relay's record can't be read: {line[:100]!r}") from error


def _body(events: list[object]) -> bytes:
    return b"".join(event for event in events if isinstance(event, bytes))


def _shown(head: RequestHead | ResponseHead, body: bytes) -> list[str]:
    """Return a line with a body's type, its size, and how it begins: as text if it is text."""
    if not body:
        return []
    kind = b"".join(values_of(head.fields, b"content-type")[:1]).decode("latin-1")
    words = " ".join(body[:_EXCERPT].decode("latin-1").split())
    begins = words if words.isascii() and words.isprintable() else body[:_EXCERPT].hex(" ", 4)
    return [f"   {len(body)} bytes of {kind}: {begins}{' ...' if len(body) > _EXCERPT else ''}"]
