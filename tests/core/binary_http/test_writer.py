"""What the writer makes, beside the RFC's own examples."""

import pytest

from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.writer import END, content, request_head, response_head
from proxy.core.http.headers import Field
from tests.core.binary_http.driving import read_message
from tests.core.binary_http.forms import Form, integer, lines, string

_REQUEST = Form(is_request=True, is_known=False)
_RESPONSE = Form(is_request=False, is_known=False)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 1023, 1024, 16383, 16384, 40000])
def test_strings_of_any_length_have_the_shortest_length_before_them(size: int) -> None:
    fields = ((b"x" * max(size, 1), b"y"), (b"z", b"y" * size))
    head = RequestHead(b"GET", b"https", b"a" * max(size, 1), b"/" * max(size, 1), fields)
    control = [head.method, head.scheme, head.authority, head.target]
    assert request_head(head) == _REQUEST.head(fields, control)
    assert response_head(ResponseHead(200, fields)) == _RESPONSE.head(fields)


def test_content_is_in_pieces_that_are_never_empty() -> None:
    assert content(b"") == b""
    assert content(b"ab") == b"\2ab"
    assert content(b"a" * 65536) == integer(65536) + b"a" * 65536
    message = request_head(RequestHead(b"PUT", b"http", b"a", b"/", ())) + content(b"ab")
    assert read_message(message + content(b"") + content(b"c") + END).content == b"abc"


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 600, 2**62])
def test_a_status_that_would_not_be_final_is_never_written(status: int) -> None:
    with pytest.raises(ValueError, match="final"):
        response_head(ResponseHead(status, ()))


def test_a_field_without_a_name_would_be_the_end_of_fields_and_is_never_written() -> None:
    fields: tuple[Field, ...] = ((b"", b"x"),)
    with pytest.raises(ValueError, match="name"):
        request_head(RequestHead(b"GET", b"http", b"a", b"/", fields))


def test_fields_keep_their_order_and_repetitions() -> None:
    fields = ((b"set-cookie", b"b=1"), (b"a", b""), (b"set-cookie", b"a=1"))
    written = response_head(ResponseHead(404, fields))
    assert written == b"\3" + integer(404) + lines(fields) + b"\0"
    assert string(b"b=1") in written
    assert read_message(written + END).heads == [ResponseHead(404, fields)]
