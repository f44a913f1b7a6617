"""What a signature covers: its components, and what follows from a list of them (RFC 9421, 2)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import http_sf

from proxy.core.http.headers import HOP_BY_HOP

Parameter = tuple[str, object]
Step = tuple[bytes, bool, str, bytes, bool]
"""How a line of a base is made: its beginning; whether its value is the request's; the name of what
is derived, or "" and the field's name; whether each line of the field is wrapped (``;bs``)."""


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
    def steps(self) -> tuple[Step, ...] | None:
        """How each line of the base is made; None where one has to be looked at more closely."""
        steps = tuple(_step(component) for component in self)
        is_plain = None not in steps and len(set(self)) == len(self)
        return tuple(step for step in steps if step is not None) if is_plain else None


def _step(component: Component) -> Step | None:
    name, flags = component.name, dict(component.parameters)
    if any(flags.pop(flag, True) is not True for flag in ("req", "bs")) or flags:
        return None
    derived = name if name.startswith("@") else ""
    is_wrapped = component.has("bs")
    if not name.isascii() or name != name.lower() or (derived and is_wrapped):
        return None
    prefix = component.identifier.encode("ascii") + b": "
    return prefix, component.has("req"), derived, component.field_name, is_wrapped
