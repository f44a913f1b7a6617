"""The list of terminals: found by token and ID, good for as long as they are used."""

import pytest

from proxy.core.terminals.terminals import (
    ID_BYTES,
    LIFETIME,
    RENEW_AFTER,
    Terminal,
    TerminalList,
    is_terminal_id,
    terminal_id,
    token_digest,
)

NOW = 1_700_000_000.5
PHONE = Terminal("abc123", "Phone", token_digest(b"phone"), 1_600_000_000, int(NOW))
LAPTOP = Terminal("zzz999", "Laptop", token_digest(b"laptop"), 1_600_000_001, int(NOW) - 5)
BOTH = TerminalList((PHONE, LAPTOP))


def test_a_token_finds_its_terminal_and_no_other() -> None:
    assert BOTH.by_token(b"phone") == PHONE
    assert BOTH.by_token(b"laptop") == LAPTOP
    for other in (b"", b"Phone", b"phone ", PHONE.token_sha256, PHONE.token_sha256.hex().encode()):
        assert BOTH.by_token(other) is None


def test_an_id_finds_its_terminal_whole_alone() -> None:
    assert BOTH.find("abc123") == PHONE
    assert BOTH.find("abc12") is None
    assert BOTH.find("") is None


@pytest.mark.parametrize(
    ("idle", "expected"),
    [
        (0, True),
        (LIFETIME - 1, True),
        (LIFETIME + 1, False),
        (-3600, True),  # a clock that was set back by an hour locks nobody out
        (-LIFETIME - 1, False),  # nobody knows how long ago that was
    ],
)
def test_a_terminal_is_good_for_half_a_year_without_use(idle: int, *, expected: bool) -> None:
    assert PHONE.is_valid(PHONE.seen + idle) is expected


def test_a_cookie_is_renewed_once_in_each_day_of_use() -> None:
    midnight = int(NOW // RENEW_AFTER) * RENEW_AFTER
    next_day = midnight + RENEW_AFTER
    terminal = Terminal("abc123", "Phone", b"", midnight + 60, next_day)
    assert not terminal.is_renewal_due(midnight + 60, 0)
    assert not terminal.is_renewal_due(next_day - 1, 0)
    assert terminal.is_renewal_due(next_day, 0)
    assert not terminal.is_renewal_due(next_day + 3600, next_day)
    assert terminal.is_renewal_due(next_day + RENEW_AFTER, next_day)
    assert terminal.is_renewal_due(midnight - 1, 0)


def test_ids_are_six_characters_of_the_alphabet_of_ids() -> None:
    assert terminal_id(bytes(ID_BYTES)) == "aaaaaa"
    assert terminal_id(b"\xff" * ID_BYTES) == "999999"
    assert is_terminal_id(terminal_id(b"\x01\x02\x03\x04"))
    for text in ("", "abc12", "abc1234", "ABC123", "abi123", "abc12\n", "\u0661bc123"):
        assert not is_terminal_id(text)
