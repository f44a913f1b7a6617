"""The header fields of a request on its way to an app: what passes, what is added.

Removed first, added last: nothing a client sends can stand beside or replace what we say about it.
"""

from proxy.core.headers import (
    INTERMEDIARY,
    Field,
    Fields,
    end_to_end,
    is_ours,
    restored_after_travel,
    spelling,
    without_identity,
)
from proxy.core.names import encode_name
from proxy.core.policy import Caller
from proxy.core.rules import Rule
from proxy.core.signature.base import Component
from proxy.core.template import Variables


def fields_of_stranger(fields: Fields, reserved: frozenset[bytes]) -> tuple[Field, ...]:
    """Return what an anonymous client's fields leave for the app.

    Its own ``Signature`` and ``Content-Digest`` pass untouched: they are for the app. What
    intermediaries write is dropped in any spelling, since none is configured as trusted.
    """
    passing = [
        pair
        for pair in end_to_end(fields)
        if spelling(pair[0]) not in INTERMEDIARY and not is_ours(pair[0])
    ]
    return tuple(without_identity(passing, reserved))


def fields_of_peer(
    fields: Fields, covered: tuple[Component, ...], reserved: frozenset[bytes]
) -> tuple[Field, ...]:
    """Return what a signed request's fields leave for the app.

    What the signature covers, less what is ours. The calling app's own signature fields get their
    names back.
    """
    names = {component.field_name for component in covered}
    passing = [
        pair
        for pair in end_to_end(fields)
        if pair[0] in names and spelling(pair[0]) not in INTERMEDIARY
    ]
    return tuple(without_identity(restored_after_travel(passing), reserved))


def fields_from_us(rule: Rule, caller: Caller, variables: Variables) -> list[Field]:
    """Return the identity fields, then those of the app.json's rule that decided.

    A field of the rule replaces ours of the same name.
    """
    own = {
        b"x-ptl-client-type": caller.type.encode("ascii"),
        b"x-ptl-client-id": caller.id.encode("ascii"),
        b"x-ptl-client-name": encode_name(caller.name),
    }
    for name, template in rule.headers:
        own[name.lower().encode("ascii")] = template.render(variables)
    return list(own.items())
