"""Portal IDs are those of the ecosystem; bad keys and other spellings are refused."""

import json
from pathlib import Path

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.identity import (
    ALPHABET,
    BadKey,
    PrivateKey,
    PublicKey,
    encode_base32,
    is_id_prefix,
    is_portal_id,
    portal_id_of_pem,
    short_id,
)

_VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "portal_id.json").read_text("utf-8")
)["vectors"]
_ED25519 = [vector for vector in _VECTORS if vector["key_type"] == "ed25519"]


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["portal_id"][:6])
def test_an_id_is_that_of_the_existing_ecosystem(vector: dict[str, str]) -> None:
    portal_id = portal_id_of_pem(vector["public_key_pem"])
    assert portal_id == vector["portal_id"]
    assert is_portal_id(portal_id)
    assert short_id(portal_id) == portal_id[:6]


@pytest.mark.parametrize("vector", _ED25519, ids=lambda vector: vector["short_id"])
def test_a_key_has_the_pem_and_the_id_of_the_vector(vector: dict[str, str]) -> None:
    key = PrivateKey(bytes.fromhex(vector["private_seed_hex"]))
    assert key.public.raw.hex() == vector["public_key_hex"]
    assert key.public.pem == vector["public_key_pem"]
    assert key.public.portal_id == vector["portal_id"]
    assert short_id(key.public.portal_id) == vector["short_id"]
    assert PublicKey(key.public.raw) == key.public


_P = 2**255 - 19
_TORSION = [
    bytes([1]) + bytes(31),
    (_P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
]
"""All eight points of small order (the neutral element first)."""
_GOOD = PrivateKey(bytes(32)).public.raw


@pytest.mark.parametrize("point", _TORSION, ids=bytes.hex)
def test_a_key_of_small_order_is_refused(point: bytes) -> None:
    with pytest.raises(BadKey):
        PublicKey(point)


@pytest.mark.parametrize("point", _TORSION[1:], ids=bytes.hex)
def test_a_key_of_mixed_order_is_refused(point: bytes) -> None:
    mixed = nacl.bindings.crypto_core_ed25519_add(_GOOD, point)
    assert mixed != _GOOD
    with pytest.raises(BadKey):
        PublicKey(mixed)


@pytest.mark.parametrize("y", [_P, _P + 1, _P + 3, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_a_key_that_is_not_canonical_is_refused(y: int, sign: int) -> None:
    with pytest.raises(BadKey):
        PublicKey((y | sign).to_bytes(32, "little"))


@pytest.mark.parametrize(
    "raw", [b"", bytes(31), bytes(33), _GOOD[:31], _GOOD + b"\x00", bytes([2]) + bytes(31)]
)
def test_what_is_no_point_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(BadKey):
        PublicKey(raw)


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=64))
def test_a_signature_holds_for_its_key_and_message_alone(seed: bytes, message: bytes) -> None:
    key = PrivateKey(seed)
    signature = key.sign(message)
    assert key.public.verifies(signature, message)
    assert not key.public.verifies(signature, message + b"\x00")
    assert not PublicKey(_GOOD).verifies(signature, message) or key.public.raw == _GOOD
    assert not key.public.verifies(signature[:63], message)
    assert not key.public.verifies(signature + b"\x00", message)
    assert not key.public.verifies(b"", message)


@given(st.binary(max_size=64), st.binary(max_size=8))
def test_no_bytes_make_verifying_fail_with_an_error(signature: bytes, message: bytes) -> None:
    assert not PublicKey(_GOOD).verifies(signature, message)
    assert not PublicKey(_GOOD).verifies(signature.ljust(64, b"\xff"), message)


def test_a_private_key_is_in_no_text() -> None:
    seed = b"super-secret-seed-of-32-bytes!!!"
    key = PrivateKey(seed)
    for text in (repr(key), str(key), f"{key!s}"):
        assert "secret" not in text
        assert seed.hex() not in text
        assert key.public.portal_id in text


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"\x00", "aa"), (b"\xff", "96"), (b"\x00" * 5, "a" * 8), (b"\xff" * 5, "9" * 8)],
)
def test_base32_is_padded_with_zero_bits(data: bytes, text: str) -> None:
    assert encode_base32(data) == text


@given(st.binary(min_size=64, max_size=64))
def test_a_hash_has_103_characters_of_the_alphabet(data: bytes) -> None:
    text = encode_base32(data)
    assert is_portal_id(text)
    bits = "".join(f"{ALPHABET.index(char):05b}" for char in text)
    assert int(bits[:512], 2).to_bytes(64, "big") == data


_ID = _VECTORS[0]["portal_id"]


@pytest.mark.parametrize(
    "text",
    ["", _ID[:-1], _ID + "a", _ID.upper(), _ID[:-1] + "i", _ID[:-1] + "\n", _ID + "\n", f" {_ID}"],
)
def test_what_is_no_full_id_is_none(text: str) -> None:
    assert not is_portal_id(text)


@pytest.mark.parametrize(
    ("text", "could"),
    [
        (_ID, True), (_ID[:6], True), (_ID[:102], True), (_ID[:5], False), ("", False), (_ID + "a",
        False),
        ("8271DD", False), ("8271di", False), ("8271do", False), ("8271d%", False), ("8271d_",
        False),
        ("../../", False), ("x@evil.test%23", False), ("127.1.1", False),
        ("\uff11\uff12\uff13\uff14\uff15\uff16", False),
        ("8271dd\n", False),
    ],
)  # fmt: skip
def test_a_prefix_has_six_characters_or_more(text: str, could: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_id_prefix(text) is could
