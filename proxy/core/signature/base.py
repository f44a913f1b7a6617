"""What a signature covers, and the base: the bytes it is made over (RFC 9421, section 2).

Builds what the RFC defines for the derived components and the parameters ``bs``, ``req`` and
``name``; anything else raises ``NotSignable``, so a verifier fails closed.
"""

from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, groupby
from operator import itemgetter, methodcaller
from typing import TypeVar
from urllib.parse import parse_qsl, quote

import http_sf

from proxy.core.http.headers import HOP_BY_HOP, Fields, index_of, values_of

_Name = TypeVar("_Name")
_Value = TypeVar("_Value")
Parameter = tuple[str, object]
Pick = Callable[["Message"], Iterable[bytes]]
"""Takes the values of some components out of a message; raises ``KeyError`` for one it hasn't."""
Run = tuple[bool, Pick]
"""Components that follow each other and are of one kind: whether they are the request's, and what
takes their values. There are few of them, so few steps of Python make a whole base."""


@dataclass(frozen=True)
class Component:
    """One covered component: its name and its parameters in the order they were written.

    Two are equal whatever that order, as RFC 9421, section 2 has it; ``identifier`` keeps it.
    """

    name: str
    parameters: tuple[Parameter, ...] = field(default=(), compare=False)
    _set: frozenset[Parameter] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_set", frozenset(self.parameters))

    @cached_property
    def identifier(self) -> str:
        """The component identifier, serialised as in RFC 9421, section 2: ``"date";bs``."""
        if all(value is True for _, value in self.parameters):  # as ever in our own profiles
            return "".join([f'"{self.name}"', *(f";{key}" for key, _ in self.parameters)])
        return http_sf.ser((self.name, dict(self.parameters)))  # type: ignore[arg-type]

    @cached_property
    def field_name(self) -> bytes:
        """The name as fields have it; of a derived component, what no field is called."""
        return self.name.encode("ascii", "replace")

    def has(self, parameter: str) -> bool:
        """Tell whether the flag ``parameter`` is set on this component."""
        return (parameter, True) in self.parameters

    def of_request(self) -> "Component":
        """Return the same component with ``;req``: taken from the request that is answered."""
        return Component(self.name, (*self.parameters, ("req", True)))


class Covered(tuple[Component, ...]):  # noqa: SLOT001 - what is worked out is kept
    """The components of one signature, with what follows from them alone worked out once.

    Those who keep one (``own_form``, ``writer``) bound how many and how long they are.
    """

    _hash: int | None = None

    @classmethod
    def of(cls, components: Iterable[Component]) -> "Covered":
        """Return ``components`` as they are where they are one already."""
        return components if isinstance(components, Covered) else cls(components)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash

    @cached_property
    def text(self) -> str:
        """The inner list, serialised; parameters of the signature follow it."""
        return f"({' '.join(component.identifier for component in self)})"

    @cached_property
    def field_names(self) -> frozenset[bytes]:
        """The ``field_name`` of each."""
        return frozenset(component.field_name for component in self)

    @cached_property
    def own_names(self) -> frozenset[bytes]:
        """The same of those that aren't the request's."""
        return frozenset(one.field_name for one in self if not one.has("req"))

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """The ``identifier`` of each, as it was written."""
        return frozenset(component.identifier for component in self)

    @cached_property
    def bare_fields(self) -> tuple[bytes, ...] | None:
        """The names of the fields that are covered; None where any component has a parameter."""
        if any(component.parameters for component in self):
            return None
        return tuple(one.field_name for one in self if not one.name.startswith("@"))

    @cached_property
    def is_end_to_end(self) -> bool:
        """Whether no field of one hop is covered."""
        return self.field_names.isdisjoint(HOP_BY_HOP)

    @cached_property
    def asked(self) -> "Covered":
        """What a response covers of the request that has these: each with ``;req``."""
        return Covered(component.of_request() for component in self)

    @cached_property
    def for_response(self) -> "Covered":
        """The same behind the response's own status."""
        return Covered((Component("@status"), *self.asked))

    @cached_property
    def asks(self) -> bool:
        """Whether any of them is the request's (``;req``)."""
        return any(component.has("req") for component in self)

    @cached_property
    def template(self) -> bytes:
        """The base as far as it is the same for all messages: a line for each, without its value.

        For components that have ``runs``.
        """
        prefixes = (component.identifier.encode("ascii") + b": " for component in self)
        return b"".join(prefix.replace(b"%", b"%%") + b"%b\n" for prefix in prefixes)

    @cached_property
    def runs(self) -> tuple[Run, ...] | None:
        """What takes all values, in order; None where one has to be looked at more closely."""
        if len(set(self)) != len(self) or not all(map(_is_plain, self)):
            return None
        kinds = groupby(self, lambda one: (one.has("req"), one.name[0] == "@", one.has("bs")))
        return tuple(
            (is_asked, _pick(list(members), is_derived=is_derived, is_wrapped=is_wrapped))
            for (is_asked, is_derived, is_wrapped), members in kinds
        )


def _is_plain(component: Component) -> bool:
    name, flags = component.name, dict(component.parameters)
    if any(flags.pop(flag, True) is not True for flag in ("req", "bs")) or flags:
        return False
    is_derived = name.startswith("@")
    return (
        bool(name)
        and name.isascii()
        and name == name.lower()
        and not (is_derived and component.has("bs"))
    )


def _pick(components: Sequence[Component], *, is_derived: bool, is_wrapped: bool) -> Pick:
    """Return what takes the values of ``components``, which are all of one kind."""
    if is_derived:
        parts = _getter([component.name for component in components])
        return lambda message: parts(message.parts)
    fields = _getter([component.field_name for component in components])
    if is_wrapped:
        return lambda message: map(_wrapped, fields(index_of(message.fields)))

    def lines(message: Message) -> Iterable[bytes]:
        found = fields(index_of(message.fields))
        values = list(chain.from_iterable(found))
        if len(values) == len(found):
            return map(_STRIPPED, values)
        # Each line is stripped, not what they make: two empty ones are ", ".
        return [b", ".join(map(_STRIPPED, each)) for each in found]

    return lines


def _getter(names: Sequence[_Name]) -> Callable[[Mapping[_Name, _Value]], tuple[_Value, ...]]:
    """Return what looks up all of ``names`` in one step; it raises ``KeyError``."""
    if len(names) == 1:
        return lambda mapping: (mapping[names[0]],)
    return itemgetter(*names)


_STRIPPED = methodcaller("strip", b" \t")


def _wrapped(lines: Sequence[bytes]) -> bytes:
    """Return the value of a field with ``;bs``: each of its lines as a byte sequence."""
    return b", ".join(
        [b":" + b2a_base64(line.strip(b" \t"), newline=False) + b":" for line in lines]
    )


class NotSignable(ValueError):
    """A component that isn't in the message, or has no defined value; the text says which."""


@dataclass(slots=True)
class Message:
    """What a signature can cover of one HTTP message. A response has ``status``, a request not.

    Nobody changes one. (A frozen dataclass costs a microsecond more, and each call makes eight.)
    """

    fields: Fields
    method: bytes = b""
    authority: str = ""
    target: bytes = b""
    """The request target in origin form, as on the wire."""
    scheme: str = "https"
    status: int | None = None
    _parts: Mapping[str, bytes] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def parts(self) -> Mapping[str, bytes]:
        """The derived components that our profiles cover (RFC 9421, section 2.2), by name."""
        if self._parts is None:
            self._parts = self._derived_parts()
        return self._parts

    def _derived_parts(self) -> Mapping[str, bytes]:
        if self.status is not None:
            return {"@status": b"%d" % self.status}
        path, _, query = self.target.partition(b"?")
        return {
            "@method": self.method,
            "@authority": _authority(self.scheme, self.authority),
            "@request-target": self.target,
            "@path": path or b"/",
            "@query": b"?" + query,
        }

    def with_fields(self, fields: Fields) -> "Message":
        """Return the same message with these fields; its parts aren't worked out twice."""
        same = Message(fields, self.method, self.authority, self.target, self.scheme, self.status)
        same._parts = self._parts
        return same


@lru_cache(maxsize=256)
def _authority(scheme: str, authority: str) -> bytes:
    default = {"http": ":80", "https": ":443"}[scheme]
    return authority.lower().removesuffix(default).encode("ascii")


def signature_base(
    components: Sequence[Component],
    signature_params: str,
    message: Message,
    request: Message | None = None,
) -> bytes:
    """Return the signature base, one ``identifier: value`` a line (RFC 9421, section 2.5).

    ``signature_params`` is the serialised inner list with its parameters. ``request`` is where
    components with ``;req`` are taken from. Raises ``NotSignable``.
    """
    covered = Covered.of(components)
    base = _plain_base(covered, signature_params, message, request)
    return base if base is not None else _any_base(covered, signature_params, message, request)


def _plain_base(
    covered: Covered, signature_params: str, message: Message, request: Message | None
) -> bytes | None:
    """Return what ``_any_base`` would; None where only that can tell, or has to refuse."""
    runs = covered.runs
    if runs is None:
        return None
    values: list[bytes] = []
    try:
        for is_asked, pick in runs:
            source = request if is_asked else message
            if source is None:
                return None
            values += pick(source)
    except KeyError:
        return None
    last = b'"@signature-params": ' + signature_params.encode("ascii")
    base = covered.template % tuple(values) + last
    is_clean = base.isascii() and b"\r" not in base and base.count(b"\n") == len(covered)
    return base if is_clean else None


def _any_base(
    components: Covered, signature_params: str, message: Message, request: Message | None
) -> bytes:
    lines: list[bytes] = []
    if len(set(components)) != len(components):
        raise NotSignable("a component is covered twice")
    for component in components:
        identifier = component.identifier.encode("ascii")
        lines.append(identifier + b": " + _value(component, message, request))
    lines.append(b'"@signature-params": ' + signature_params.encode("ascii"))
    return b"\n".join(lines)


def _value(component: Component, message: Message, request: Message | None) -> bytes:
    if component.has("req"):
        if request is None:
            raise NotSignable(f"{component.identifier}: there is no request to take it from")
        message = request
    allowed = {"req", "name"} if component.name == "@query-param" else {"req", "bs"}
    for parameter, value in component.parameters:
        if parameter not in allowed or (parameter != "name" and value is not True):
            raise NotSignable(f"{component.identifier}: the parameter {parameter} isn't supported")
    if component.name.startswith("@"):
        return _derived(component, message)
    return _field(component, message)


def _field(component: Component, message: Message) -> bytes:
    """Return a field's value: its lines joined by ", ", or each wrapped whole where ``;bs`` is set.

    Without ``;bs``, two lines ``a`` and ``b`` and the one line ``a, b`` give the same bytes
    (RFC 9421, section 7.5.6): the profile decides which is right, this function only builds.
    A folded line is no value: whoever parsed the message has unfolded or refused it.
    """
    if component.name != component.name.lower():
        raise NotSignable(f"{component.identifier}: field names are in lower case here")
    values = values_of(message.fields, component.field_name)
    if not values:
        raise NotSignable(f"{component.identifier}: the message has no such field")
    if component.has("bs"):
        return _wrapped(values)
    value = b", ".join(value.strip(b" \t") for value in values)
    if not value.isascii() or b"\n" in value or b"\r" in value:
        raise NotSignable(f"{component.identifier}: its value can only be covered with ;bs")
    return value


def _derived(component: Component, message: Message) -> bytes:
    """Return the value of a derived component (RFC 9421, section 2.2)."""
    if component.has("bs"):
        raise NotSignable(f"{component.identifier}: ;bs is for fields")
    if component.name == "@status" and message.status is None:
        raise NotSignable('"@status": a request has none')
    if component.name != "@status" and message.status is not None:
        raise NotSignable(f"{component.identifier}: a response has none")
    if component.name == "@query-param":
        return _query_parameter(component, message)
    scheme = message.scheme.encode("ascii")
    if component.name == "@scheme":
        return scheme
    try:
        if component.name == "@target-uri":
            return b"%b://%b%b" % (scheme, message.parts["@authority"], message.target)
        return message.parts[component.name]
    except KeyError:
        raise NotSignable(f"{component.identifier}: there is no such derived component") from None


def _query_parameter(component: Component, message: Message) -> bytes:
    query = message.target.partition(b"?")[2].decode("ascii", "replace")
    wanted = dict(component.parameters).get("name")
    values = [
        value
        for name, value in parse_qsl(query, keep_blank_values=True)
        if _form_encoded(name) == wanted
    ]
    if len(values) != 1:
        raise NotSignable(f"{component.identifier}: {len(values)} such parameters in the query")
    return _form_encoded(values[0]).encode("ascii")


def _form_encoded(text: str) -> str:
    return quote(text, safe="*").replace("~", "%7E")
