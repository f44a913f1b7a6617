"""``Content-Digest``: binds a body to the head that was signed (RFC 9530, section 2)."""

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, values_of
from proxy.core.signature.canonical import canonical_base64
from proxy.core.signature.parameters import malformed, parse_field

_OWN_FORM = re.compile(rb"sha-256=:(" + canonical_base64(32).encode() + rb"):")
"""As ``content_digest`` writes it."""


class Hash(Protocol):
    """A hash that is fed a body piece by piece."""

    def update(self, data: bytes, /) -> None:
        """Take in the next piece."""

    def digest(self) -> bytes:
        """Return the digest of all pieces so far."""


ALGORITHMS: Mapping[str, tuple[Callable[[], Hash], int]] = {
    "sha-256": (hashlib.sha256, 32),
    "sha-512": (hashlib.sha512, 64),
}
"""Name in the field → the hash, and its length in bytes. Others are unknown, and ignored."""


def announced_digests(fields: Fields) -> dict[str, bytes]:
    """Return the digests of known algorithms that ``Content-Digest`` announces; raises ``Refusal``.

    At least one must be known; each known one must be a byte sequence of the right length in
    canonical base64, since ``:AB==:`` and ``:AA==:`` decode alike.
    """
    lines = values_of(fields, b"content-digest")
    if len(lines) == 1 and (own := _OWN_FORM.fullmatch(lines[0])):
        return {"sha-256": a2b_base64(own[1])}
    return digests_by_parsing(fields)


def digests_by_parsing(fields: Fields) -> dict[str, bytes]:
    """Return what ``announced_digests`` does, whatever form it is in; raises ``Refusal``."""
    raw = b", ".join(values_of(fields, b"content-digest"))
    members = cast(dict[str, object], parse_field(fields, b"content-digest", "dictionary"))
    digests = {}
    for name, (_, length) in ALGORITHMS.items():
        if name not in members:
            continue
        value, parameters = cast(tuple[object, object], members[name])
        if not isinstance(value, bytes) or len(value) != length or parameters:
            raise malformed(f"content-digest: {name} isn't a byte sequence of {length} bytes")
        if b":" + b2a_base64(value, newline=False) + b":" not in raw:
            raise malformed(f"content-digest: the base64 of {name} isn't canonical")
        digests[name] = value
    if not digests:
        raise malformed(f"content-digest names none of {', '.join(ALGORITHMS)}")
    return digests


class BodyDigest:
    """Feeds a body to the hash of each announced algorithm, then compares."""

    def __init__(self, announced: Mapping[str, bytes]) -> None:
        self._announced = dict(announced)
        self._hashes: dict[str, Hash] = {name: ALGORITHMS[name][0]() for name in self._announced}

    def update(self, piece: bytes) -> None:
        for running in self._hashes.values():
            running.update(piece)

    def refuse_mismatch(self) -> None:
        """Raise ``Refusal`` (``DIGEST_MISMATCH``) unless every announced digest is the body's."""
        for name, running in self._hashes.items():
            if running.digest() != self._announced[name]:
                raise Refusal(Code.DIGEST_MISMATCH, f"the body's {name} isn't the announced one")


def content_digest(sha256: bytes) -> tuple[bytes, bytes]:
    """Return the field that announces a body's SHA-256 digest (32 bytes)."""
    return b"content-digest", b"sha-256=:" + b2a_base64(sha256, newline=False) + b":"
