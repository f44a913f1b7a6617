"""What the tables leave out: messages in a row, interim responses, raw streams, writing."""

import pytest

from proxy.core.http.headers import Field
from proxy.core.http1.body import ChunkedBody
from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import MAX_HEAD, Malformed, RequestHead, ResponseHead
from proxy.core.http1.reader import END, Interim, RequestReader, ResponseReader, State
from proxy.core.http1.writer import chunk, request_head, response_head
from tests.core.http1.requests import CHUNKED, HELLO, LENGTH, PLAIN

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _only_heads(events: list[object]) -> list[bytes]:
    return [event.target for event in events if isinstance(event, RequestHead)]


def test_pipelined_requests_wait_for_their_turn() -> None:
    reader = RequestReader()
    first = reader.feed(LENGTH + PLAIN + CHUNKED)
    assert [type(event) for event in first] == [RequestHead, bytes, type(END)]
    assert reader.has_surplus
    assert _only_heads(reader.next_message()) == [b"/x"]
    third = reader.next_message()
    assert third[1:] == [b"hello", END]
    assert reader.next_message() == []
    assert reader.is_between_messages


def test_each_request_may_follow_one_empty_line() -> None:
    reader = RequestReader()
    for _ in range(3):
        events = [event for byte in b"\r\n" + PLAIN for event in reader.feed(bytes((byte,)))]
        assert _only_heads(events) == [b"/x"]
        assert reader.next_message() == []


def test_empty_lines_without_end_are_no_request() -> None:
    reader = RequestReader()
    assert reader.feed(b"\r\n") == []
    assert reader.is_between_messages
    (error,) = reader.feed(b"\r\n")
    assert isinstance(error, Malformed)


@pytest.mark.parametrize(
    "first", [b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x80\x2e\x01", b"\0", b" ", b":"]
)
@pytest.mark.parametrize("before", [b"", b"\r\n", PLAIN])
def test_what_begins_no_request_is_refused_with_its_first_byte(before: bytes, first: bytes) -> None:
    """TLS sends no line that ends: it would wait for a response until the head's time is over."""
    reader = RequestReader()
    assert not any(isinstance(event, Malformed) for event in reader.feed(before))
    if before == PLAIN:
        reader.next_message()
    (error,) = reader.feed(first)
    assert isinstance(error, Malformed)
    assert error.status == 400
    is_tls = first[0] == 0x16
    assert ("http://" in error.detail, "http://" in error.hint) == (is_tls, is_tls)


def test_a_head_of_just_the_limit_is_read() -> None:
    for size, expected in ((MAX_HEAD, None), (MAX_HEAD + 1, 431)):
        start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
        head = start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"
        (event,) = RequestReader().feed(head)[:1]
        assert (event.status if isinstance(event, Malformed) else None) == expected


def test_nothing_is_read_after_an_error() -> None:
    for reader in (RequestReader(), ResponseReader()):
        if isinstance(reader, ResponseReader):
            reader.expect(b"GET")
        (error,) = reader.feed(b"\n\n")
        assert isinstance(error, Malformed)
        assert reader.state is State.FAILED
        assert reader.feed(LENGTH + _OK) == []
        assert reader.end_of_stream() == []


def test_interim_responses_come_before_the_final_one() -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    events = reader.feed(b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hm\r\nLink: x\r\n\r\n" + _OK)
    assert events[0] == Interim(ResponseHead(100, 1, ()))
    assert events[1] == Interim(ResponseHead(103, 1, ((b"link", b"x"),)))
    assert events[3:] == [b"ok", END]


def test_an_upgrade_hands_on_whatever_comes() -> None:
    reader = ResponseReader()
    reader.expect(b"GET", upgrade=True)
    head, *rest = reader.feed(b"HTTP/1.1 101 \r\nContent-Length: 0\r\n\r\nabc")
    assert isinstance(head, ResponseHead)
    assert rest == [b"abc"]
    assert reader.feed(_OK) == [_OK]
    assert reader.end_of_stream() == [END]


def test_a_response_is_read_only_when_one_is_expected() -> None:
    reader = ResponseReader()
    (error,) = reader.feed(_OK)
    assert isinstance(error, Malformed)
    with pytest.raises(RuntimeError):
        reader.expect(b"GET")


def test_responses_follow_each_other() -> None:
    reader = ResponseReader()
    for _ in range(3):
        reader.expect(b"GET")
        assert reader.feed(_OK)[1:] == [b"ok", END]
    (error,) = reader.feed(b"\r\n")
    assert isinstance(error, Malformed)


def test_chunks_that_came_together_are_handed_on_together() -> None:
    events: list[object] = []
    body = ChunkedBody()
    assert body.feed(b"1\r\na\r\n" * 1000 + b"0\r\n\r\nnext", events) == 6005
    assert events == [b"a" * 1000]
    assert body.is_complete


def test_content_before_a_mistake_is_handed_on() -> None:
    events: list[object] = []
    with pytest.raises(Malformed):
        ChunkedBody().feed(HELLO[:10] + b"-1\r\n", events)
    assert events == [b"hello"]


@pytest.mark.parametrize(
    ("minor", "values", "keeps"),
    [
        (1, [], True),
        (1, [b"close"], False),
        (1, [b"Keep-Alive, CLOSE"], False),
        (1, [b"x", b"\tclose "], False),
        (1, [b"closed"], True),
        (0, [], False),
        (0, [b"keep-alive"], True),
        (0, [b"keep-alive", b"close"], False),
        (1, [b"," * 255], True),
        (1, [b"," * 256], False),  # which is refused unread
    ],
)
def test_what_connection_says_decides_whether_it_stays(
    minor: int,
    values: list[bytes],
    keeps: bool,  # noqa: FBT001
) -> None:
    fields: list[Field] = [(b"connection", value) for value in values]
    assert persistence(fields, minor).keeps is keeps


def test_heads_are_written_as_they_are_given() -> None:
    fields = [(b"Host", b"a"), (b"x", b""), (b"x", b"\xe9")]
    expected = b"GET /?%zz HTTP/1.1\r\nHost: a\r\nx: \r\nx: \xe9\r\n\r\n"
    assert request_head(b"GET", b"/?%zz", fields) == expected
    assert response_head(404, []) == b"HTTP/1.1 404 Not Found\r\n\r\n"
    assert response_head(599, [(b"a", b"b")]) == b"HTTP/1.1 599 \r\na: b\r\n\r\n"
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


@pytest.mark.parametrize("bad", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
def test_nothing_written_begins_a_line_of_its_own(bad: bytes) -> None:
    for fields in ([(b"x", bad)], [(bad, b"x")]):
        with pytest.raises(ValueError, match="line break"):
            response_head(200, fields)
        with pytest.raises(ValueError, match="line break"):
            request_head(b"GET", b"/", fields)
    with pytest.raises(ValueError, match="line break"):
        request_head(b"GET", b"/" + bad.replace(b" ", b""), [])
    with pytest.raises(ValueError, match="space"):
        request_head(b"GET", b"/ HTTP/1.1", [])
