"""Feeding readers in pieces, and what came of it in a form that can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from proxy.core.binary_http.message import COMPLETE, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader

Reader = RequestReader | ResponseReader


@dataclass
class Outcome:
    """What a reader made of its bytes; content joined, since pieces are nobody's promise."""

    heads: list[RequestHead | ResponseHead] = field(default_factory=list)
    content: bytes = b""
    is_complete: bool = False
    """Whether ``COMPLETE`` came."""
    is_whole: bool = False
    """Whether ``end`` returned."""
    error: int | None = None

    def add(self, events: Iterable[object]) -> None:
        """Take in events."""
        for event in events:
            assert not self.is_complete, f"{event!r} behind COMPLETE"
            if isinstance(event, bytes):
                assert event, "an empty piece"
                assert self.heads, "content before its head"
                self.content += event
            elif event is COMPLETE:
                self.is_complete = True
            else:
                assert isinstance(event, RequestHead | ResponseHead)
                self.heads.append(event)


def reader_for(message: bytes, method: bytes = b"GET") -> Reader:
    """Return a reader of the kind that the framing indicator of ``message`` says."""
    width = 1 << (message[0] >> 6)
    return ResponseReader(method) if message[width - 1] & 1 else RequestReader()


def read(reader: Reader, pieces: Iterable[bytes]) -> Outcome:
    """Read one message to its end; anything raised but ``Malformed`` is an error of the test."""
    outcome = Outcome()
    try:
        for piece in pieces:
            outcome.add(reader.feed(piece))
        outcome.add(reader.end())
    except Malformed as error:
        outcome.error = error.status
    else:
        outcome.is_whole = True
    return outcome


def read_message(message: bytes, method: bytes = b"GET") -> Outcome:
    """Read a message that arrives in one piece."""
    return read(reader_for(message, method), [message])


def one_by_one(data: bytes) -> list[bytes]:
    """Return ``data`` byte by byte."""
    return [data[place : place + 1] for place in range(len(data))]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return ``data`` cut at ``places``, which are in order."""
    bounds = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]
