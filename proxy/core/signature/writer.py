"""Writing a signature: shared by the request, the response and the document."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace

from proxy.core.headers import Field, Fields, values_of
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Component, Message, signature_base

LABEL = b"portal"
"""The label of our signatures. A reader never relies on it."""


@dataclass(frozen=True)
class Signed:
    """A message with its signature: ``message.fields`` are what goes on the wire."""

    message: Message
    components: tuple[Component, ...]


def coverage(name: bytes, fields: Fields) -> Component:
    """Return the component that covers the field ``name`` of ``fields``.

    With ``;bs`` where it stands on several lines or holds bytes outside ASCII, and only there.
    """
    values = values_of(fields, name)
    wrapped = len(values) != 1 or not values[0].isascii()
    return Component(name.decode("ascii"), (("bs", True),) if wrapped else ())


def coverages(fields: Fields) -> tuple[Component, ...]:
    """Return one component for each field name of ``fields``, in the order they first appear."""
    return tuple(coverage(name, fields) for name in dict.fromkeys(name for name, _ in fields))


def portal_key(key: PrivateKey) -> Field:
    """Return the field ``portal-key``: the raw public key as a byte sequence."""
    return b"portal-key", b":" + base64.b64encode(key.public.raw) + b":"


def sign(
    key: PrivateKey,
    message: Message,
    derived: Iterable[Component],
    own: Iterable[Field],
    parameters: str,
    request: Message | None = None,
) -> Signed:
    """Sign ``message``: ``derived`` components, each of its fields, ``portal-key`` and ``own``.

    ``parameters`` is the serialised parameters (``;created=...``). Raises ``NotSignable``.
    """
    covered = [*message.fields, portal_key(key), *own]
    components = (*derived, *coverages(covered))
    text = f"({' '.join(component.identifier for component in components)}){parameters}"
    base = signature_base(components, text, replace(message, fields=covered), request)
    value = base64.b64encode(key.sign(base))
    covered.append((b"signature-input", LABEL + b"=" + text.encode("ascii")))
    covered.append((b"signature", LABEL + b"=:" + value + b":"))
    return Signed(replace(message, fields=tuple(covered)), components)
