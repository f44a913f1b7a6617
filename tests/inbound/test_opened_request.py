"""What an envelope holds, bytes in and pieces out; with callbacks around it: test_envelope."""

from __future__ import annotations

import pytest

from proxy.core.binary_http.writer import END, content
from proxy.core.errors import Code
from proxy.inbound.opened_request import OpenedRequest

from .envelope_sides import KEY, sealed, whole


def opening(most: int | None = None) -> OpenedRequest:
    opened = OpenedRequest(lambda _: KEY)
    if most is not None:
        opened.limit(most)
    return opened


def test_pieces_wait_together_until_they_are_taken() -> None:
    _, (header, head, one, two, end) = sealed(content(b"one"), content(b"two"), END)
    opened = opening()
    assert opened.method == b""
    opened.feed(header + head, ends=False)
    assert (opened.method, opened.has_opened, opened.has_body) == (b"POST", True, False)
    assert opened.take() == b""
    opened.feed(one, ends=False)
    opened.feed(two, ends=False)
    assert opened.has_body
    assert opened.take() == b"onetwo"
    assert opened.take() == b""
    opened.feed(end, ends=False)
    assert opened.is_opening
    opened.feed(b"", ends=True)
    assert opened.is_whole


def test_the_last_piece_is_kept_back_until_it_is_whole() -> None:
    length = ((b"content-length", b"6"),)
    _, (header, head, one, two, end) = sealed(content(b"one"), content(b"two"), END, fields=length)
    opened = opening()
    opened.feed(header + head + one, ends=False)
    assert opened.take() == b"one"
    opened.feed(two, ends=False)
    assert opened.has_body
    assert opened.take() == b""
    opened.feed(end, ends=True)
    assert opened.take() == b"two"


def test_what_came_in_front_of_a_failure_can_be_taken() -> None:
    _, (header, head, one, _) = sealed(content(b"one"), END)
    opened = opening()
    opened.feed(header + head + one, ends=False)
    opened.feed(bytes(99), ends=True)
    assert opened.failure is not None
    assert opened.failure.code is Code.ENVELOPE_BROKEN
    assert not opened.is_whole
    assert opened.take() == b"one"


@pytest.mark.parametrize("too_much", [0, 1])
def test_no_more_than_the_limit_is_opened(too_much: int) -> None:
    _, envelope = whole(b"body")
    opened = opening(len(envelope) - too_much)
    opened.feed(envelope[:50], ends=False)
    opened.feed(envelope[50:], ends=True)
    if too_much:
        assert opened.failure is not None
        assert opened.failure.code is Code.TOO_LARGE
    assert opened.is_whole is not bool(too_much)


def test_nothing_opened_is_told_from_something_that_broke() -> None:
    _, (header, head, end) = sealed(END)
    for pieces, code in (
        ((header,), Code.SEALING_KEY_UNKNOWN),
        ((header, head), Code.ENVELOPE_BROKEN),
        ((header, head, end[:-1]), Code.ENVELOPE_BROKEN),
    ):
        opened = opening()
        for piece in pieces:
            opened.feed(piece, ends=False)
        opened.feed(b"", ends=True)
        assert opened.failure is not None
        assert opened.failure.code is code


def test_each_response_has_a_key_of_its_own() -> None:
    _, envelope = whole()
    opened = opening()
    opened.feed(envelope, ends=True)
    assert opened.response_sealer().header != opened.response_sealer().header
