"""Variable-length integers, by the examples of RFC 9000, appendix A.1, and at their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.binary_http.varint import Unfinished, read_varint, varint
from tests.core.binary_http.forms import integer


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("c2197c5eff14e88c", 151288809941952652),
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
    ],
)
def test_the_rfcs_examples(encoded: str, value: int) -> None:
    data = bytes.fromhex(encoded)
    assert read_varint(data, 0) == (value, len(data))
    assert varint(value) == data


def test_a_value_may_have_a_wider_form_than_it_needs() -> None:
    assert read_varint(bytes.fromhex("4025"), 0) == (37, 2)


@pytest.mark.parametrize(
    ("value", "width"),
    [(0, 1), (63, 1), (64, 2), (16383, 2), (16384, 4), (2**30 - 1, 4), (2**30, 8), (2**62 - 1, 8)],
)
def test_the_shortest_form_is_written(value: int, width: int) -> None:
    assert len(varint(value)) == width
    assert read_varint(varint(value), 0) == (value, width)


def test_what_no_form_holds_is_never_written() -> None:
    with pytest.raises(ValueError, match="above"):
        varint(2**62)
    with pytest.raises(OverflowError):
        varint(-1)


@given(st.integers(0, 2**62 - 1), st.sampled_from([1, 2, 4, 8]), st.binary(max_size=3))
def test_an_integer_is_read_in_every_form_and_place(value: int, width: int, before: bytes) -> None:
    value %= 1 << (8 * width - 2)
    data = before + integer(value, width)
    assert read_varint(data + b"\xff", len(before)) == (value, len(data))
    for size in range(width):
        with pytest.raises(Unfinished) as unfinished:
            read_varint(data[: len(before) + size], len(before))
        assert unfinished.value.position == len(before)
        assert unfinished.value.needed == (width if size else 1)
