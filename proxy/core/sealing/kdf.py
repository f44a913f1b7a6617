"""HKDF with SHA-256 (RFC 5869), and the labeled forms that HPKE derives its keys with.

A label and the suite are part of every derivation: a secret that was derived for one use is never
the secret of another. Source: RFC 9180, section 4.
"""

from hashlib import sha256

HASH_LENGTH = 32
_VERSION = b"HPKE-v1"
_BLOCK = 64
"""Bytes that SHA-256 takes at a time, to which HMAC fills its key up."""
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def extract(salt: bytes, material: bytes) -> bytes:
    """Return a pseudorandom key, 32 bytes, made of ``material`` (RFC 5869, section 2.2)."""
    return _hmac(salt, material)


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes made of a pseudorandom key (RFC 5869, section 2.3).

    Raises ``ValueError`` above 255 times 32 bytes, which is all that HKDF gives.
    """
    block = _hmac(key, info + b"\x01")
    blocks = block
    for counter in range(2, -(-length // HASH_LENGTH) + 1):
        block = _hmac(key, block + info + bytes((counter,)))
        blocks += block
    return blocks[:length]


def labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    """Return ``extract`` for one use alone: ``label`` within ``suite``."""
    return extract(salt, _VERSION + suite + label + material)


def labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """Return ``expand`` for one use alone; raises ``ValueError`` as it does."""
    return expand(key, length.to_bytes(2, "big") + _VERSION + suite + label + info, length)


def _hmac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104).

    Two calls of a hash take two thirds of the time of one of ``hmac.digest``, which has OpenSSL
    look up its algorithms each time; a sealed call makes some ten of them at each end.
    """
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    return sha256(key.translate(_OUTER) + sha256(key.translate(_INNER) + message).digest()).digest()
