"""Patterns for spans of numbers, and what is said of a check."""

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.text_files.shape import any_case, numbers, shape_of, shaped, thousandths

_SPANS = [(0, 0), (0, 9), (1, 65535), (7, 1023), (99, 101), (1000, 1000), (0, 65535), (600, 2592)]


@pytest.mark.parametrize(("low", "high"), _SPANS)
def test_numbers_are_those_of_the_span_and_no_others(low: int, high: int) -> None:
    pattern = re.compile(numbers(low, high))
    for number in {*range(1100), *range(max(0, high - 20), high + 20), 9_999, 10_000, 99_999}:
        assert (pattern.fullmatch(f"{number}") is not None) == (low <= number <= high), number
    assert not pattern.fullmatch(f"0{low}")


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 6), (100, 3_600_000), (999, 1001),
                                           (1000, 2000), (1234, 1239), (5, 90_210)])  # fmt: skip
@given(data=st.data())
def test_thousandths_are_those_of_the_span(low: int, high: int, data: st.DataObject) -> None:
    near = st.integers(max(0, low - 20), low + 20) | st.integers(max(0, high - 20), high + 20)
    number = data.draw(near | st.integers(0, 4_000_000))
    decimals = f"{number % 1000:03}"
    written = {f"{number // 1000}.{decimals}", f"00{number // 1000}.{decimals}"}
    while decimals.endswith("0"):
        decimals = decimals[:-1]
        written.add(f"{number // 1000}.{decimals}".rstrip("."))
    pattern = re.compile(thousandths(low, high))
    for text in written:
        assert (pattern.fullmatch(text) is not None) == (low <= number <= high), text


def test_a_name_is_matched_in_any_case() -> None:
    pattern = re.compile(any_case("te-1.x"))
    assert all(map(pattern.fullmatch, ("te-1.x", "TE-1.X", "tE-1.x")))
    assert not pattern.fullmatch("te-1ax")


def test_a_check_says_what_it_takes_also_where_bounds_are_settled() -> None:
    @shaped({"type": "string"})
    def one(text: str) -> str:
        return text

    @shaped(lambda most: {"maximum": most})
    def other(text: str, most: int) -> str:
        return text[:most]

    assert shape_of(one) == {"type": "string"}
    assert shape_of(partial(other, most=3)) == {"maximum": 3}
    assert shape_of(str.strip) == shape_of(None) == {}
