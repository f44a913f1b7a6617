"""A sealed request: a header that says what it is sealed to, and how, then chunks.

    key ID (1 byte), KEM (2), KDF (2), AEAD (2), ``enc`` (32)

The header is part of what the keys are derived from: who changes it makes the request unreadable.
Source: draft-ietf-ohai-chunked-ohttp-08, section 6.1; RFC 9458, section 4.3.
"""

from collections.abc import Callable

from proxy.core.sealing.aead import Cipher
from proxy.core.sealing.chunks import LARGEST_CHUNK, CannotOpen
from proxy.core.sealing.hpke import (
    KEY_LENGTH,
    SUITES,
    Context,
    SealingKey,
    WeakKey,
    setup_receiver,
    setup_sender,
)
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.response import (
    EXPORTER_CONTEXT,
    ResponseOpener,
    ResponseSealer,
    ResponseSecret,
    response_nonce_length,
)
from proxy.core.sealing.stream import ChunkOpener, ChunkSealer

INFO = b"message/bhttp chunked request\x00"
_AEADS = {suite: aead for aead, suite in SUITES.items()}
_ENC_AT = 7


class RequestSealer(ChunkSealer):
    """Seals one request to the key of ``config``.

    ``ephemeral`` is 32 random bytes, used for no other request; ``largest`` is what the receiver
    takes in a chunk, in bytes of plaintext. Raises ``WeakKey`` for a key that can't have been read
    by ``parse_key_config``.
    """

    def __init__(
        self, config: KeyConfig, *, ephemeral: bytes, largest: int = LARGEST_CHUNK
    ) -> None:
        aead = config.preferred
        sealed_to = bytes((config.key_id,)) + SUITES[aead]
        self.enc, context = setup_sender(config.public, INFO + sealed_to, aead, ephemeral)
        super().__init__(sealed_to + self.enc, context, largest)
        self._context = context

    def response_opener(self, largest: int = LARGEST_CHUNK) -> ResponseOpener:
        """Return what opens the response to this request, and no other."""
        return ResponseOpener(_response_secret(self._context, self.enc), largest)


class RequestOpener(ChunkOpener):
    """Opens one request; ``find_key`` returns the living key of an ID, or None.

    ``enc`` is b"" until the header was read.
    """

    def __init__(
        self, find_key: Callable[[int], SealingKey | None], largest: int = LARGEST_CHUNK
    ) -> None:
        super().__init__(_ENC_AT + KEY_LENGTH, largest)
        self.enc = b""
        self._find_key = find_key
        self._context: Context | None = None

    @property
    def response_nonce_length(self) -> int:
        """Random bytes that ``response_sealer`` needs: 16 or 32, as the sender chose its AEAD."""
        return response_nonce_length(self._known_context.aead)

    def response_sealer(
        self, response_nonce: bytes, largest: int = LARGEST_CHUNK
    ) -> ResponseSealer:
        """Return what seals the response; ``response_nonce`` is random and used for no other.

        Whoever sent a header can read it, so nothing may be in it that wasn't meant for anybody,
        unless ``has_opened``.
        """
        secret = _response_secret(self._known_context, self.enc)
        return ResponseSealer(secret, response_nonce, largest)

    @property
    def _known_context(self) -> Context:
        if self._context is None:
            raise RuntimeError("no request can be answered before its header was read")
        return self._context

    def _begin(self, header: bytes) -> Cipher:
        sealed_to, enc = header[:_ENC_AT], header[_ENC_AT:]
        aead = _AEADS.get(sealed_to[1:])
        if aead is None:
            raise CannotOpen(f"suite {sealed_to[1:].hex()} isn't offered")
        key = self._find_key(sealed_to[0])
        if key is None:
            raise CannotOpen(f"there is no key {sealed_to[0]}")
        try:
            self._context = setup_receiver(key, enc, INFO + sealed_to, aead)
        except WeakKey as error:
            raise CannotOpen(f"enc is {error}") from None
        self.enc = enc
        return self._context


def _response_secret(context: Context, enc: bytes) -> ResponseSecret:
    value = context.export(EXPORTER_CONTEXT, response_nonce_length(context.aead))
    return ResponseSecret(context.aead, enc, value)
