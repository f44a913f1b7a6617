"""Authenticated encryption under one key, with nonces that count up.

The number of a message is in its nonce and nowhere else, so a message opens only in its own place:
what was repeated, left out or moved doesn't. A nonce is never used twice, and the count stops
before it would begin anew. Source: RFC 9180, section 5.2; draft-ietf-ohai-chunked-ohttp-08,
section 6.2, which numbers a response's chunks in the same way.
"""

from enum import Enum, unique

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

NONCE_LENGTH = 12
TAG_LENGTH = 16
"""Bytes by which a ciphertext is longer than its plaintext."""

_MESSAGE_LIMIT = (1 << (8 * NONCE_LENGTH)) - 1

Bytes = bytes | bytearray | memoryview
"""What is only looked at may be a view, so that a body is cut up without being copied."""


@unique
class Aead(Enum):
    """The algorithms we know: identifier (RFC 9180, section 7.3) and length of the key in bytes."""

    AES_128_GCM = (0x0001, 16)
    CHACHA20_POLY1305 = (0x0003, 32)

    def __init__(self, identifier: int, key_length: int) -> None:
        self.identifier = identifier
        self.key_length = key_length


class NotAuthentic(Exception):
    """What should be opened isn't what was sealed: another key, place, byte or associated data."""


class Cipher:
    """One key and the count of messages under it; for one direction alone."""

    def __init__(self, aead: Aead, key: bytes, base_nonce: bytes) -> None:
        self._cipher = AESGCM(key) if aead is Aead.AES_128_GCM else ChaCha20Poly1305(key)
        self._base_nonce = int.from_bytes(base_nonce, "big")
        self._count = 0

    def seal(self, associated: bytes, plaintext: Bytes) -> bytes:
        """Return the next message's ciphertext, 16 bytes longer than ``plaintext``.

        ``associated`` is authenticated with it but not sent. Raises ``OverflowError`` when no
        nonce is left.
        """
        ciphertext = self._cipher.encrypt(self._nonce(), plaintext, associated)
        self._count += 1
        return ciphertext

    def open(self, associated: bytes, ciphertext: Bytes) -> bytes:
        """Return the next message's plaintext.

        Raises ``NotAuthentic``, and then expects the same message still; ``OverflowError`` when no
        nonce is left.
        """
        try:
            plaintext = self._cipher.decrypt(self._nonce(), ciphertext, associated)
        except InvalidTag:
            raise NotAuthentic(f"message {self._count} isn't authentic") from None
        self._count += 1
        return plaintext

    def _nonce(self) -> bytes:
        if self._count >= _MESSAGE_LIMIT:
            raise OverflowError("no nonce is left under this key")
        return (self._base_nonce ^ self._count).to_bytes(NONCE_LENGTH, "big")
