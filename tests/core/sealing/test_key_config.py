"""Key configurations: what is unknown is left out, what is malformed or weak is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig, key_list, parse_key_config
from tests.core.sealing.sealed_exchange import KEY, config
from tests.core.sealing.test_hpke import SMALL_ORDER

_AES, _CHACHA = Aead.AES_128_GCM, Aead.CHACHA20_POLY1305
_AES_SUITE, _CHACHA_SUITE = bytes.fromhex("00010001"), bytes.fromhex("00010003")
_AES_256_SUITE, _SHA_512_SUITE = bytes.fromhex("00010002"), bytes.fromhex("00030001")
_X25519 = b"\x07\x00\x20"


def _written(*suites: bytes, public: bytes = KEY.public) -> bytes:
    length = sum(map(len, suites))
    return _X25519 + public + length.to_bytes(2, "big") + b"".join(suites)


@given(
    key_id=st.integers(0, 255),
    private=st.binary(min_size=32, max_size=32),
    aeads=st.lists(st.sampled_from(Aead), min_size=1, unique=True),
)
def test_what_is_written_is_read(key_id: int, private: bytes, aeads: list[Aead]) -> None:
    key = KeyConfig(key_id, SealingKey(private).public, tuple(aeads))
    assert parse_key_config(key.serialise()) == key


@pytest.mark.parametrize(
    ("suites", "aeads"),
    [
        ((_AES_SUITE,), (_AES,)),
        ((_CHACHA_SUITE, _AES_SUITE), (_CHACHA, _AES)),
        ((_AES_256_SUITE, _CHACHA_SUITE, _SHA_512_SUITE), (_CHACHA,)),
        ((_CHACHA_SUITE, _AES_SUITE, _CHACHA_SUITE), (_CHACHA, _AES)),
    ],
)
def test_the_suites_we_know_are_read_in_the_order_offered(
    suites: tuple[bytes, ...], aeads: tuple[Aead, ...]
) -> None:
    assert parse_key_config(_written(*suites)) == KeyConfig(7, KEY.public, aeads)


@pytest.mark.parametrize(
    "data",
    [
        b"\x07\x00\x21" + bytes(56) + b"\x00\x04" + _AES_SUITE,
        b"\x07\x00\x10",
        _written(_AES_256_SUITE),
        _written(_SHA_512_SUITE, _AES_256_SUITE),
    ],
    ids=["another KEM", "another KEM, cut short", "another AEAD", "another KDF"],
)
def test_a_configuration_that_we_know_no_suite_of_is_skipped(data: bytes) -> None:
    assert parse_key_config(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x07\x00",
        _X25519,
        _written(_AES_SUITE)[:-1],
        _written(_AES_SUITE) + b"\x00",
        _written(),
        _written(_AES_SUITE, b"\x00"),
        _written(_AES_SUITE, b"\x00\x01\x00"),
        _X25519 + KEY.public + b"\x00",
        _X25519 + KEY.public + b"\x00\x03" + _AES_SUITE,
    ],
    ids=bytes.hex,
)
def test_a_malformed_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a key configuration"):
        parse_key_config(data)


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_a_key_of_small_order_is_refused_as_it_is_read(public: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a public key"):
        parse_key_config(_written(_AES_SUITE, public=public))


@pytest.mark.parametrize("number", [2**255 - 19, 2**255 - 10, 2**255 - 1, 2**255 + 9])
def test_a_key_has_one_spelling(number: int) -> None:
    public = number.to_bytes(32, "little")
    with pytest.raises(ValueError, match="canonical"):
        parse_key_config(_written(_AES_SUITE, public=public))


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: _X25519 + rest))
def test_any_bytes_are_read_skipped_or_refused(data: bytes) -> None:
    try:
        key = parse_key_config(data)
    except ValueError:
        return
    assert key is None or key.serialise()[:37] == data[:35] + key.serialise()[35:37]


def test_what_no_configuration_can_say_is_refused() -> None:
    for key_id in (-1, 256):
        with pytest.raises(ValueError, match="one byte"):
            KeyConfig(key_id, KEY.public, (_AES,))
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        KeyConfig(0, bytes(31), (_AES,))
    with pytest.raises(ValueError, match="no AEAD"):
        KeyConfig(0, KEY.public, ())


def test_aes_is_preferred_where_it_is_offered() -> None:
    assert config(_CHACHA, _AES).preferred is _AES
    assert config(_AES, _CHACHA).preferred is _AES
    assert config(_CHACHA).preferred is _CHACHA


def test_a_list_of_keys_has_the_length_of_each_in_front() -> None:
    first, second = config(_AES), config(_CHACHA, _AES)
    assert key_list([]) == b""
    assert key_list([first, second]) == b"".join(
        (b"\x00\x29", first.serialise(), b"\x00\x2d", second.serialise())
    )
