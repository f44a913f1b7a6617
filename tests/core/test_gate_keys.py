"""The gate against keys and signatures that nobody honest makes."""

import base64
import hashlib
import hmac

import nacl.bindings
import pytest

from proxy.core.errors import Code
from proxy.core.gate import Admission, Request
from proxy.core.identity import encode_base32
from tests.core.peering import (
    ADA,
    Draft,
    ask,
    edited,
    with_field,
    without_field,
)


def with_bad_key(raw: bytes) -> Request:
    """Return a request whose ``portal-key`` is ``raw``, and whose ``keyid`` is its hash."""
    spki = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + raw).decode()
    pem = f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n"
    portal_id = encode_base32(hashlib.sha512(pem.encode()).digest())
    field = f":{base64.b64encode(raw).decode()}:"
    return Draft(parameters={"keyid": f'"{portal_id}"'}, protocol={"portal-key": field}).sign()


_P = 2**255 - 19


_ORDER_2 = (_P - 1).to_bytes(32, "little")


BAD_KEYS = [
    pytest.param(bytes([1]) + bytes(31), id="the neutral element"),
    pytest.param(bytes(32), id="of order 4"),
    pytest.param(_ORDER_2, id="of order 2"),
    pytest.param(
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        id="of order 8",
    ),
    pytest.param(
        nacl.bindings.crypto_core_ed25519_add(ADA.public.raw, _ORDER_2), id="of mixed order"
    ),
    pytest.param((_P + 1).to_bytes(32, "little"), id="not canonical"),
    pytest.param(bytes([2]) + bytes(31), id="not on the curve"),
    pytest.param(b"\xff" * 32, id="all ones"),
]


@pytest.mark.parametrize("raw", BAD_KEYS)
def test_a_key_that_nobody_honest_has_is_refused_though_it_hashes_to_keyid(raw: bytes) -> None:
    assert ask(with_bad_key(raw)) is Code.KEY_MISMATCH


def _with_signature(request: Request, value: bytes) -> Request:
    field = f"portal=:{base64.b64encode(value).decode()}:"
    return with_field(without_field(request, "signature"), "signature", field)


def _signature(request: Request) -> bytes:
    return base64.b64decode(dict(request.fields)[b"signature"].split(b":")[1])


def test_a_signature_whose_second_half_is_not_reduced_is_refused() -> None:
    request = Draft().sign()
    value = _signature(request)
    assert isinstance(ask(_with_signature(request, value)), Admission)
    order = 2**252 + 27742317777372353535851937790883648493
    forged = value[:32] + (int.from_bytes(value[32:], "little") + order).to_bytes(32, "little")
    assert ask(_with_signature(request, forged)) is Code.SIGNATURE_INVALID


def test_every_bit_of_the_signature_matters() -> None:
    request = Draft().sign()
    value = _signature(request)
    for byte in range(64):
        flipped = bytes(b ^ (1 << byte % 8) if i == byte else b for i, b in enumerate(value))
        assert ask(_with_signature(request, flipped)) is Code.SIGNATURE_INVALID


def test_the_public_key_is_no_shared_secret() -> None:
    request = Draft().sign()
    for size in (32, 64):
        tag = hmac.new(ADA.public.raw, b"", "sha512" if size == 64 else "sha256").digest()
        expected = Code.SIGNATURE_INVALID if size == 64 else Code.SIGNATURE_MALFORMED
        assert ask(_with_signature(request, tag)) is expected


def test_a_signature_spelled_with_stray_bits_is_refused() -> None:
    request = Draft().sign()
    value = base64.b64encode(_signature(request)).decode()
    stray = value[:-3] + chr(ord(value[-3]) + 1) + "=="
    assert base64.b64decode(stray) == base64.b64decode(value)
    assert ask(edited(request, [["replace", "signature", value, stray]])) is (
        Code.SIGNATURE_MALFORMED
    )
