"""A sealing key's file: what was written is read, and what is damaged is no other key."""

import base64

import pytest

from proxy.state.sealing_keys.format import parse, serialise

PRIVATE = bytes(range(32))
WRITTEN = serialise(7, 1_699_999_999, PRIVATE)


def test_what_is_written_is_read() -> None:
    stored = parse(7, WRITTEN)
    assert (stored.key_id, stored.made) == (7, 1_699_999_999)


def test_one_of_the_first_version_is_read() -> None:
    first = b"portal-sealing-key-1 7 1699999999 %s\n" % base64.b64encode(PRIVATE)
    assert parse(7, first).key.public == parse(7, WRITTEN).key.public


def test_no_flipped_bit_and_no_part_of_it_is_a_key() -> None:
    for at in range(len(WRITTEN) * 8):
        damaged = bytearray(WRITTEN)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"sealing key|of version"):
            parse(7, bytes(damaged))
    for length in range(len(WRITTEN)):
        with pytest.raises(ValueError, match="isn't a sealing key"):
            parse(7, WRITTEN[:length])
