"""What a document says about sealing: new kinds of keys are skipped, malformed ones refused."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.offer import (
    MOST_KEYS,
    OfferedKey,
    read_largest_chunk,
    read_offers,
    write_offers,
)

UNTIL = 1_700_086_400
KEY = SealingKey(bytes([7]) * 32)
BOTH = KeyConfig(7, KEY.public, (Aead.AES_128_GCM, Aead.CHACHA20_POLY1305))
KNOWN = BOTH.serialise()
UNKNOWN_KEM = bytes((8,)) + (0x0011).to_bytes(2, "big") + bytes(99)
UNKNOWN_AEAD = KNOWN[:35] + bytes.fromhex("0004 0001 7777")
UNKNOWN_KDF = KNOWN[:35] + bytes.fromhex("0004 0003 0001")


def entry(config: bytes = KNOWN, until: Any = UNTIL, **more: Any) -> dict[str, Any]:
    return {"config": base64.b64encode(config).decode(), "until": until, **more}


def refused(value: object) -> str:
    with pytest.raises(ValueError, match="sealing_keys") as caught:
        read_offers(value)
    return str(caught.value)


def test_what_is_written_is_read() -> None:
    other = KeyConfig(255, SealingKey(bytes([8]) * 32).public, (Aead.CHACHA20_POLY1305,))
    offers = (OfferedKey(BOTH, UNTIL), OfferedKey(other, 0))
    assert read_offers(write_offers(offers)) == offers
    assert read_offers(write_offers(())) == ()


@pytest.mark.parametrize("unknown", [UNKNOWN_KEM, UNKNOWN_AEAD, UNKNOWN_KDF])
def test_a_kind_that_isnt_known_is_skipped_and_the_others_are_kept(unknown: bytes) -> None:
    value = [entry(unknown), entry(), entry(unknown)]
    assert read_offers(value) == (OfferedKey(BOTH, UNTIL),)
    assert read_offers([entry(unknown)]) == ()


def test_members_that_arent_known_are_skipped() -> None:
    assert read_offers([entry(pq="x", suites=[])]) == (OfferedKey(BOTH, UNTIL),)


@pytest.mark.parametrize(
    ("value", "because"),
    [
        (None, "sealing_keys isn't a list"),
        ({}, "sealing_keys isn't a list"),
        ("", "sealing_keys isn't a list"),
        ([None], "sealing_keys[0]: isn't an object"),
        ([entry(), []], "sealing_keys[1]: isn't an object"),
        ([{"config": entry()["config"]}], "until isn't a time"),
        ([entry(until=None)], "until isn't a time"),
        ([entry(until=True)], "until isn't a time"),
        ([entry(until=float(UNTIL))], "until isn't a time"),
        ([entry(until=str(UNTIL))], "until isn't a time"),
        ([entry(until=-1)], "until isn't a time"),
        ([entry(until=1 << 63)], "until isn't a time"),
        ([{"until": UNTIL}], "config isn't base64"),
        ([{**entry(), "config": None}], "config isn't base64"),
        ([{**entry(), "config": 7}], "config isn't base64"),
        ([{**entry(), "config": ""}], "config isn't base64"),
        ([{**entry(), "config": "*" * 60}], "config isn't base64"),
        ([{**entry(), "config": entry()["config"] + "\n"}], "config isn't base64"),
        ([{**entry(), "config": " " + entry()["config"]}], "config isn't base64"),
        ([{**entry(), "config": entry(KNOWN + b"x")["config"].rstrip("=")}], "isn't base64"),
        ([{**entry(), "config": "AB=="}], "config isn't base64"),  # its last bits aren't zero
        ([{**entry(), "config": "\u0661" * 4}], "config isn't base64"),
        ([entry(KNOWN[:2])], "cut short"),
        ([entry(KNOWN[:-1])], "isn't as long as it says"),
        ([entry(KNOWN + b"x")], "isn't as long as it says"),
        ([entry(KNOWN[:3] + bytes(32) + KNOWN[35:])], "small order"),
        ([entry()] * (MOST_KEYS + 1), f"has {MOST_KEYS + 1} entries"),
        ([entry(UNKNOWN_KEM)] * (MOST_KEYS + 1), f"has {MOST_KEYS + 1} entries"),
    ],
)
def test_any_other_form_is_refused_and_said_what_is_wrong(value: object, because: str) -> None:
    assert because in refused(value)


def test_as_many_as_are_allowed_are_read() -> None:
    assert len(read_offers([entry()] * MOST_KEYS)) == MOST_KEYS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(JSON | st.lists(st.fixed_dictionaries({"config": JSON, "until": JSON}), max_size=3))
def test_nothing_else_is_ever_raised(value: object) -> None:
    try:
        offers = read_offers(value)
    except ValueError:
        return
    assert all(isinstance(offer, OfferedKey) for offer in offers)


@given(st.binary(min_size=1, max_size=80))
def test_no_bytes_for_a_key_raise_anything_else(config: bytes) -> None:
    try:
        offers = read_offers([entry(config)])
    except ValueError:
        return
    assert offers == () or offers[0].config.public == config[3:35]


@pytest.mark.parametrize(
    ("announced", "taken"),
    [(16_384, 16_384), (65_536, 65_536), (1 << 24, 1 << 24), (1 << 60, 1 << 24)],
)
def test_a_larger_chunk_may_be_announced(announced: int, taken: int) -> None:
    assert read_largest_chunk(announced) == taken


@pytest.mark.parametrize("value", [None, True, 16_383, 0, -1, 65_536.0, "65536", [65_536]])
def test_a_chunk_that_is_smaller_than_everybody_takes_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="largest_chunk isn't a number of bytes, 16384 or more"):
        read_largest_chunk(value)
