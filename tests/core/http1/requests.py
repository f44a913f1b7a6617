"""Requests that must be refused, each beside a harmless twin that must be read: as data.

The rows are what request smuggling, and whatever else reads one message in two ways, needs.
"""

from dataclasses import dataclass

LINE = b"POST /x HTTP/1.1\r\n"
HOST = b"Host: a.example\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def _post(fields: bytes, body: bytes = b"", line: bytes = LINE, host: bytes = HOST) -> bytes:
    return line + host + fields + b"\r\n" + body


def _chunks(body: bytes) -> bytes:
    return _post(TE, body)


@dataclass(frozen=True)
class Row:
    """``forged`` is answered with ``status``; ``twin`` is one request with ``body``."""

    name: str
    forged: bytes
    twin: bytes
    body: bytes = b""
    status: int = 400

    def __str__(self) -> str:
        return self.name


LENGTH = _post(b"Content-Length: 5\r\n", b"hello")
CHUNKED = _chunks(HELLO)
PLAIN = _post(b"X-A: b\r\n", line=b"GET /x HTTP/1.1\r\n")


def _with_length(name: str, value: bytes) -> Row:
    return Row(name, _post(b"Content-Length: " + value + b"\r\n", b"hello"), LENGTH, b"hello")


def _with_coding(name: str, value: bytes) -> Row:
    forged = _post(b"Transfer-Encoding: " + value + b"\r\n", HELLO)
    return Row(name, forged, _post(b"Transfer-Encoding: \t Chunked \r\n", HELLO), b"hello")


def _with_chunks(name: str, body: bytes, twin: bytes = HELLO, status: int = 400) -> Row:
    return Row(name, _chunks(body), _chunks(twin), b"hello", status)


def _with_field(name: str, line: bytes, twin: bytes = b"X-A: b\r\n", status: int = 400) -> Row:
    get = b"GET /x HTTP/1.1\r\n"
    return Row(name, _post(line, line=get), _post(twin, line=get), b"", status)


def _with_line(
    name: str, line: bytes, twin: bytes = b"GET /x?y HTTP/1.1", status: int = 400
) -> Row:
    return Row(name, line + b"\r\n" + HOST + b"\r\n", twin + b"\r\n" + HOST + b"\r\n", b"", status)


_LENGTHS = [
    Row("length_beside_chunked", _post(b"Content-Length: 5\r\n" + TE, HELLO), CHUNKED, b"hello"),
    Row("chunked_beside_length", _post(TE + b"Content-Length: 15\r\n", HELLO), CHUNKED, b"hello"),
    Row("chunked_beside_length_in_odd_case",
        _post(b"tRANSFER-eNCODING: cHUNKED\r\ncONTENT-lENGTH: 5\r\n", HELLO), CHUNKED, b"hello"),
    Row("two_lengths", _post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), LENGTH,
        b"hello"),
    Row("two_lengths_that_differ", _post(b"Content-Length: 5\r\nContent-Length: 0\r\n", b"hello"),
        LENGTH, b"hello"),
    _with_length("length_with_plus", b"+5"),
    _with_length("length_as_list", b"5, 5"),
    _with_length("length_negative", b"-5"),
    _with_length("length_negative_and_huge", b"-123456789123456789123456789"),
    _with_length("length_huge", b"9" * 16),
    _with_length("length_beyond_64_bits", b"18446744073709551621"),
    _with_length("length_hexadecimal", b"0x5"),
    _with_length("length_with_a_space_inside", b"5 5"),
    _with_length("length_empty", b""),
    _with_length("length_with_a_fraction", b"5.0"),
    _with_length("length_with_an_underscore", b"0_5"),
    _with_length("length_in_arabic_digits", "\N{ARABIC-INDIC DIGIT FIVE}".encode()),
    Row("length_with_a_space_before_the_colon", _post(b"Content-Length : 5\r\n", b"hello"), LENGTH,
        b"hello"),
    Row("length_with_a_tab_before_the_colon", _post(b"Content-Length\t: 5\r\n", b"hello"), LENGTH,
        b"hello"),
]  # fmt: skip

_CODINGS = [
    _with_coding("coding_xchunked", b"xchunked"),
    _with_coding("coding_gzip_chunked", b"gzip, chunked"),
    _with_coding("coding_gzip", b"gzip"),
    _with_coding("coding_chunked_twice", b"chunked, chunked"),
    _with_coding("coding_chunked_in_two_lines", b"chunked\r\nTransfer-Encoding: chunked"),
    _with_coding("coding_identity", b"identity"),
    _with_coding("coding_chunked_then_identity", b"chunked, identity"),
    _with_coding("coding_empty", b""),
    _with_coding("coding_with_a_parameter", b"chunked;q=1"),
    _with_coding("coding_quoted", b'"chunked"'),
    _with_coding("coding_behind_a_comma", b", chunked"),
    _with_coding("coding_behind_a_vertical_tab", b"\x0bchunked"),
    _with_coding("coding_folded", b"\r\n chunked"),
    *(Row(f"no_length_in_http_1_0_{method.decode()}",
          _post(b"", b"", method + b" /x HTTP/1.0\r\n"),
          _post(b"Content-Length: 5\r\n", b"hello", method + b" /x HTTP/1.0\r\n"), b"hello", 411)
      for method in (b"POST", b"PUT", b"PATCH")),
    Row("no_length_in_http_1_0_behind_keep_alive",
        _post(b"Connection: keep-alive\r\n", b"GET /y HTTP/1.0\r\n\r\n", b"POST /x HTTP/1.0\r\n"),
        _post(b"Content-Length: 0\r\n", b"", b"POST /x HTTP/1.0\r\n"), b"", 411),
    Row("coding_in_http_1_0", _post(TE, HELLO, b"POST /x HTTP/1.0\r\n"),
        _post(b"Content-Length: 5\r\n", b"hello", b"POST /x HTTP/1.0\r\n"), b"hello"),
    *(Row(f"a_body_with_connect_{name}", _post(framing, body, b"CONNECT a.example:80 HTTP/1.1\r\n"),
          _post(framing, body), b"hello")
      for name, framing, body in (
          ("by_length", b"Content-Length: 5\r\n", b"hello"), ("in_chunks", TE, HELLO))),
    Row("coding_with_a_space_before_the_colon", _post(b"Transfer-Encoding : chunked\r\n", HELLO),
        CHUNKED, b"hello"),
]  # fmt: skip

_LONG = b"a" * 900
_SOME_TRAILERS = b"5\r\nhello\r\n0\r\nX-Ptl-Client-Id: evil\r\nHost: evil\r\n\r\n"
_CHUNKS = [
    _with_chunks("chunk_size_0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_behind_a_space", b" 5\r\nhello\r\n0\r\n\r\n"),
    # White space stands only around what belongs to an extension (RFC 9112, section 7.1.1). nginx
    # and h11 take it behind a size alone too; h11 refuses it in front of ";".
    _with_chunks("chunk_size_before_a_space", b"5 \r\nhello\r\n0\r\n\r\n",
                 b"5 ;a\r\nhello\r\n0 ;b\r\n\r\n"),
    _with_chunks("chunk_size_before_a_tab", b"5\t\r\nhello\r\n0\r\n\r\n",
                 b"5\t;\ta\t=\tb\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_last_before_a_space", b"5\r\nhello\r\n0 \r\n\r\n"),
    _with_chunks("chunk_size_empty", b"\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_not_a_number", b"g\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_16_digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n",
                 b"000000000000005\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_beyond_64_bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_size_negative_last", b"5\r\nhello\r\n-0\r\n\r\n"),
    _with_chunks("chunk_line_with_a_bare_lf", b"5\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_line_with_a_bare_cr", b"5\rhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_data_without_its_line_end", b"5\r\nhello0\r\n\r\n"),
    _with_chunks("chunk_data_with_a_bare_lf", b"5\r\nhello\n0\r\n\r\n"),
    _with_chunks("chunk_data_with_a_bare_cr", b"5\r\nhello\r0\r\n\r\n"),
    _with_chunks("chunk_longer_than_it_said", b"4\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("chunk_last_with_a_bare_lf", b"5\r\nhello\r\n0\n\r\n"),
    _with_chunks("extension_with_a_bare_lf", b"5;a\nb\r\nhello\r\n0\r\n\r\n",
                 b'5;a;b=c;d="e \\" f"\r\nhello\r\n0;x\r\n\r\n'),
    _with_chunks("extension_without_a_name", b"5;\r\nhello\r\n0\r\n\r\n",
                 b"5;a\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_with_only_a_value", b"5;=a\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_open_quote", b'5;a="b\r\nhello\r\n0\r\n\r\n',
                 b'5;a="b"\r\nhello\r\n0\r\n\r\n'),
    _with_chunks("extension_with_a_control_byte", b"5;a=\x01\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_before_a_space", b"5;a=b \r\nhello\r\n0\r\n\r\n",
                 b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_of_blanks_alone", b"5 ; \r\nhello\r\n0\r\n\r\n",
                 b"5 ; a \t ;  b\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_behind_a_vertical_tab", b"5\x0b;a\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_twice_a_semicolon", b"5;;a\r\nhello\r\n0\r\n\r\n",
                 b"5;a;a\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_with_no_value", b"5;a= \r\nhello\r\n0\r\n\r\n",
                 b'5;a= ""\r\nhello\r\n0\r\n\r\n'),
    _with_chunks("extension_with_a_line_end_in_quotes", b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
                 b'5;a="\\"\t;"\r\nhello\r\n0\r\n\r\n'),
    _with_chunks("extension_behind_endless_blanks",
                 b"5" + b" " * 1100 + b";a\r\nhello\r\n0\r\n\r\n",
                 b"5" + b" " * 1000 + b";a\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extensions_many_times_the_content",
                 (b"1;" + _LONG + b"\r\nx\r\n") * 30 + b"0\r\n\r\n",
                 b"".join(b"1;%b\r\n%c\r\n" % (_LONG, c) for c in b"hello") + b"0\r\n\r\n"),
    _with_chunks("extension_with_a_bare_cr", b"5;a=\r5\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("extension_endless", b"5;" + _LONG + _LONG + b"\r\nhello\r\n0\r\n\r\n",
                 b"5;" + _LONG + b"\r\nhello\r\n0\r\n\r\n"),
    _with_chunks("trailer_with_a_space_in_its_name", b"5\r\nhello\r\n0\r\nX y: z\r\n\r\n",
                 _SOME_TRAILERS),
    _with_chunks("trailer_with_a_bare_lf", b"5\r\nhello\r\n0\r\nX: y\nZ: a\r\n\r\n",
                 _SOME_TRAILERS),
    _with_chunks("trailer_folded", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", _SOME_TRAILERS),
    _with_chunks("trailer_without_a_colon", b"5\r\nhello\r\n0\r\nX\r\n\r\n", _SOME_TRAILERS),
    _with_chunks("trailers_too_large", b"5\r\nhello\r\n0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
                 b"5\r\nhello\r\n0\r\nX: " + b"y" * 8000 + b"\r\n\r\n", 431),
    _with_chunks("trailers_too_many", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 300 + b"\r\n",
                 b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
]  # fmt: skip

_FIELDS = [
    _with_field("field_folded", b"X-A: b\r\n c\r\n"),
    _with_field("field_folded_by_a_tab", b"X-A: b\r\n\tc\r\n"),
    _with_field("field_line_behind_a_space", b" X-A: b\r\n"),
    _with_field("field_line_ended_by_lf", b"X-A: b\nX-C: d\r\n"),
    _with_field("field_line_ended_by_cr", b"X-A: b\rX-C: d\r\n"),
    _with_field("field_line_ended_by_cr_cr_lf", b"X-A: b\r\r\n"),
    _with_field("field_line_begun_by_cr", b"\rX-A: b\r\n"),
    _with_field("field_name_before_a_space", b"X-A : b\r\n"),
    _with_field("field_name_with_a_space", b"X A: b\r\n"),
    _with_field("field_name_empty", b": b\r\n"),
    _with_field("field_name_in_brackets", b"X-Invalid[]: b\r\n"),
    _with_field("field_name_not_ascii", b"X-\xe9: b\r\n", b"X-A: \xe9\r\n"),
    _with_field("field_name_with_nul", b"X\x00A: b\r\n"),
    _with_field("field_without_a_colon", b"X-A\r\n", b"X-A:\r\n"),
    _with_field("field_value_with_nul", b"X-A: b\x00c\r\n", b"X-A: b\tc\r\n"),
    _with_field("field_value_with_a_bell", b"X-A: b\x07\r\n"),
    _with_field("field_value_with_delete", b"X-A: b\x7f\r\n"),
    _with_field("field_value_of_200_kb", b"X-A: " + b"b" * 200_000 + b"\r\n",
                b"X-A: " + b"b" * 60_000 + b"\r\n", 431),
    _with_field("fields_10000", b"A:b\r\n" * 10_000, b"A:b\r\n" * 255, 431),
    _with_field("fields_257", b"A:b\r\n" * 256, b"A:b\r\n" * 255, 431),
    _with_field("head_too_large", (b"X-A: " + b"b" * 8000 + b"\r\n") * 9,
                (b"X-A: " + b"b" * 8000 + b"\r\n") * 8, 431),
    Row("head_ended_by_lf_lf", b"GET /x HTTP/1.1\n" + b"Host: a.example\n\n", PLAIN),
    Row("head_ended_by_crlf_lf", b"GET /x HTTP/1.1\r\n" + HOST + b"\n", PLAIN),
    Row("head_ended_by_crlf_cr", b"GET /x HTTP/1.1\r\n" + HOST + b"\rX-A: b\r\n\r\n", PLAIN),
    Row("host_missing", b"GET /x HTTP/1.1\r\n\r\n", PLAIN),
    Row("host_twice", _post(b"host: b.example\r\n"), PLAIN),
    Row("host_twice_the_same", _post(HOST), PLAIN),
    Row("host_twice_in_http_1_0", b"GET /x HTTP/1.0\r\n" + HOST + HOST + b"\r\n",
        b"GET /x HTTP/1.0\r\n\r\n"),
]  # fmt: skip

_LINES = [
    _with_line("line_without_a_version", b"GET /x"),
    _with_line("line_without_a_version_but_a_space", b"GET /x "),
    _with_line("line_with_two_spaces", b"GET  /x HTTP/1.1"),
    _with_line("line_with_tabs", b"GET\t/x\tHTTP/1.1"),
    _with_line("line_with_a_space_in_its_target", b"GET /x /y HTTP/1.1", b"GET /x%20/y HTTP/1.1"),
    _with_line("line_with_a_space_behind", b"GET /x HTTP/1.1 "),
    _with_line("line_behind_a_space", b" GET /x HTTP/1.1"),
    _with_line("line_behind_words", b"Extra lineGET /x HTTP/1.1"),
    _with_line("line_without_a_target", b"GET HTTP/1.1"),
    _with_line("line_without_a_method", b"/x HTTP/1.1"),
    _with_line("line_with_nul_in_its_target", b"GET /x\x00 HTTP/1.1", b"GET /x%30 HTTP/1.1"),
    _with_line("line_with_a_control_byte", b"GET /\x1f HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1"),
    _with_line("line_with_brackets_in_its_method", b"G[]T /x HTTP/1.1", b"G'*T /x HTTP/1.1"),
    _with_line("line_with_cr", b"GET /x\rHTTP/1.1"),
    _with_line("line_ended_by_lf", b"GET /x HTTP/1.1\nX-A: b"),
    _with_line("version_lower_case", b"GET /x http/1.1"),
    _with_line("version_1_2", b"GET /x HTTP/1.2", status=505),
    _with_line("version_2_0", b"GET /x HTTP/2.0", status=505),
    _with_line("version_9_9", b"GET /x HTTP/9.9", status=505),
    _with_line("version_0_9", b"GET /x HTTP/0.9", status=505),
    _with_line("version_with_zeros", b"GET /x HTTP/01.1", status=505),
    _with_line("version_1_10", b"GET /x HTTP/1.10", status=505),
    _with_line("version_of_letters", b"GET /x HTTP/x.y"),
    Row("preface_of_http_2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PLAIN, b"", 505),
    Row("two_empty_lines_in_front", b"\r\n\r\n" + PLAIN, b"\r\n" + PLAIN),
    Row("an_empty_line_of_lf_in_front", b"\n" + PLAIN, b"\r\n" + PLAIN),
    Row("an_empty_line_of_cr_in_front", b"\r" + PLAIN, b"\r\n" + PLAIN),
]  # fmt: skip

ROWS = [*_LENGTHS, *_CODINGS, *_CHUNKS, *_FIELDS, *_LINES]
