"""A signed call that somebody changed on its way: refused, and never taken for an anonymous one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.signer import SignedCall, sign_call

if TYPE_CHECKING:
    from .conftest import World


def with_field(line: bytes) -> Callable[[SignedCall], bytes]:
    return lambda call: call.with_field(line)


def changed(old: bytes, new: bytes) -> Callable[[SignedCall], bytes]:
    def spoil(call: SignedCall) -> bytes:
        assert old in call.raw
        return call.raw.replace(old, new, 1)

    return spoil


def without(name: bytes) -> Callable[[SignedCall], bytes]:
    def spoil(call: SignedCall) -> bytes:
        head, _, body = call.raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.startswith(name + b":")]
        assert len(kept) < len(lines)
        return b"\r\n".join(kept) + b"\r\n\r\n" + body

    return spoil


SPOILED: list[tuple[str, Callable[[SignedCall], bytes], int, str]] = [
    ("a query added", changed(b"/peer?a=1", b"/peer?a=1&admin=1"), 401, "signature_invalid"),
    ("a query taken away", changed(b"/peer?a=1", b"/peer?"), 401, "signature_invalid"),
    ("another path", changed(b"/peer?", b"/peer/x?"), 401, "signature_invalid"),
    ("another method", changed(b"POST", b"PUT"), 401, "signature_invalid"),
    ("a field changed", changed(b"x-a: 1", b"x-a: 2"), 401, "signature_invalid"),
    ("a field twice", with_field(b"X-A: 1"), 401, "signature_coverage"),
    ("a field taken away", without(b"x-a"), 401, "signature_coverage"),
    ("no signature", without(b"signature"), 401, "signature_malformed"),
    ("no signature-input", without(b"signature-input"), 401, "signature_malformed"),
    ("no key", without(b"portal-key"), 401, "signature_coverage"),
    ("another body", changed(b"the body", b"THE BODY"), 401, "digest_mismatch"),
    ("an app's host", changed(b"host: box.", b"host: wide."), 401, "wrong_recipient"),
    ("the portal's host", changed(b"host: box.", b"host: "), 401, "wrong_recipient"),
    ("an upgrade", with_field(b"Connection: Upgrade\r\nUpgrade: h2c"), 501, "upgrade_unsupported"),
    ("connection", with_field(b"Connection: Content-Digest"), 400, "bad_field"),
    ("a sealed field", with_field(b"Portal-Seal: :AA==:"), 401, "signature_malformed"),
]


@pytest.mark.parametrize(("spoil", "status", "code"), [row[1:] for row in SPOILED],
                         ids=[row[0] for row in SPOILED])  # fmt: skip
def test_a_spoiled_call_is_refused_and_never_taken_for_an_anonymous_one(
    world: World, spoil: Callable[[SignedCall], bytes], status: int, code: str
) -> None:
    fields = ((b"x-a", b"1"),)
    call = sign_call(
        world.cleo, world.bob, "box", b"/peer?a=1", method=b"POST", fields=fields, body=b"the body"
    )

    got = world.bobs(spoil(call))

    assert (got.status, got.code) == (status, code)
    assert world.bob_app.received == b""
    assert world.bobs(call.raw).status in {200, 409}  # the twin: as it was, it passes
