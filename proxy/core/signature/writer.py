"""Writing a signature: shared by the request, the response and the document."""

from binascii import b2a_base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from proxy.core.http.headers import Field, Fields, Indexed, values_of
from proxy.core.identity import PrivateKey
from proxy.core.signature.base import Component, Covered, Message, signature_base

LABEL = b"portal"
"""The label of our signatures. A reader never relies on it."""
_MOST_NAMES = 48
_LONGEST = 2048
_KEPT = 128
"""Rows of names whose components are remembered: of so many fields, of so many bytes together."""


class Signed(NamedTuple):
    """A message with its signature."""

    covered: Message
    """What was signed: the message without ``proof``, which is the signature."""
    components: Covered
    proof: tuple[Field, Field]

    @property
    def fields(self) -> tuple[Field, ...]:
        """What goes on the wire."""
        return (*self.covered.fields, *self.proof)

    @property
    def message(self) -> Message:
        """The message with all its fields."""
        return self.covered.with_fields(self.fields)


def coverage(name: bytes, fields: Fields) -> Component:
    """Return the component that covers the field ``name`` of ``fields``.

    With ``;bs`` where it stands on several lines or holds bytes outside ASCII, and only there.
    """
    values = values_of(fields, name)
    wrapped = len(values) != 1 or not values[0].isascii()
    return Component(name.decode("ascii"), (("bs", True),) if wrapped else ())


def are_lines(by_name: Mapping[bytes, Sequence[bytes]], names: Collection[bytes]) -> bool:
    """Tell whether each of the fields is there, and covered without ``;bs``."""
    found = [by_name.get(name, ()) for name in names]
    lines = list(chain.from_iterable(found))
    return all(found) and len(lines) == len(found) and b"".join(lines).isascii()


def portal_key(key: PrivateKey) -> Field:
    """Return the field ``portal-key``: the raw public key as a byte sequence."""
    return b"portal-key", b":" + b2a_base64(key.public.raw, newline=False) + b":"


def sign(
    key: PrivateKey,
    message: Message,
    derived: Covered,
    own: Iterable[Field],
    parameters: str,
    request: Message | None = None,
) -> Signed:
    """Sign ``message``: ``derived`` components, each of its fields, ``portal-key`` and ``own``.

    ``parameters`` is the serialised parameters (``;created=...``). Raises ``NotSignable``.
    """
    fields = Indexed((*message.fields, portal_key(key), *own))
    components = _covering(derived, fields)
    text = components.text + parameters
    covered = message.with_fields(fields)
    value = b2a_base64(key.sign(signature_base(components, text, covered, request)), newline=False)
    signature_input = (b"signature-input", LABEL + b"=" + text.encode("ascii"))
    signature = (b"signature", LABEL + b"=:" + value + b":")
    return Signed(covered, components, (signature_input, signature))


def _covering(derived: Covered, fields: Indexed) -> Covered:
    """Return ``derived`` and one component for each field, in the order they first appear."""
    names = tuple(fields.by_name)
    is_short = max(len(fields), len(derived)) <= _MOST_NAMES and sum(map(len, names)) <= _LONGEST
    if is_short and are_lines(fields.by_name, names):
        return _covering_lines(derived, names)
    return Covered((*derived, *(coverage(name, fields) for name in names)))


@lru_cache(maxsize=_KEPT)
def _covering_lines(derived: Covered, names: tuple[bytes, ...]) -> Covered:
    return Covered((*derived, *(Component(name.decode("ascii")) for name in names)))
