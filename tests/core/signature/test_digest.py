"""Content-Digest: every known algorithm must match the whole body."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest, announced_digests, content_digest


def _field(*members: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-digest", b", ".join(members))]


def _member(name: str, body: bytes) -> bytes:
    digest = hashlib.new(name.replace("-", ""), body).digest()
    return name.encode() + b"=:" + base64.b64encode(digest) + b":"


def _refusal(fields: list[tuple[bytes, bytes]], *pieces: bytes) -> Code | None:
    try:
        digest = BodyDigest(announced_digests(fields))
        for piece in pieces:
            digest.update(piece)
        digest.refuse_mismatch()
    except Refusal as refusal:
        return refusal.code
    return None


@given(st.lists(st.binary(max_size=8), max_size=5))
def test_a_body_matches_its_digest_however_it_comes(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert _refusal([content_digest(hashlib.sha256(body).digest())], *pieces) is None
    assert _refusal(_field(_member("sha-512", body)), body) is None
    assert _refusal(_field(_member("sha-512", body), _member("sha-256", body)), body) is None


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([_member("sha-256", b"other")], Code.DIGEST_MISMATCH),
        ([_member("sha-256", b"body"), _member("sha-512", b"other")], Code.DIGEST_MISMATCH),
        ([_member("sha-256", b"other"), _member("sha-512", b"body")], Code.DIGEST_MISMATCH),
        ([_member("sha-256", b"")], Code.DIGEST_MISMATCH),
        ([_member("md5", b"other"), _member("sha-256", b"body")], None),
        ([_member("md5", b"body")], Code.SIGNATURE_MALFORMED),
        ([_member("sha-1", b"body")], Code.SIGNATURE_MALFORMED),
        ([], Code.SIGNATURE_MALFORMED),
        ([b"sha-256=:AB==:"], Code.SIGNATURE_MALFORMED),
    ],
)
def test_every_known_algorithm_must_match(members: list[bytes], expected: Code | None) -> None:
    assert _refusal(_field(*members), b"bo", b"dy") is expected


def test_a_body_cut_short_or_continued_does_not_match() -> None:
    field = _field(_member("sha-256", b"body"))
    assert _refusal(field, b"bod") is Code.DIGEST_MISMATCH
    assert _refusal(field, b"body", b"y") is Code.DIGEST_MISMATCH
    assert _refusal(field) is Code.DIGEST_MISMATCH


def test_no_field_is_no_digest() -> None:
    assert _refusal([]) is Code.SIGNATURE_MALFORMED
