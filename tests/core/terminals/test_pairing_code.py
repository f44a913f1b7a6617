"""Pairing codes: how they are read, for how long they are good, and how guessing is throttled."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.terminals.pairing_code import (
    CODE_BYTES,
    CODE_LENGTH,
    CODE_LIFETIME,
    LINK_CODE_BYTES,
    LINK_CODE_LENGTH,
    MOST_CODES,
    TRIES_OF_ALL,
    TRIES_OF_ONE,
    WINDOW,
    OpenCode,
    Pairing,
    code_digest,
    counted_address,
    is_link_code,
    new_code,
    new_link_code,
    read_code,
    shown_code,
)

NOW = 1_700_000_000
CODE = "ABCD2345"
LINK = "ABCDEFGHJKMNPQRSTVWXYZ0123"
OTHER_LINK = "0" * 26
HERE = "203.0.113.7"


def wrong_tries(number: int, *, at: float = NOW, address: str = HERE) -> Pairing:
    pairing = Pairing()
    for _ in range(number):
        pairing = pairing.with_wrong_try(address, at)
    return pairing


@given(st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES))
def test_a_code_is_read_as_it_is_shown(chance: bytes) -> None:
    code = new_code(chance)
    assert len(code) == CODE_LENGTH
    assert read_code(code) == read_code(shown_code(code)) == code
    assert read_code(f" {shown_code(code).lower()} ") == code


def test_every_bit_of_chance_is_in_the_code() -> None:
    codes = {new_code((1 << bit).to_bytes(CODE_BYTES, "big")) for bit in range(8 * CODE_BYTES)}
    assert len(codes) == 8 * CODE_BYTES
    assert new_code(bytes(CODE_BYTES)) == "0" * CODE_LENGTH
    assert new_code(b"\xff" * CODE_BYTES) == "Z" * CODE_LENGTH


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("abcd-2345", CODE), ("ab cd 23 45", CODE), ("A-B-C-D-2-3-4-5", CODE), ("\tABCD2345", CODE),
        ("OoIiLl00", "00111100"), ("0011-1100", "00111100"),
    ],
)  # fmt: skip
def test_a_code_is_read_leniently(typed: str, code: str) -> None:
    assert read_code(typed) == code


@pytest.mark.parametrize(
    "typed",
    [
        "", "ABCD234", "ABCD23456", "ABCD234U", "ABCD\u20132345", "ABCD234\u0665", "ABCD234\ud800",
        "ABCD2345\n",
        "-" * 100 + CODE, "\uff21BCD2345", "A" * 10_000_000, "\x00" * 8,
    ],
)  # fmt: skip
def test_anything_else_is_no_code_and_opens_nothing(typed: str) -> None:
    assert read_code(typed) is None
    assert Pairing().with_code(CODE, NOW, LINK).find(typed, NOW) is None
    assert code_digest(typed) == code_digest("")


def test_a_code_is_found_as_it_was_given_out_and_not_otherwise() -> None:
    pairing = Pairing().with_code("00000000", NOW, OTHER_LINK).with_code(CODE, NOW, LINK)
    found = pairing.find("abcd-2345", NOW)
    assert found is not None
    assert found.sha256 == code_digest(CODE)
    assert pairing.find("ABCD2346", NOW) is None


@given(st.binary(min_size=LINK_CODE_BYTES, max_size=LINK_CODE_BYTES))
def test_a_links_code_is_read_as_it_was_made(chance: bytes) -> None:
    code = new_link_code(chance)
    assert len(code) == LINK_CODE_LENGTH
    assert is_link_code(code)
    assert is_link_code(f" {code.lower()} ")
    assert read_code(code) is None
    assert Pairing().with_code(CODE, NOW, code).find(code.lower(), NOW) is not None


def test_every_bit_of_chance_is_in_a_links_code() -> None:
    bits = range(8 * LINK_CODE_BYTES)
    assert len(bits) == 128
    codes = {new_link_code((1 << bit).to_bytes(LINK_CODE_BYTES, "big")) for bit in bits}
    assert len(codes) == 128


@pytest.mark.parametrize(
    "text",
    ["", CODE, LINK[:-1], LINK + "0", LINK[:-1] + "U", LINK[:-1] + "\ud800", "-" * 64 + LINK],
)
def test_what_has_another_form_is_no_links_code(text: str) -> None:
    assert not is_link_code(text)


def test_a_link_finds_the_code_that_it_was_given_out_with() -> None:
    pairing = Pairing().with_code("00000000", NOW, OTHER_LINK).with_code(CODE, NOW, LINK)
    assert pairing.find(LINK, NOW) == pairing.find(CODE, NOW) == pairing.codes[1]
    assert pairing.find(LINK[:-1] + "Z", NOW) is None
    assert pairing.without_code(pairing.codes[1]).find(LINK, NOW) is None
    assert pairing.find(LINK, NOW + CODE_LIFETIME) is None


def test_a_code_without_a_link_is_found_by_none() -> None:
    pairing = Pairing((OpenCode(code_digest(CODE), NOW),))
    assert pairing.find(CODE, NOW) is not None
    for text in (LINK, OTHER_LINK, "", CODE[:-1]):
        assert pairing.find(text, NOW) is None


@pytest.mark.parametrize(
    ("age", "is_open"),
    [(0, True), (CODE_LIFETIME - 1, True), (CODE_LIFETIME, False), (-5, True), (-3600, False)],
)
def test_a_code_is_good_for_ten_minutes(age: int, *, is_open: bool) -> None:
    pairing = Pairing().with_code(CODE, NOW, LINK)
    assert (pairing.find(CODE, NOW + age) is not None) is is_open
    assert bool(pairing.current(NOW + age).codes) is is_open


def test_a_code_that_is_used_up_is_gone_and_no_other() -> None:
    pairing = Pairing().with_code(CODE, NOW, LINK).with_code("00000000", NOW, OTHER_LINK)
    used = pairing.find(CODE, NOW)
    assert used is not None
    pairing = pairing.without_code(used)
    assert pairing.find(CODE, NOW) is None
    assert pairing.find("00000000", NOW) is not None


def test_there_are_never_many_codes() -> None:
    pairing = Pairing()
    for number in range(MOST_CODES + 1):
        pairing = pairing.with_code(f"{number:08}", NOW, f"{number:026}")
    assert len(pairing.codes) == MOST_CODES
    assert pairing.find("00000000", NOW) is None
    assert pairing.find("00000001", NOW) is not None


def test_an_address_has_five_wrong_tries_a_minute_and_others_arent_kept_out() -> None:
    pairing = wrong_tries(TRIES_OF_ONE - 1)
    assert pairing.wait(HERE, NOW) == 0
    pairing = pairing.with_wrong_try(HERE, NOW + 10)
    assert pairing.wait(HERE, NOW + 10) == WINDOW - 10 + 1
    assert pairing.wait(HERE, NOW + WINDOW - 1) > 0
    assert pairing.wait(HERE, NOW + WINDOW) == 0
    assert pairing.wait("203.0.113.8", NOW + 10) == 0


def test_everybody_together_has_sixty_wrong_tries_a_minute() -> None:
    pairing = Pairing()
    for number in range(TRIES_OF_ALL):
        assert pairing.wait(HERE, NOW) == 0
        pairing = pairing.with_wrong_try(f"198.51.{number}.1", NOW)
    assert pairing.wait(HERE, NOW) == WINDOW
    assert pairing.wait(HERE, NOW + WINDOW) == 0


def test_the_wait_that_is_told_is_enough_and_little_more() -> None:
    rng = random.Random(6)
    for _ in range(200):
        pairing = Pairing()
        for at in sorted(NOW + rng.uniform(0, WINDOW - 2) for _ in range(TRIES_OF_ONE + 2)):
            pairing = pairing.with_wrong_try(HERE, at)
        now = NOW + WINDOW - 2
        wait = pairing.wait(HERE, now)
        assert 0 < wait <= WINDOW
        assert pairing.wait(HERE, now + wait) == 0
        assert pairing.wait(HERE, now + wait - 2) > 0 or wait <= 2


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    pairing = wrong_tries(TRIES_OF_ONE)
    assert pairing.wait(HERE, NOW - 30) <= WINDOW
    assert pairing.wait(HERE, NOW - 3600) == 0
    assert not pairing.current(NOW - 3600).tries


def test_what_is_over_is_forgotten() -> None:
    assert len(wrong_tries(3).with_wrong_try(HERE, NOW + WINDOW).tries) == 1


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("_hidden", "unknown"),
        ("", "unknown"),
        ("1.2.3", "unknown"),
    ],
)
def test_an_address_counts_with_its_network(address: str, counted: str) -> None:
    assert counted_address(address) == counted
