"""The fields that carry a signature: ``Signature-Input`` and ``Signature`` (RFC 9421, section 4).

A signature of ours is found by its ``tag``, never by its label: labels are anybody's to choose.
What is only nearly well formed (a key twice, a float for a time, base64 with stray bits) is
refused, because two parsers could read it in two ways.
"""

import base64
import binascii
import re
from types import MappingProxyType
from typing import cast

import http_sf

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields, values_of
from proxy.core.identity import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    PublicKey,
    is_portal_id,
    public_key,
)
from proxy.core.signature.base import Component, Covered
from proxy.core.signature.canonical import canonical_base64url
from proxy.core.signature.own_form import Signature, read_own_form

NONCE_BYTES = 32
MAX_COMPONENTS = 512
MAX_MARKS = {b"signature-input": 640, b"signature": 32}
"""Blanks, commas, semicolons and per cents: more take milliseconds to read, and strangers send them
for nothing. It is enough for a component each, or for as many fields as there may be with ``;bs``.
"""
_MARKS = b" ,;%"
_NONCE = re.compile(canonical_base64url(NONCE_BYTES))
_COMPONENT_PARAMETERS = frozenset({"bs", "req"})


def malformed(detail: str) -> Refusal:
    """Return the refusal for a signature that isn't in the form of the profile."""
    return Refusal(Code.SIGNATURE_MALFORMED, detail)


def _refuse_duplicate(key: str, where: str) -> None:
    raise malformed(f"{key!r} stands twice in the same {where}")


def parse_field(fields: Fields, name: bytes, kind: str) -> object:
    """Parse a structured field (RFC 9651), all its lines together; ``kind`` is dictionary or item.

    Raises ``Refusal`` where it isn't well formed or has a key twice.
    """
    raw = b", ".join(values_of(fields, name))
    try:
        return http_sf.parse(raw, tltype=kind, on_duplicate_key=_refuse_duplicate)
    except (http_sf.StructuredFieldError, ValueError, RecursionError) as error:
        raise malformed(f"{name.decode('ascii')}: {error}") from None


def parse_bytes(fields: Fields, name: bytes, length: int) -> bytes:
    """Return a field that is one byte sequence of ``length`` bytes; raises ``Refusal``.

    On one line, and in the one way that base64 can write it.
    """
    lines = values_of(fields, name)
    if len(lines) != 1:
        raise malformed(f"{name.decode('ascii')} must stand on exactly one line")
    text = lines[0]
    try:
        value = binascii.a2b_base64(text[1:-1])
    except binascii.Error:
        value = b""
    # Written anew it must be the same: the decoder skips whatever isn't base64.
    if len(value) != length or b":" + binascii.b2a_base64(value, newline=False) + b":" != text:
        raise malformed(f"{name.decode('ascii')} isn't a byte sequence of {length} bytes")
    return value


def parse_portal_key(fields: Fields) -> PublicKey:
    """Return the signer's key, as the field ``portal-key`` states it.

    Raises ``Refusal`` for a field that is malformed, ``BadKey`` for a key that nobody honest has.
    """
    return public_key(parse_bytes(fields, b"portal-key", PUBLIC_KEY_BYTES))


def find_signature(fields: Fields, tag: str) -> Signature:
    """Return the one signature whose ``tag`` is ``tag``; raises ``Refusal``.

    None, more than one, or one without its twin in ``Signature``: refused. Signatures with other
    tags are somebody else's business.
    """
    return read_own_form(fields, tag) or find_by_parsing(fields, tag)


def find_by_parsing(fields: Fields, tag: str) -> Signature:
    """Return what ``find_signature`` does, whatever form it is in; raises ``Refusal``."""
    for name, most in MAX_MARKS.items():
        if sum(_marks_in(line) for line in values_of(fields, name)) > most:
            raise malformed(f"{name.decode('ascii')} has more than {most} marks")
    inputs = cast(dict[str, object], parse_field(fields, b"signature-input", "dictionary"))
    values = cast(dict[str, object], parse_field(fields, b"signature", "dictionary"))
    ours = [
        (label, member)
        for label, member in inputs.items()
        if isinstance(member, tuple)
        and isinstance(member[0], list)
        and member[1].get("tag") == tag
        and type(member[1]["tag"]) is str
    ]
    if len(ours) != 1:
        raise malformed(f"{len(ours)} signatures are tagged {tag!r}; exactly one is expected")
    label, member = ours[0]
    value, value_parameters = cast(tuple[object, dict[str, object]], values.get(label, (None, {})))
    if not isinstance(value, bytes) or len(value) != SIGNATURE_BYTES or value_parameters:
        raise malformed(f"Signature has no {SIGNATURE_BYTES}-byte value for {label!r}")
    if not any(base64.b64encode(value) in line for line in values_of(fields, b"signature")):
        raise malformed("the signature's base64 isn't canonical")
    items, parameters = member
    return Signature(
        components=_components(items),
        parameters=MappingProxyType(parameters),
        text=http_sf.ser([member]),
        value=value,
    )


def _marks_in(line: bytes) -> int:
    return len(line) - len(line.translate(None, _MARKS))


def _components(items: list[object]) -> Covered:
    if len(items) > MAX_COMPONENTS:
        raise malformed(f"more than {MAX_COMPONENTS} components")
    components: list[Component] = []
    for item in items:
        name, parameters = item if isinstance(item, tuple) else (item, {})
        if type(name) is not str:
            raise malformed("a component identifier must be a String")
        for key, value in parameters.items():
            if key not in _COMPONENT_PARAMETERS or value is not True:
                raise malformed(f"the component parameter {key!r} isn't allowed")
        components.append(Component(name, tuple(parameters.items())))
    if len(set(components)) != len(components):
        raise malformed("a component is covered twice")
    return Covered(components)


def time_of(signature: Signature, name: str) -> int:
    """Return the parameter ``name`` as Unix seconds; raises ``Refusal`` for all but an Integer."""
    value = signature.parameters.get(name)
    if type(value) is not int or value < 0:
        raise malformed(f"{name} must be an Integer of Unix seconds")
    return value


def nonce_of(signature: Signature) -> str:
    """Return ``nonce``: 32 bytes as unpadded base64url, in its one canonical spelling.

    A second spelling of the same bytes would be a second nonce to a store that compares text.
    """
    value = signature.parameters.get("nonce")
    if type(value) is str and _NONCE.fullmatch(value):
        return value
    raise malformed(f"nonce must be {NONCE_BYTES} bytes in unpadded base64url")


def decode_nonce(nonce: str) -> bytes:
    """Return the bytes of a nonce that has the right form."""
    return base64.urlsafe_b64decode(nonce + "=")


def encode_nonce(nonce: bytes) -> str:
    """Write 32 bytes as unpadded base64url."""
    return base64.urlsafe_b64encode(nonce).rstrip(b"=").decode("ascii")


def keyid_of(signature: Signature) -> str:
    """Return ``keyid``: a full Portal ID; raises ``Refusal`` for a short one or another form."""
    value = signature.parameters.get("keyid")
    if type(value) is not str or not is_portal_id(value):
        raise malformed("keyid must be a full Portal ID")
    return value


def refuse_other_parameters(signature: Signature, allowed: frozenset[str]) -> None:
    """Refuse parameters that the profile doesn't name: ``alg`` above all, since the key decides."""
    for name in signature.parameters:
        if name not in allowed:
            raise malformed(f"the signature parameter {name!r} isn't allowed")
