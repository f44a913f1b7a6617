"""What a client can make the readers look at: each byte a few times, however it is sent.

Counted are the bytes that searches and expressions may look at, not the time that they take.
"""

import re
from typing import cast

import pytest

from proxy.core.http1 import body, grammar
from proxy.core.http1 import reader as reader_module
from proxy.core.http1.body import MAX_CHUNK_OVERHEAD, ChunkedBody
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.reader import END, RequestReader, ResponseReader
from tests.core.http1.driving import one_by_one
from tests.core.http1.requests import HOST, LINE, TE

_TIMES = 10
"""How often a byte may be looked at: as one of the few before each new one, in which a line or the
head may have begun to end, once in its first line, and once in the whole.
"""


class _Counted:
    """How many bytes were offered to a search."""

    def __init__(self) -> None:
        self.looked_at = 0

    def note(self, data: bytes | bytearray, start: int, end: int | None) -> None:
        self.looked_at += max((len(data) if end is None else min(end, len(data))) - start, 0)


class _Pattern:
    """An expression that counts. ``match`` is only counted as far as it came."""

    def __init__(self, pattern: re.Pattern[bytes], counted: _Counted) -> None:
        self._pattern = pattern
        self._counted = counted

    def search(self, data: bytes, pos: int = 0) -> re.Match[bytes] | None:
        self._counted.note(data, pos, None)
        return self._pattern.search(data, pos)

    def fullmatch(self, data: bytes, pos: int = 0, endpos: int = 1 << 62) -> re.Match[bytes] | None:
        self._counted.note(data, pos, endpos)
        return self._pattern.fullmatch(data, pos, endpos)

    def match(self, data: bytes, pos: int = 0, endpos: int = 1 << 62) -> re.Match[bytes] | None:
        match = self._pattern.match(data, pos, endpos)
        self._counted.note(data, pos, endpos if match is None else match.end())
        return match

    def findall(self, data: bytes, pos: int, endpos: int) -> list[bytes]:
        self._counted.note(data, pos, endpos)
        return self._pattern.findall(data, pos, endpos)


class _Buffer(bytearray):
    """A buffer that counts."""

    counted = _Counted()

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        self.counted.note(self, start, end)
        return super().find(sub, start, len(self) if end is None else end)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> _Counted:
    count = _Counted()
    monkeypatch.setattr(_Buffer, "counted", count)
    monkeypatch.setattr(reader_module, "bytearray", _Buffer, raising=False)
    for module in (grammar, body):
        for name, value in vars(module).copy().items():
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, _Pattern(value, count))
    return count


_HEADS = {
    "a first line": b"GET /" + b"a" * 50_000,
    "a first line and a field": b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nX: " + b"b" * 50_000,
    "fields": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200,
    "carriage returns": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100 + b"X: ",
    "a whole head": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: yyyyyyyyyyyy\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("head", _HEADS)
@pytest.mark.parametrize("size", [1, 7])
def test_a_head_in_small_pieces_is_looked_at_a_few_times(
    head: str, size: int, counted: _Counted
) -> None:
    reader, data = RequestReader(), _HEADS[head]
    for place in range(0, len(data), size):
        reader.feed(data[place : place + size])
    assert counted.looked_at <= _TIMES * len(data)


def test_a_response_s_head_in_small_pieces_is_looked_at_a_few_times(counted: _Counted) -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    data = b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n" + b"X: y\r\n" * 200
    for piece in one_by_one(data):
        reader.feed(piece)
    assert counted.looked_at <= _TIMES * len(data)


_BODIES = {
    "an extension": b"5;" + b"a" * 1000 + b"\r\nhello\r\n0\r\n\r\n",
    "an open quote": b'5;a="' + b"a" * 1000,
    "blanks": b"5" + b" " * 1000 + b";a\r\nhello\r\n0\r\n\r\n",
    "trailers": b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "a trailer": b"0\r\nX: " + b"y" * 8000,
    "tiny chunks": b"1\r\nx\r\n" * 1000,
    "tiny chunks with extensions": b"1;a\r\nx\r\n" * 1000,
    "tiny chunks of several sizes": b"1\r\nx\r\n02\r\nxx\r\n1;b=c\r\nx\r\n" * 1000,
}


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("chunks", _BODIES)
def test_a_chunked_body_is_looked_at_a_few_times(chunks: str, size: int, counted: _Counted) -> None:
    reader, data = ChunkedBody(), _BODIES[chunks]
    reader._held = _Buffer()
    for place in range(0, len(data), size):
        reader.feed(data[place : place + size], [])
    assert counted.looked_at <= _TIMES * len(data)


@pytest.mark.parametrize("size", [1, 5, 1 << 16])
def test_tiny_chunks_of_all_sorts_are_read_as_they_are(size: int) -> None:
    lines = (
        b"1",
        b"01",
        b"1;a",
        b"1 ; a",
        b"00001;abcde",
        b"000001;abcdefg",
        b'1;a="b"',
        b"1 ;a=b",
    )
    contents = (b"x", b"\r", b"\n", b"\0", b"\xff", b"1")
    data = b"".join(b"%b\r\n%b\r\n" % (line, one) for line in lines for one in contents * 3)
    data += b"2\r\nyy\r\n" + b"1\r\nz\r\n" * 2 + b"0\r\n\r\n"
    events: list[object] = []
    reader = ChunkedBody()
    for place in range(0, len(data), size):
        reader.feed(data[place : place + size], events)
    assert reader.is_complete
    assert b"".join(cast(list[bytes], events)) == b"".join(contents) * 24 + b"yyzz"


@pytest.mark.parametrize("bad", [b"1 \r\nx\r\n", b"1;\r\nx\r\n", b"1\r\nxx\r\n", b"1\nx\r\n"])
def test_one_bad_chunk_among_tiny_ones_is_refused(bad: bytes) -> None:
    events: list[object] = []
    with pytest.raises(Malformed):
        ChunkedBody().feed(b"1\r\nx\r\n" * 5 + bad + b"1\r\nx\r\n0\r\n\r\n", events)
    assert b"".join(cast(list[bytes], events)) in (b"x" * 5, b"x" * 6)


def test_requests_that_came_together_are_not_copied_for_each_of_them() -> None:
    reader, request = RequestReader(), LINE + HOST + b"Content-Length: 2\r\n\r\nab"
    reader.feed(request * 1000)
    buffer = reader._buffer
    for left in range(999, 0, -1):
        assert reader.has_surplus
        assert len(buffer) == left * len(request)
        assert reader.next_message()[1:] == [b"ab", END]
        assert reader._buffer is buffer or left == 1


def test_a_reader_that_failed_or_was_stopped_reads_no_other_message() -> None:
    failed, stopped = RequestReader(), RequestReader()
    failed.feed(b"\n\n")
    stopped.feed(LINE + HOST + b"\r\n" + LINE + HOST + b"\r\n")
    stopped.stop()
    for reader in (failed, stopped):
        assert reader.next_message() == []
        assert reader.feed(LINE + HOST + b"\r\n") == []


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_what_lines_have_beyond_their_content_is_counted_however_it_comes(size: int) -> None:
    line = 76
    chunk = b"1;" + b"a" * (line - 4) + b"\r\nx\r\n"
    most = MAX_CHUNK_OVERHEAD // (line - 16 - 2)
    for count, is_refused in ((most, False), (most + 1, True)):
        reader = RequestReader()
        data = LINE + HOST + TE + b"\r\n" + chunk * count + b"0\r\n\r\n"
        events: list[object] = []
        for place in range(0, len(data), size):
            events += reader.feed(data[place : place + size])
        assert isinstance(events[-1], Malformed) is is_refused


def test_extensions_that_their_content_explains_have_no_bound() -> None:
    reader = RequestReader()
    chunk = b"40;signature=" + b"a" * 100 + b"\r\n" + b"x" * 64 + b"\r\n"
    events = reader.feed(LINE + HOST + TE + b"\r\n" + chunk * 2000 + b"0\r\n\r\n")
    assert events[-1] is END
