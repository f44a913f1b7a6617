"""The documents tell of the owner's devices what the code has."""

from pathlib import Path

import pytest

from proxy.core.terminals import pairing_code as pairing
from proxy.core.terminals import terminals
from proxy.core.terminals.cookie import MOST_LOOKED_AT
from proxy.core.terminals.device_token import (
    CHANCE_BYTES,
    PREFIX,
    challenge,
    new_device_token,
)
from proxy.state.terminals.format import PAIRING_VERSION, VERSION, _TerminalEntry
from proxy.state.terminals.store import FLUSH

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_DAY = 86_400


def _flat(name: str) -> str:
    return " ".join((_DOCS / name).read_text("utf-8").split())


def test_codes_are_good_for_ten_minutes_and_made_of_40_bits_as_everybody_is_told() -> None:
    assert pairing.CODE_LIFETIME == 10 * 60
    assert 8 * pairing.CODE_BYTES == 40
    assert pairing.CODE_LENGTH == 8
    assert pairing.WINDOW == 60
    text = _flat("decisions/0019-terminals.md")
    assert "are 40 bits, eight characters" in text
    assert f"{pairing.TRIES_OF_ONE} wrong codes a minute from one address" in text
    assert f"{pairing.TRIES_OF_ALL} from all together" in text
    guesses = pairing.TRIES_OF_ALL * pairing.CODE_LIFETIME // pairing.WINDOW
    assert f"in ten minutes {guesses} of 2⁴⁰ can be tried" in text
    assert round(2**40 / guesses / 1e9, 1) == 1.8
    assert 8 * pairing.LINK_CODE_BYTES == 128
    guide = _flat("operating.md")
    assert "its code has 128 bits" in guide
    assert f"Its form is version {PAIRING_VERSION}" in guide
    assert f"({pairing.LINK_CODE_LENGTH} characters, behind `#code=`)" in _flat("protocol.md")
    assert "Five of them in a minute from one address" in guide
    assert f"or {pairing.TRIES_OF_ALL} from all together" in guide
    assert f"{guesses} of a million million" in guide


def test_terminals_last_half_a_year_and_are_renewed_daily_as_everybody_is_told() -> None:
    assert terminals.LIFETIME == 180 * _DAY
    assert terminals.RENEW_AFTER == _DAY
    assert FLUSH == 60
    assert MOST_LOOKED_AT == 8
    text = _flat("decisions/0019-terminals.md")
    for phrase in ("Half a year without use", "each day", "up to eight tokens are tried"):
        assert phrase in text
    assert f"is {terminals.TOKEN_BYTES} random bytes" in text


@pytest.mark.parametrize("key", _TerminalEntry.model_fields)
def test_the_guide_for_owners_has_every_key_of_the_file(key: str) -> None:
    text = _flat("operating.md")
    assert f"`terminals[].{key}`" in text
    assert f"the version of the form: `{VERSION}` where a device has a token, else `1`" in text


def test_a_device_token_is_as_everybody_is_told() -> None:
    token = new_device_token(bytes(CHANCE_BYTES))
    chance = token.removeprefix(PREFIX.decode())[:-4]
    assert (8 * CHANCE_BYTES, len(chance)) == (256, 52)
    for name in ("protocol.md", "decisions/0045-device-tokens.md"):
        text = _flat(name)
        assert f"`{PREFIX.decode()}`, {len(chance)} characters" in text
    assert f"base32 of section 1 over {CHANCE_BYTES} random bytes" in _flat("protocol.md")
    asked = challenge(b"GET", (), "app").decode().replace("app", "<app>")
    assert f"`WWW-Authenticate: {asked}`" in _flat("protocol.md")
