"""What a sender has to know in order to seal: a key configuration (RFC 9458, section 3).

    key ID (1 byte), KEM (2), public key (32), length of the rest (2), then KDF (2) and AEAD (2),
    once or more

What we don't know is left out: one suite of many, or a whole configuration. What isn't well formed
is an error, as is a key that can't be anybody's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.sealing.hpke import KDF, KEM, KEY_LENGTH, Aead, SealingKey

LAST_KEY_ID = 255

_AEADS = {aead.identifier: aead for aead in Aead}
_SUITE_LENGTH = 4
_SUITES_AT = 3 + KEY_LENGTH + 2
_PRIME = 2**255 - 19
_ANY = SealingKey(bytes(KEY_LENGTH))
"""A private key that stands for all of them: with a weak public key each one agrees on zeros."""


@dataclass(frozen=True)
class KeyConfig:
    """A public sealing key, its name, and the AEADs it may be used with, in the order offered.

    Raises ``ValueError`` for what can't be written down.
    """

    key_id: int
    public: bytes
    aeads: tuple[Aead, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.key_id <= LAST_KEY_ID:
            raise ValueError(f"a key ID is one byte, not {self.key_id}")
        if len(self.public) != KEY_LENGTH:
            raise ValueError(f"an X25519 public key has 32 bytes, not {len(self.public)}")
        if not self.aeads:
            raise ValueError("a key that may be used with no AEAD")

    @property
    def preferred(self) -> Aead:
        """The AEAD we seal with: the fastest where it is offered."""
        return Aead.AES_128_GCM if Aead.AES_128_GCM in self.aeads else self.aeads[0]

    def serialise(self) -> bytes:
        """Return the configuration without a length in front, as identity documents hold it."""
        suites = b"".join(_two(KDF) + _two(aead.identifier) for aead in self.aeads)
        return bytes((self.key_id,)) + _two(KEM) + self.public + _two(len(suites)) + suites


def parse_key_config(data: bytes) -> KeyConfig | None:
    """Read a configuration without a length in front; None where no suite in it is known to us.

    Raises ``ValueError`` for what isn't well formed, bytes behind the end included, and for a
    public key that is of small order or not in its canonical form: nobody could be behind it.
    """
    if len(data) < 3:  # noqa: PLR2004 - the key ID and the KEM
        raise ValueError("a key configuration is cut short")
    if _number(data, 1) != KEM:
        return None  # How long its public key is, nobody can tell.
    if len(data) < _SUITES_AT or _number(data, _SUITES_AT - 2) != len(data) - _SUITES_AT:
        raise ValueError("a key configuration isn't as long as it says")
    if len(data) == _SUITES_AT or (len(data) - _SUITES_AT) % _SUITE_LENGTH:
        raise ValueError("a key configuration's suites aren't four bytes each, or there are none")
    public = data[3 : 3 + KEY_LENGTH]
    if int.from_bytes(public, "little") >= _PRIME:
        raise ValueError("a public key that isn't in its canonical form")
    _ANY.agree(public)
    offered = [
        _AEADS[_number(data, at + 2)]
        for at in range(_SUITES_AT, len(data), _SUITE_LENGTH)
        if _number(data, at) == KDF and _number(data, at + 2) in _AEADS
    ]
    return KeyConfig(data[0], public, tuple(dict.fromkeys(offered))) if offered else None


def key_list(configs: Iterable[KeyConfig]) -> bytes:
    """Return the configurations as ``application/ohttp-keys``: each with its length in front."""
    return b"".join(_two(len(each)) + each for each in (key.serialise() for key in configs))


def _two(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
