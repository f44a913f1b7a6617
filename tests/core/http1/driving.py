"""Feeding readers in pieces, and what came of it in a form that can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from proxy.core.http1.grammar import Malformed, RequestHead, ResponseHead
from proxy.core.http1.reader import END, Interim, RequestReader, ResponseReader


@dataclass
class Outcome:
    """What a reader made of its bytes; bodies joined, since pieces are nobody's promise."""

    heads: list[RequestHead | ResponseHead] = field(default_factory=list)
    interims: list[ResponseHead] = field(default_factory=list)
    body: bytes = b""
    ends: int = 0
    error: int | None = None

    def add(self, events: Iterable[object]) -> None:
        """Take in events; after an error nothing may come."""
        for event in events:
            assert self.error is None, f"{event!r} after an error"
            if isinstance(event, bytes):
                assert event, "an empty piece"
                assert self.heads, "content before its head"
                self.body += event
            elif isinstance(event, Interim):
                self.interims.append(event.head)
            elif isinstance(event, Malformed):
                self.error = event.status
            elif event is END:
                self.ends += 1
            else:
                assert isinstance(event, RequestHead | ResponseHead)
                self.heads.append(event)


def read_request(pieces: Iterable[bytes], *, ends: bool = False) -> Outcome:
    """Read one request from ``pieces``."""
    reader, outcome = RequestReader(), Outcome()
    for piece in pieces:
        outcome.add(reader.feed(piece))
    if ends:
        outcome.add(reader.end_of_stream())
    return outcome


def read_response(
    pieces: Iterable[bytes], method: bytes = b"GET", *, upgrade: bool = False, ends: bool = False
) -> Outcome:
    """Read the response to one request from ``pieces``."""
    reader, outcome = ResponseReader(), Outcome()
    reader.expect(method, upgrade=upgrade)
    for piece in pieces:
        outcome.add(reader.feed(piece))
    if ends:
        outcome.add(reader.end_of_stream())
    return outcome


def one_by_one(data: bytes) -> list[bytes]:
    """Return ``data`` byte by byte."""
    return [data[place : place + 1] for place in range(len(data))]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return ``data`` cut at ``places``, which are in order."""
    bounds = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]
