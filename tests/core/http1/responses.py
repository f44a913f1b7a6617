"""Responses that must be refused, each beside a harmless twin that must be read: as data."""

from dataclasses import dataclass

from tests.core.http1.requests import HELLO, TE

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + TE + b"\r\n" + HELLO
NONE = OK + b"Content-Length: 0\r\n\r\n"
RESET = b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Row:
    """``forged`` fails; ``twin`` is a whole response of ``status`` with ``body``.

    Both answer a request with ``method``. ``until_close`` ends both with the stream.
    """

    name: str
    forged: bytes
    twin: bytes = LENGTH
    body: bytes = b"hello"
    status: int = 200
    method: bytes = b"GET"
    upgrade: bool = False
    until_close: bool = False

    def __str__(self) -> str:
        return self.name


def _with_length(name: str, value: bytes) -> Row:
    return Row(name, OK + b"Content-Length: " + value + b"\r\n\r\nhello")


def _with_coding(name: str, value: bytes) -> Row:
    return Row(name, OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO, CHUNKED)


def _with_chunks(name: str, body: bytes, twin: bytes = HELLO) -> Row:
    return Row(name, OK + TE + b"\r\n" + body, OK + TE + b"\r\n" + twin)


def _with_field(name: str, line: bytes, twin: bytes = b"X-A: b\r\n") -> Row:
    rest = b"Content-Length: 5\r\n\r\nhello"
    return Row(name, OK + line + rest, OK + twin + rest)


def _with_line(name: str, line: bytes, twin: bytes = b"HTTP/1.1 200 OK", status: int = 200) -> Row:
    rest = b"\r\nContent-Length: 5\r\n\r\nhello"
    return Row(name, line + rest, twin + rest, status=status)


_FRAMING = [
    Row("length_beside_chunked", OK + b"Content-Length: 5\r\n" + TE + b"\r\n" + HELLO, CHUNKED),
    Row("chunked_beside_length", OK + TE + b"Content-Length: 15\r\n\r\n" + HELLO, CHUNKED),
    Row("two_lengths", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    Row("two_lengths_that_differ", OK + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello"),
    _with_length("length_with_plus", b"+5"),
    _with_length("length_as_list", b"5, 5"),
    _with_length("length_negative", b"-5"),
    _with_length("length_huge", b"9" * 16),
    _with_length("length_empty", b""),
    _with_length("length_hexadecimal", b"0x5"),
    _with_coding("coding_xchunked", b"xchunked"),
    _with_coding("coding_gzip_chunked", b"gzip, chunked"),
    _with_coding("coding_gzip", b"gzip"),
    _with_coding("coding_identity", b"identity"),
    _with_coding("coding_chunked_twice", b"chunked, chunked"),
    Row("coding_in_http_1_0", b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n" + HELLO,
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    _with_chunks("chunk_size_0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_behind_a_space", b" 5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_16_digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_line_with_a_bare_lf", b"5\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_data_without_its_line_end", b"5\r\nhello0\r\n\r\n"),
    _with_chunks("extension_without_a_name", b"5;\r\nhello\r\n0\r\n\r\n",
                 b'5;a="b"\r\nhello\r\n0\r\n\r\n'),
    _with_chunks("trailer_with_a_space_in_its_name", b"5\r\nhello\r\n0\r\nX y: z\r\n\r\n",
                 b"5\r\nhello\r\n0\r\nPortal-Refusal: forged\r\n\r\n"),
    _with_chunks("trailers_too_large", b"5\r\nhello\r\n0\r\nX: " + b"y" * 9000 + b"\r\n\r\n"),
]  # fmt: skip

_HEADS = [
    _with_field("field_folded", b"X-A: b\r\n c\r\n"),
    _with_field("field_line_ended_by_lf", b"X-A: b\nX-C: d\r\n"),
    _with_field("field_line_ended_by_cr", b"X-A: b\rX-C: d\r\n"),
    _with_field("field_name_before_a_space", b"X-A : b\r\n"),
    _with_field("field_name_empty", b": b\r\n"),
    _with_field("field_value_with_nul", b"X-A: b\x00\r\n"),
    _with_field("field_value_of_200_kb", b"X-A: " + b"b" * 200_000 + b"\r\n",
                b"X-A: " + b"b" * 60_000 + b"\r\n"),
    _with_field("fields_10000", b"A:b\r\n" * 10_000, b"A:b\r\n" * 255),
    _with_line("line_without_a_version", b"200 OK"),
    _with_line("line_of_http_2", b"HTTP/2 200 OK"),
    _with_line("line_of_http_1_2", b"HTTP/1.2 200 OK"),
    _with_line("line_of_icy", b"ICY 200 OK"),
    _with_line("line_with_two_digits", b"HTTP/1.1 20 OK"),
    _with_line("line_with_four_digits", b"HTTP/1.1 2000 OK"),
    _with_line("line_with_letters", b"HTTP/1.1 2x0 OK"),
    _with_line("line_with_status_000", b"HTTP/1.1 000 OK", b"HTTP/1.1 599 Odd", 599),
    _with_line("line_without_a_space", b"HTTP/1.1 200OK", b"HTTP/1.1 200"),
    _with_line("line_with_nul", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 \xc3\x96K"),
    _with_line("line_ended_by_lf", b"HTTP/1.1 200 OK\nX-A: b"),
    Row("an_empty_line_in_front", b"\r\n" + LENGTH),
    Row("a_request_instead", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
]  # fmt: skip

_BODIES = [
    Row("bytes_behind_the_length", LENGTH + b"!"),
    Row("bytes_behind_the_last_chunk", CHUNKED + b"HTTP/1.1 200 OK\r\n", CHUNKED),
    Row("bytes_behind_nothing", NONE + b"x", NONE, b""),
    Row("bytes_behind_a_205", RESET + b"hello", RESET, b"", 205),
    Row("bytes_behind_an_interim_response", b"HTTP/1.1 103 Hm\r\nContent-Length: 5\r\n\r\nhello"
        + LENGTH, b"HTTP/1.1 103 Hm\r\nContent-Length: 5\r\n\r\n" + LENGTH),
    Row("a_length_that_isn_t_one_for_head", OK + b"Content-Length: +5\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\n", b"", method=b"HEAD"),
    Row("two_lengths_for_head", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", NONE, b"",
        method=b"HEAD"),
    Row("an_upgrade_that_nobody_asked_for",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH),
    Row("an_interim_response_that_is_malformed", b"HTTP/1.1 103 Hm\r\nX y: z\r\n\r\n" + LENGTH,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hm\r\nX: z\r\n\r\n" + LENGTH),
    Row("a_length_that_isn_t_one_until_the_end", OK + b"Content-Length: x\r\n\r\nhello",
        OK + b"\r\nhello", until_close=True),
    Row("an_upgrade_refused_with_bytes_behind", LENGTH + b"raw", upgrade=True),
]  # fmt: skip

ROWS = [*_FRAMING, *_HEADS, *_BODIES]

_NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"


def _ended(
    name: str, head: bytes, behind: bytes = b"hello", status: int = 200, method: bytes = b"HEAD"
) -> Row:
    return Row(name, head + b"\r\n" + behind, head + b"\r\n", b"", status, method)


ENDED_WITH_HEAD = [
    _ended("a_body_for_head", OK + b"Content-Length: 5\r\n"),
    _ended("a_body_for_head_without_a_length", OK),
    _ended("a_chunk_for_head", OK + TE, HELLO),
    _ended("a_coding_beside_a_length_for_head", OK + TE + b"Content-Length: 5\r\n"),
    _ended("a_coding_that_nobody_knows_for_head", OK + b"Transfer-Encoding: gzip\r\n"),
    _ended("a_coding_in_http_1_0_for_head", b"HTTP/1.0 200 OK\r\n" + TE, HELLO),
    _ended("an_error_s_body_for_head", b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n", status=404),
    _ended("a_body_with_204", _NO_CONTENT + b"Content-Length: 5\r\n", status=204, method=b"GET"),
    _ended("a_chunk_with_204", _NO_CONTENT + TE, HELLO, 204, b"DELETE"),
    _ended("a_body_with_304", _NOT_MODIFIED, status=304, method=b"GET"),
    _ended("a_body_with_304_and_its_length", _NOT_MODIFIED + b"Content-Length: 5\r\n",
           status=304, method=b"GET"),
    _ended("a_surplus_response_behind_head", OK + b"Content-Length: 5\r\n", LENGTH),
]  # fmt: skip
"""Responses that are whole with their head (RFC 9112, section 6.3): ``forged`` sends a body all the
same. Both arrive as the twin does, but nothing may be sent behind what was forged.
"""
