"""Checks of a body that streams: what goes on, and what never does."""

from __future__ import annotations

import hashlib

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.transfer.body_stages import LimitedBody, ProvenBody


class To:
    """Whoever the body goes to."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, bool]] = []

    def send(self, piece: bytes, *, ends: bool) -> None:
        self.got.append((piece, ends))


@pytest.mark.parametrize("size", [9, 10, 11])
def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(size: int) -> None:
    to = To()
    body = LimitedBody(to.send, 10)
    for _ in range(min(size, 10)):
        body.receive(b"x", ends=False)
    if size <= 10:
        body.receive(b"", ends=True)
        assert to.got == [(b"x", False)] * size + [(b"", True)]
    else:
        with pytest.raises(Refusal) as caught:
            body.receive(b"x", ends=True)
        assert caught.value.code is Code.TOO_LARGE
        assert to.got == [(b"x", False)] * 10


def proven(to: To, content: bytes) -> ProvenBody:
    return ProvenBody(to.send, BodyDigest({"sha-256": hashlib.sha256(content).digest()}))


@pytest.mark.parametrize("ends_with", ["its last piece", "nothing"])
@pytest.mark.parametrize("pieces", [(b"one",), (b"one", b"two"), (b"one", b"", b"two", b"three")])
def test_a_true_body_goes_on_and_its_last_piece_with_the_end(
    pieces: tuple[bytes, ...], ends_with: str
) -> None:
    to = To()
    body = proven(to, b"".join(pieces))
    at_once = ends_with != "nothing"
    for at, piece in enumerate(pieces, 1):
        body.receive(piece, ends=at_once and at == len(pieces))
    if not at_once:
        body.receive(b"", ends=True)
    *others, last = [piece for piece in pieces if piece]
    assert to.got == [*((piece, False) for piece in others), (last, True)]


def test_the_last_piece_of_a_false_body_never_goes_on() -> None:
    to = To()
    body = proven(to, b"onetoo")
    body.receive(b"one", ends=False)
    body.receive(b"two", ends=False)
    with pytest.raises(Refusal) as caught:
        body.receive(b"", ends=True)
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert to.got == [(b"one", False)]


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_body_of_no_bytes_is_proven_too(content: bytes) -> None:
    to = To()
    body = proven(to, content)
    if content:
        with pytest.raises(Refusal):
            body.receive(b"", ends=True)
    else:
        body.receive(b"", ends=True)
    assert to.got == ([] if content else [(b"", True)])
