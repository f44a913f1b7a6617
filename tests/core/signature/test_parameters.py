"""The fields that carry a signature: one of them is ours, or none is."""

import base64

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.signature.base import Component
from proxy.core.signature.parameters import (
    MAX_COMPONENTS,
    MAX_MARKS,
    decode_nonce,
    encode_nonce,
    find_signature,
    nonce_of,
    parse_bytes,
)

_VALUE = b"p=:" + b"A" * 86 + b"==:"


def _fields(signature_input: bytes, signature: bytes = _VALUE) -> list[Field]:
    return [(b"signature-input", signature_input), (b"signature", signature)]


def test_a_signature_is_what_it_says() -> None:
    found = find_signature(_fields(b'p=( "@path"   "x";bs ); created=1;tag="t"'), "t")
    assert found.components == (Component("@path"), Component("x", (("bs", True),)))
    assert dict(found.parameters) == {"created": 1, "tag": "t"}
    assert found.text == '("@path" "x";bs);created=1;tag="t"'
    assert found.value == bytes(64)
    assert found.covers(Component("@path"))
    assert not found.covers(Component("x"))


def test_a_signature_may_stand_on_any_line() -> None:
    lines = [(b"signature-input", b'a=();tag="other"'), (b"signature", b"a=:AAAA:")]
    assert find_signature([*lines, *_fields(b'p=();tag="t"')], "t").value == bytes(64)


def test_there_is_a_limit_to_components() -> None:
    def covering(count: int) -> bytes:
        return b"p=(" + b" ".join(b'"f%d"' % i for i in range(count)) + b');tag="t"'

    at_most = find_signature(_fields(covering(MAX_COMPONENTS)), "t")
    assert len(at_most.components) == MAX_COMPONENTS
    with pytest.raises(Refusal, match="signature_malformed"):
        find_signature(_fields(covering(MAX_COMPONENTS + 1)), "t")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"signature-input", b"a=(" + b"a " * 3900 + b")"),
        (b"signature-input", b"a=(" + b"1 " * 3900 + b")"),
        (b"signature-input", b",".join(b"a%d" % number for number in range(1500))),
        (b"signature-input", b"a=()" + b"".join(b";a%d" % number for number in range(1500))),
        (b"signature-input", b'a=%"' + b"%c3%a4" * 1350 + b'"'),
        (b"signature", b"p=(" + b"a " * 3900 + b")"),
        (b"signature", b",".join(b"a%d" % number for number in range(1500))),
    ],
)
def test_what_takes_long_to_read_isnt_read(
    monkeypatch: pytest.MonkeyPatch, name: bytes, value: bytes
) -> None:
    monkeypatch.setattr(http_sf, "parse", None)
    fields = dict(_fields(b'p=();tag="t"')) | {name: value}
    with pytest.raises(Refusal) as caught:
        find_signature(list(fields.items()), "t")
    assert caught.value.code is Code.SIGNATURE_MALFORMED


def test_as_many_fields_as_there_may_be_can_be_covered_in_two_ways() -> None:
    names = b" ".join(b'"x%d";bs' % number for number in range(256))
    found = find_signature(_fields(b"p=(" + names + b');created=1;expires=2;tag="t"'), "t")
    assert len(found.components) == 256
    assert MAX_MARKS[b"signature-input"] > MAX_COMPONENTS


@given(st.binary(min_size=32, max_size=32))
def test_a_nonce_has_one_spelling(nonce: bytes) -> None:
    text = encode_nonce(nonce)
    assert decode_nonce(text) == nonce
    found = find_signature(_fields(f'p=();nonce="{text}";tag="t"'.encode()), "t")
    assert nonce_of(found) == text


@given(st.binary(max_size=8) | st.text("Aa/:=", max_size=8).map(str.encode))
def test_a_byte_sequence_has_one_spelling(text: bytes) -> None:
    lines = [(b"portal-key", text)]
    try:
        value = parse_bytes(lines, b"portal-key", 3)
    except Refusal:
        return
    assert text == b":" + base64.b64encode(value) + b":"
    assert len(value) == 3


def test_a_byte_sequence_stands_on_one_line() -> None:
    assert parse_bytes([(b"k", b":AAAA:")], b"k", 3) == bytes(3)
    for lines in ([], [(b"k", b":AAAA:")] * 2, [(b"k", b":AAAA: ")], [(b"k", b"")]):
        with pytest.raises(Refusal):
            parse_bytes(lines, b"k", 3)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_is_in_them_is_found_or_refused(raw: bytes) -> None:
    for fields in (_fields(raw), _fields(b'p=();tag="t"', raw)):
        with pytest.raises(Refusal):
            find_signature(fields, "t")
