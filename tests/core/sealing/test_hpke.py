"""HPKE against somebody else's, and against keys and numbers that nobody honest has."""

import nacl.bindings
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sealing.aead import Cipher, NotAuthentic
from proxy.core.sealing.hpke import (
    Aead,
    Context,
    SealingKey,
    WeakKey,
    setup_receiver,
    setup_sender,
)
from tests.core.sealing.sealed_exchange import EPHEMERAL, KEY

_P = 2**255 - 19
_SMALL_ORDER = [
    *(number.to_bytes(32, "little") for number in (0, 1, _P - 1, _P, _P + 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
"""Every spelling below 2**255 of the points of small order, on the curve and on its twist."""
SMALL_ORDER = [
    *_SMALL_ORDER,
    *(point[:31] + bytes((point[31] | 0x80,)) for point in _SMALL_ORDER),
]
AEADS = pytest.mark.parametrize("aead", list(Aead), ids=lambda aead: aead.name)
_THEIRS = {
    Aead.AES_128_GCM: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
    Aead.CHACHA20_POLY1305: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305),
}
_SECRETS = st.binary(min_size=32, max_size=32)


@AEADS
@given(private=_SECRETS, ephemeral=_SECRETS, info=st.binary(), plaintext=st.binary())
def test_another_library_opens_what_we_seal(
    aead: Aead, private: bytes, ephemeral: bytes, info: bytes, plaintext: bytes
) -> None:
    enc, context = setup_sender(SealingKey(private).public, info, aead, ephemeral)
    sealed = enc + context.seal(b"", plaintext)
    theirs = X25519PrivateKey.from_private_bytes(private)
    assert _THEIRS[aead].decrypt(sealed, theirs, info) == plaintext


@AEADS
@given(private=_SECRETS, info=st.binary(), plaintext=st.binary())
def test_what_another_library_seals_we_open(
    aead: Aead, private: bytes, info: bytes, plaintext: bytes
) -> None:
    key = SealingKey(private)
    theirs = X25519PublicKey.from_public_bytes(key.public)
    sealed = _THEIRS[aead].encrypt(plaintext, theirs, info)
    context = setup_receiver(key, sealed[:32], info, aead)
    assert context.open(b"", sealed[32:]) == plaintext


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_a_public_key_of_small_order_is_refused_in_both_roles(public: bytes) -> None:
    with pytest.raises(WeakKey):
        setup_sender(public, b"", Aead.AES_128_GCM, EPHEMERAL)
    with pytest.raises(WeakKey):
        setup_receiver(KEY, public, b"", Aead.AES_128_GCM)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused_before_they_are_read(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        SealingKey(bytes(length))
    with pytest.raises(WeakKey, match=f"32 bytes, not {length}"):
        setup_sender(bytes(length), b"", Aead.AES_128_GCM, EPHEMERAL)
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        setup_sender(KEY.public, b"", Aead.AES_128_GCM, bytes(length))
    with pytest.raises(WeakKey, match=f"32 bytes, not {length}"):
        setup_receiver(KEY, bytes(length), b"", Aead.AES_128_GCM)


@pytest.mark.parametrize("change", ["key", "enc", "info", "aead"])
def test_whoever_differs_in_anything_opens_nothing(change: str) -> None:
    enc, sender = setup_sender(KEY.public, b"info", Aead.AES_128_GCM, EPHEMERAL)
    key = SealingKey(bytes(32)) if change == "key" else KEY
    if change == "enc":
        enc = SealingKey(bytes(31) + b"\x01").public
    aead = Aead.CHACHA20_POLY1305 if change == "aead" else Aead.AES_128_GCM
    receiver = setup_receiver(key, enc, b"Info" if change == "info" else b"info", aead)
    with pytest.raises(NotAuthentic):
        receiver.open(b"", sender.seal(b"", b"text"))
    assert receiver.export(b"", 16) != sender.export(b"", 16)


def test_a_private_key_is_in_no_repr() -> None:
    private = bytes(range(32))
    key = SealingKey(private)
    assert repr(key) == f"SealingKey({nacl.bindings.crypto_scalarmult_base(private).hex()})"
    assert private.hex() not in repr(key)
    assert not hasattr(key, "__dict__")


@AEADS
def test_a_message_opens_in_its_own_place_alone(aead: Aead) -> None:
    sender, receiver = (Cipher(aead, bytes(aead.key_length), bytes(12)) for _ in "sr")
    first, second = sender.seal(b"", b"1"), sender.seal(b"a", b"2")
    for associated, ciphertext in ((b"a", second), (b"a", first), (b"", first[:-1]), (b"", b"")):
        with pytest.raises(NotAuthentic):
            receiver.open(associated, ciphertext)
    assert receiver.open(b"", first) == b"1"
    with pytest.raises(NotAuthentic):
        receiver.open(b"", first)
    assert receiver.open(b"a", memoryview(second)) == b"2"


@AEADS
def test_no_nonce_is_ever_used_again(aead: Aead) -> None:
    cipher = Cipher(aead, bytes(aead.key_length), bytes(12))
    cipher._count = 2**96 - 2
    last = cipher.seal(b"", b"last")
    for _ in range(2):
        with pytest.raises(OverflowError):
            cipher.seal(b"", b"one more")
        with pytest.raises(OverflowError):
            cipher.open(b"", last)


def test_an_export_is_as_long_as_asked_and_no_longer_than_hkdf_gives() -> None:
    context = Context(Aead.AES_128_GCM, bytes(32), b"")
    assert [len(context.export(b"", length)) for length in (0, 1, 32, 33, 8160)] == [
        *(0, 1, 32, 33, 8160)
    ]
    assert context.export(b"a", 64) != context.export(b"b", 64)
    with pytest.raises(ValueError, match="range"):
        context.export(b"", 8161)
