"""Padded lengths, against Padmé as its authors define it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.binary_http.writer import SMALLEST_PADDED, padding


def _padme(length: int) -> int:
    """Return the padded length by the definition: of E bits below the first, E - S are zero."""
    exponent = math.floor(math.log2(length))
    mantissa = math.floor(math.log2(exponent)) + 1
    padded = length
    while padded % 2 ** (exponent - mantissa):
        padded += 1
    return padded


def test_a_padded_length_is_padmes() -> None:
    for length in (*range(1024, 5000), 65535, 65536, 65537, 1_000_000, 2**22 + 1):
        assert length + padding(length) == _padme(length)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 9, 100, 1000, 1023, 1024])
def test_below_a_kibibyte_all_messages_look_alike(length: int) -> None:
    assert length + padding(length) == SMALLEST_PADDED


@pytest.mark.parametrize(
    ("length", "padded"),
    [(1025, 1088), (1088, 1088), (1089, 1152), (2047, 2048), (65537, 67584), (2**20 + 1, 1081344),
     (64 * 2**20 + 1, 69206016), (2**30 + 1, 1107296256)],
)  # fmt: skip
def test_examples_of_padded_lengths(length: int, padded: int) -> None:
    assert length + padding(length) == padded


@given(st.integers(SMALLEST_PADDED, 2**62))
def test_padding_is_a_small_part_and_the_low_bits_are_zero(length: int) -> None:
    padded = length + padding(length)
    exponent = length.bit_length() - 1
    mantissa = exponent.bit_length()
    assert padded % (1 << (exponent - mantissa)) == 0
    assert 0 <= padding(length) < 1 << (exponent - mantissa)
    assert padding(length) * exponent < length
    assert padding(length) / length <= 1 / 16
    assert padding(padded) == 0


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_longer_message_is_never_padded_to_less(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert shorter + padding(shorter) <= longer + padding(longer)


def test_all_lengths_of_a_power_of_two_become_a_few() -> None:
    padded = {length + padding(length) for length in range(2**16, 2**17)}
    assert len(padded) == 2**5 + 1
