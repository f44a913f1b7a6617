"""HPKE in base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256, with both our AEADs.

The sender draws an ephemeral key and agrees with the receiver's public one on a secret; both derive
from it one key for messages, and any number of others by ``export``. Only the receiver proves
anything by it: whoever knows a public key can seal to it. Chosen in docs/decisions/0014-hpke.md.
"""

from functools import lru_cache

import nacl.bindings
import nacl.exceptions

from proxy.core.sealing.aead import NONCE_LENGTH, Aead, Cipher, NotAuthentic
from proxy.core.sealing.kdf import HASH_LENGTH, labeled_expand, labeled_extract

__all__ = ["Aead", "Context", "NotAuthentic", "SealingKey", "WeakKey"]

KEM = 0x0020
KDF = 0x0001
KEY_LENGTH = 32
"""Bytes of a private key, of a public one, and of what is sent in front, ``enc``."""

SUITES = {
    aead: b"".join(each.to_bytes(2, "big") for each in (KEM, KDF, aead.identifier)) for aead in Aead
}
"""How each suite is written: the identifiers of its three algorithms (section 7)."""

_KEM_SUITE = b"KEM" + KEM.to_bytes(2, "big")
_HPKE = b"HPKE"
_BASE_MODE = {
    aead: b"\x00" + labeled_extract(_HPKE + suite, b"", b"psk_id_hash", b"")
    for aead, suite in SUITES.items()
}
"""How the key schedule's context begins: base mode, and no pre-shared key."""


@lru_cache(maxsize=64)
def _about(aead: Aead, info: bytes) -> bytes:
    """Return the key schedule's context: one for each key that is sealed to, or opened with."""
    info_hash = labeled_extract(_HPKE + SUITES[aead], b"", b"info_hash", info)
    return _BASE_MODE[aead] + info_hash


class WeakKey(ValueError):
    """A public key that nobody honest has: whatever is agreed on with it, everybody knows."""


class SealingKey:
    """An X25519 key (RFC 7748): its private half is in no ``repr`` and in no log."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_LENGTH:
            raise ValueError(f"an X25519 key has 32 bytes, not {len(private)}")
        self._private = private
        self.public = nacl.bindings.crypto_scalarmult_base(private)

    def agree(self, public: bytes) -> bytes:
        """Return the 32 bytes that only the holders of the two private keys know.

        Raises ``WeakKey`` where ``public`` is a point of small order, or isn't 32 bytes long:
        libsodium would read beyond its end.
        """
        if len(public) != KEY_LENGTH:
            raise WeakKey(f"an X25519 public key has 32 bytes, not {len(public)}")
        try:
            return nacl.bindings.crypto_scalarmult(self._private, public)
        except nacl.exceptions.RuntimeError:
            raise WeakKey("a public key of small order") from None

    def __repr__(self) -> str:
        return f"SealingKey({self.public.hex()})"


class Context(Cipher):
    """What sender and receiver share: the key for messages, and the source of further secrets."""

    def __init__(self, aead: Aead, shared_secret: bytes, info: bytes) -> None:
        """Run the key schedule (section 5.1); ``info`` is what both must know and agree on."""
        suite = _HPKE + SUITES[aead]
        about = _about(aead, info)
        secret = labeled_extract(suite, shared_secret, b"secret", b"")
        key = labeled_expand(suite, secret, b"key", about, aead.key_length)
        base_nonce = labeled_expand(suite, secret, b"base_nonce", about, NONCE_LENGTH)
        super().__init__(aead, key, base_nonce)
        self.aead = aead
        self._suite = suite
        self._exporter_secret = labeled_expand(suite, secret, b"exp", about, HASH_LENGTH)

    def export(self, exporter_context: bytes, length: int) -> bytes:
        """Return a secret of ``length`` bytes for the use that ``exporter_context`` names.

        Raises ``ValueError`` above 8160 bytes (section 5.3).
        """
        return labeled_expand(self._suite, self._exporter_secret, b"sec", exporter_context, length)


def setup_sender(public: bytes, info: bytes, aead: Aead, ephemeral: bytes) -> tuple[bytes, Context]:
    """Return what goes to the receiver (``enc``, 32 bytes), and the sender's context.

    ``ephemeral`` is 32 random bytes that are used for nothing else. Raises ``WeakKey``.
    """
    key = SealingKey(ephemeral)
    secret = _shared_secret(key.agree(public), key.public, public)
    return key.public, Context(aead, secret, info)


def setup_receiver(key: SealingKey, enc: bytes, info: bytes, aead: Aead) -> Context:
    """Return the receiver's context; it can't be known yet whether anything will open.

    Raises ``WeakKey`` for an ``enc`` with which everybody could know what is sealed.
    """
    return Context(aead, _shared_secret(key.agree(enc), enc, key.public), info)


def _shared_secret(agreed: bytes, enc: bytes, public: bytes) -> bytes:
    """Bind what was agreed on to both public keys (section 4.1, ``ExtractAndExpand``)."""
    key = labeled_extract(_KEM_SUITE, b"", b"eae_prk", agreed)
    return labeled_expand(_KEM_SUITE, key, b"shared_secret", enc + public, HASH_LENGTH)
