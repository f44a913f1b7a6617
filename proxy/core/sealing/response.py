"""A sealed response: a random nonce, then chunks under a key that the request's context gave.

Only who opened the request can seal it, and it opens as the response to that request alone. The
nonce makes each response's key another one, so a second response to one request is safe to seal.
Source: draft-ietf-ohai-chunked-ohttp-08, section 6.2; RFC 9458, section 4.4.
"""

from dataclasses import dataclass, field

from proxy.core.sealing.aead import NONCE_LENGTH, Aead, Cipher
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.kdf import expand, extract
from proxy.core.sealing.stream import ChunkOpener, ChunkSealer

EXPORTER_CONTEXT = b"message/bhttp chunked response"


def response_nonce_length(aead: Aead) -> int:
    """Return the bytes of a response's nonce, and of the secret that its keys are made of."""
    return max(NONCE_LENGTH, aead.key_length)


@dataclass(frozen=True)
class ResponseSecret:
    """What the two ends of a request know for its response; ``value`` is exported from HPKE."""

    aead: Aead
    enc: bytes
    value: bytes = field(repr=False)

    @property
    def nonce_length(self) -> int:
        """Bytes of the response's nonce."""
        return response_nonce_length(self.aead)

    def cipher(self, nonce: bytes) -> Cipher:
        """Return what the response that begins with ``nonce`` is sealed and opened with."""
        key = extract(self.enc + nonce, self.value)
        base_nonce = expand(key, b"nonce", NONCE_LENGTH)
        return Cipher(self.aead, expand(key, b"key", self.aead.key_length), base_nonce)


class ResponseSealer(ChunkSealer):
    """Seals the response to one request; ``nonce`` is random and used for no other."""

    def __init__(self, secret: ResponseSecret, nonce: bytes, largest: int = LARGEST_CHUNK) -> None:
        if len(nonce) != secret.nonce_length:
            raise ValueError(f"a nonce of {len(nonce)} bytes instead of {secret.nonce_length}")
        super().__init__(nonce, secret.cipher(nonce), largest)


class ResponseOpener(ChunkOpener):
    """Opens the response to one request."""

    def __init__(self, secret: ResponseSecret, largest: int = LARGEST_CHUNK) -> None:
        super().__init__(secret.nonce_length, largest)
        self._secret = secret

    def _begin(self, header: bytes) -> Cipher:
        return self._secret.cipher(header)
