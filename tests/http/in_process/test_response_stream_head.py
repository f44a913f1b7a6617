"""What an app's messages amount to, and which of them can't be sent."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.http.in_process.response_stream import Body, Head, read_fields, read_head
from tests.http.in_process.messages import LENGTH, body, start


def taken(method: bytes, status: int, length: bytes | None, *given: tuple[bytes, bool]) -> bytes:
    """Return what passes of the pieces; the flag says whether more follows."""
    head = Head(status, ((LENGTH, length),) if length is not None else ())
    read = Body(method, head)
    return b"".join(read.take(body(piece, more=more)) for piece, more in given)


@pytest.mark.parametrize(
    ("method", "status", "length", "given", "passes"),
    [
        (b"GET", 200, None, [(b"ab", True), (b"", True), (b"c", False)], b"abc"),
        (b"GET", 200, b"3", [(b"ab", True), (b"c", False)], b"abc"),
        (b"GET", 200, b"3", [(b"abc", True), (b"", False)], b"abc"),
        (b"GET", 200, b"0", [(b"", False)], b""),
        (b"GET", 200, b"003", [(b"abc", False)], b"abc"),
        (b"HEAD", 200, b"9", [(b"", False)], b""),
        (b"HEAD", 200, b"9", [(b"whatever", False)], b""),
        (b"HEAD", 200, None, [(b"whatever", True), (b"more", False)], b""),
        (b"GET", 204, None, [(b"whatever", False)], b""),
        (b"GET", 304, b"9", [(b"", False)], b""),
        (b"GET", 304, b"9", [(b"whatever", False)], b""),
    ],
)
def test_a_body_passes_as_its_head_says(
    method: bytes, status: int, length: bytes | None, given: list[tuple[bytes, bool]], passes: bytes
) -> None:
    assert taken(method, status, length, *given) == passes


@pytest.mark.parametrize(
    ("length", "given", "why"),
    [
        (b"2", [(b"abc", False)], "longer"),
        (b"2", [(b"ab", True), (b"c", True)], "longer"),
        (b"0", [(b"a", True)], "longer"),
        (b"4", [(b"abc", False)], "1 bytes short"),
        (b"4", [(b"ab", True), (b"", False)], "2 bytes short"),
    ],
)
def test_a_body_that_isn_t_its_length_is_none(
    length: bytes, given: list[tuple[bytes, bool]], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        taken(b"GET", 200, length, *given)


def test_a_body_is_short_only_at_its_end() -> None:
    read = Body(b"GET", Head(200, ((LENGTH, b"2"),)))
    assert read.take(body(b"a", more=True)) == b"a"


@pytest.mark.parametrize(
    "lengths",
    [[b""], [b"-1"], [b"+1"], [b"1, 1"], [b"1 1"], [b"0x1"], [b"\xb2"], [b"1", b"1"], [b"1", b"2"]],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_length_that_isn_t_one_number_is_refused(method: bytes, lengths: list[bytes]) -> None:
    with pytest.raises(ValueError, match="isn't one number"):
        Body(method, Head(200, tuple((LENGTH, value) for value in lengths)))


@pytest.mark.parametrize("status", [200, 204, 304, 404, 599])
def test_a_final_status_begins_a_response(status: int) -> None:
    assert read_head(start((b"A", b"b"), status=status)) == Head(status, ((b"a", b"b"),))


@pytest.mark.parametrize("status", [0, 99, 100, 101, 103, 199, 600, 1000, -200, "200", None])
def test_any_other_status_begins_none(status: Any) -> None:
    with pytest.raises(ValueError, match="no final status"):
        read_head(start(status=status))


def test_fields_keep_their_order_and_their_bytes() -> None:
    message = {
        "headers": [(b"Set-Cookie", b"a"), (bytearray(b"X"), b" \t\xe9 z\t"), (b"set-cookie", b"b")]
    }
    assert read_fields(message) == ((b"set-cookie", b"a"), (b"x", b"\xe9 z"), (b"set-cookie", b"b"))


def test_a_message_without_fields_has_none() -> None:
    assert read_fields({"type": "http.response.start", "status": 200}) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"", b"x"),
        (b"a b", b"x"),
        (b"a:", b"x"),
        (b"a\r\nevil", b"x"),
        (b"a", b"x\r\nevil: 1"),
        (b"a", b"x\nevil: 1"),
        (b"a", b"x\0"),
        (b"\xe9", b"x"),
    ],
)
def test_what_would_be_another_head_is_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of refuse_malformed
        read_fields({"headers": [(name, value)]})
