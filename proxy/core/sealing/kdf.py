"""HKDF with SHA-256 (RFC 5869), and the labeled forms that HPKE derives its keys with.

A label and the suite are part of every derivation: a secret that was derived for one use is never
the secret of another. Source: RFC 9180, section 4.
"""

from hmac import digest

HASH_LENGTH = 32
_VERSION = b"HPKE-v1"


def extract(salt: bytes, material: bytes) -> bytes:
    """Return a pseudorandom key, 32 bytes, made of ``material`` (RFC 5869, section 2.2)."""
    return digest(salt, material, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes made of a pseudorandom key (RFC 5869, section 2.3).

    Raises ``ValueError`` above 255 times 32 bytes, which is all that HKDF gives.
    """
    block = digest(key, info + b"\x01", "sha256")
    blocks = block
    for counter in range(2, -(-length // HASH_LENGTH) + 1):
        block = digest(key, block + info + bytes((counter,)), "sha256")
        blocks += block
    return blocks[:length]


def labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    """Return ``extract`` for one use alone: ``label`` within ``suite``."""
    return extract(salt, _VERSION + suite + label + material)


def labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """Return ``expand`` for one use alone; raises ``ValueError`` as it does."""
    return expand(key, length.to_bytes(2, "big") + _VERSION + suite + label + info, length)
