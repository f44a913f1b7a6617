"""Portal identity: Ed25519 keys and the Portal ID that is their hash (docs/protocol.md, section 1).

A Portal ID is the base32 (own alphabet) of SHA-512 over the public key's PEM. The PEM is always
made here from the 32 key bytes, never taken as received: two spellings of one key must not give
two identities. Keys are checked by ``PublicKey`` itself, so that an unchecked key has no type.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache

import nacl.bindings
import nacl.exceptions

ALPHABET = "abcdefghjklnpqrstvwxyz0123456789"
ID_LENGTH = 103
SHORT_ID_LENGTH = 6
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_FULL_ID = re.compile(rf"[{ALPHABET}]{{{ID_LENGTH}}}")
_ID_PREFIX = re.compile(rf"[{ALPHABET}]{{{SHORT_ID_LENGTH},{ID_LENGTH}}}")
_FROM_RFC_4648 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode("ascii"))
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""DER of SubjectPublicKeyInfo up to the key bytes: id-Ed25519, BIT STRING (RFC 8410)."""


class BadKey(ValueError):
    """A public key that nobody honest has: wrong length, not canonical, of small or mixed order."""


def encode_base32(data: bytes) -> str:
    """Write ``data`` five bits a character, most significant first, zero-padded at the end."""
    return base64.b32encode(data).rstrip(b"=").translate(_FROM_RFC_4648).decode("ascii")


def portal_id_of_pem(pem: str) -> str:
    """Return the 103-character Portal ID of a public key in canonical PEM (64 columns, LF)."""
    return encode_base32(hashlib.sha512(pem.encode("ascii")).digest())


def is_portal_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a full Portal ID; says nothing about its owner."""
    return _FULL_ID.fullmatch(text) is not None


def is_id_prefix(text: str) -> bool:
    """Tell whether ``text`` could name a Portal: a short ID, a longer prefix, or a full ID."""
    return _ID_PREFIX.fullmatch(text) is not None


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key that passed the checks below, with the Portal ID it proves.

    Raises ``BadKey`` for anything but the canonical encoding of a point of the prime-order group:
    with a small-order or mixed-order key, signatures can be made that verify for many messages.
    """

    raw: bytes
    pem: str = field(init=False, repr=False, compare=False)
    portal_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise BadKey(f"an Ed25519 public key has 32 bytes, not {len(self.raw)}")
        if not nacl.bindings.crypto_core_ed25519_is_valid_point(self.raw):
            raise BadKey("not a canonical point of the prime-order group")
        body = base64.b64encode(_SPKI_PREFIX + self.raw).decode("ascii")
        pem = f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"
        object.__setattr__(self, "pem", pem)
        object.__setattr__(self, "portal_id", portal_id_of_pem(pem))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether ``signature`` (64 bytes) is this key's over ``message``; never raises."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            nacl.bindings.crypto_sign_open(signature + message, self.raw)
        except nacl.exceptions.BadSignatureError:
            return False
        return True


@lru_cache(maxsize=1024)
def public_key(raw: bytes) -> PublicKey:
    """Return the ``PublicKey`` of 32 bytes; raises ``BadKey``.

    Remembered: its checks and its hash cost as much as verifying a signature, with every call.
    """
    return PublicKey(raw)


class PrivateKey:
    """A Portal's Ed25519 key. The seed is in no ``repr`` and in no log."""

    def __init__(self, seed: bytes) -> None:
        raw, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(raw)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over ``message`` (RFC 8032)."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.portal_id})"


def short_id(portal_id: str) -> str:
    """Return the six characters that stand in a Portal's URL: an address, never a proof."""
    return portal_id[:SHORT_ID_LENGTH]
