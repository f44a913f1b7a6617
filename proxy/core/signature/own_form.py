"""Our own signatures in the one form that our own signer writes, read in a few microseconds.

Whatever is in any other form is left to ``proxy.core.signature.parameters``, which reads it with
``http-sf`` and refuses what has to be refused: nothing is refused here. What both can read they
read alike (tests/core/signature/test_own_form.py holds them to it).
"""

import re
from binascii import a2b_base64
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from proxy.core.http.headers import Fields, values_of
from proxy.core.identity import SIGNATURE_BYTES
from proxy.core.signature.base import Component, Covered
from proxy.core.signature.canonical import canonical_base64

_NAME = rb"\"[a-z0-9@!#$%&'*+.^_`|~-]++\"(?:;bs)?+(?:;req)?+"
_INTEGER = rb"(0|[1-9][0-9]{0,14}+)"
_INPUT = re.compile(
    rb"([a-z*][a-z0-9_.*-]*+)=(\(" + _NAME + rb"(?: " + _NAME + rb")*+\))"
    rb"(;created=" + _INTEGER + rb"(?:;expires=" + _INTEGER + rb")?+"
    rb"(?:;nonce=\"([A-Za-z0-9_-]*+)\")?+;keyid=\"([a-z0-9]*+)\";tag=\"([a-z-]++)\")"
)
"""One member: label, components, parameters; digits of an Integer are 15 at most (RFC 9651)."""
_VALUE = re.compile(
    rb"([a-z*][a-z0-9_.*-]*+)=:(" + canonical_base64(SIGNATURE_BYTES).encode() + rb"):"
)
"""One member: label, and 64 bytes in base64."""

MOST_COMPONENTS = 48
_LONGEST = 2048
_KEPT = 128
"""Lists of components that are remembered, each of so many components and bytes: 13 MB at most.

A stranger who sends as many of them has others read anew, in some 30 microseconds each.
"""


class Signature(NamedTuple):
    """One signature as it was received: what it says it covers, and its bytes."""

    components: Covered
    parameters: Mapping[str, object]
    text: str
    """The inner list with its parameters, serialised: the value of ``@signature-params``."""
    value: bytes

    def covers(self, component: Component) -> bool:
        """Tell whether exactly this component, with exactly these parameters, is covered."""
        return component in self.components


def read_own_form(fields: Fields, tag: str) -> Signature | None:
    """Return the one signature, if it is tagged ``tag`` and in our own form; else None."""
    inputs, values = values_of(fields, b"signature-input"), values_of(fields, b"signature")
    if len(inputs) != 1 or len(values) != 1:
        return None
    member, bytes_ = _INPUT.fullmatch(inputs[0]), _VALUE.fullmatch(values[0])
    if member is None or bytes_ is None:
        return None
    label, listed, rest, created, expires, nonce, keyid, tagged = member.groups()
    if bytes_[1] != label or tagged != tag.encode():
        return None
    components = _read(listed)
    if components is None:
        return None
    parameters: dict[str, object] = {"created": int(created)}
    if expires is not None:
        parameters["expires"] = int(expires)
    if nonce is not None:
        parameters["nonce"] = nonce.decode("ascii")
    parameters["keyid"] = keyid.decode("ascii")
    parameters["tag"] = tag
    text = components.text + rest.decode("ascii")
    return Signature(components, MappingProxyType(parameters), text, a2b_base64(bytes_[2]))


def _read(listed: bytes) -> Covered | None:
    """Return the components of an inner list; None for too many of them, or one twice."""
    if len(listed) > _LONGEST or listed.count(b" ") >= MOST_COMPONENTS:
        return None
    return _read_anew(listed)


@lru_cache(maxsize=_KEPT)
def _read_anew(listed: bytes) -> Covered | None:
    components = []
    for item in listed[1:-1].decode("ascii").split(" "):
        _, name, flags = item.split('"')
        parameters = tuple((flag, True) for flag in flags.split(";")[1:])
        components.append(Component(name, parameters))
    covered = Covered(components)
    return covered if len(set(covered)) == len(covered) else None
