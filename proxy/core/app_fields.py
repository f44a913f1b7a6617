"""The header fields of a request on its way to an app: what passes, what is added.

Removed first, added last: nothing a client sends can stand beside or replace what we say about it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.access.rules import Rule
from proxy.core.access.template import Variables
from proxy.core.display_names import encode_name
from proxy.core.http.headers import (
    INTERMEDIARY,
    NEVER_PASSING,
    REQUEST_ID,
    Field,
    Fields,
    claims_identity,
    connection_options,
    end_to_end,
    index_of,
    renamed_for_travel,
    restored_after_travel,
    spelling,
    without_identity,
)
from proxy.core.http.override_fields import is_override_field
from proxy.core.signature.base import Component, Covered
from proxy.core.terminals.cookie import without_cookie

_ON_THE_WAY = INTERMEDIARY | {REQUEST_ID}
"""Dropped, in any spelling: ``proxy.core.http.forwarded`` says anew what of it is believed."""


@dataclass(frozen=True)
class FieldPolicy:
    """Which of a client's fields one app gets, as its owner set it; some no app ever gets."""

    underscores: bool = False
    """Whether a name with ``_`` passes. Many servers can't tell such a name from another one with
    ``-``, or from a variable of their own, which nobody outside is meant to set."""
    dropped: frozenset[bytes] = frozenset()
    """Further names that don't pass, each as its ``spelling``."""

    @cached_property
    def names(self) -> "_Names":
        """Whether a name passes, as it is, or not."""

        def look(name: bytes) -> bytes | None:
            is_unclear = not self.underscores and b"_" in name
            is_dropped = is_override_field(name) or spelling(name) in self.dropped
            return None if is_unclear or is_dropped else name

        return _Names(look)


DEFAULT_POLICY = FieldPolicy()


def fields_for_app(fields: Fields, policy: FieldPolicy) -> tuple[Fields, Sequence[bytes]]:
    """Return what of an admitted request's fields its app gets, and the names of the others.

    Whoever sent them: a peer's are signed, which makes them true, and not harmless.
    """
    names = policy.names
    dropped = [pair[0] for pair in fields if names[pair[0]] is None]
    if not dropped:
        return fields, ()
    return [pair for pair in fields if names[pair[0]] is not None], dropped


class _Names(dict[bytes, bytes | None]):
    """Under which name a field goes on, by its name; None where it doesn't.

    Looked into once for the names that recur. Strangers choose them, so few are kept, and no long
    ones.
    """

    def __init__(self, look: Callable[[bytes], bytes | None]) -> None:
        super().__init__()
        self._look = look

    def __missing__(self, name: bytes) -> bytes | None:
        goes_on_as = self._look(name)
        if len(name) <= _LONGEST_KEPT:
            if len(self) >= _KEPT:
                self.clear()
            self[name] = goes_on_as
        return goes_on_as


_KEPT, _LONGEST_KEPT = 256, 64


@lru_cache(maxsize=256)
def _names_of_strangers(reserved: frozenset[bytes]) -> _Names:
    kept_from_apps = NEVER_PASSING | _ON_THE_WAY | reserved

    def look(name: bytes) -> bytes | None:
        key = spelling(name)
        return None if key in kept_from_apps or claims_identity(key) else name

    return _Names(look)


@lru_cache(maxsize=256)
def _names_of_peers(reserved: frozenset[bytes]) -> _Names:
    def look(name: bytes) -> bytes | None:
        passing = [] if spelling(name) in _ON_THE_WAY else end_to_end([(name, b"")])
        told = without_identity(restored_after_travel(passing), reserved)
        return told[0][0] if told else None

    return _Names(look)


def _look_for_call(name: bytes) -> bytes | None:
    """Return how an app's own field travels; raises ``Refusal``."""
    if name in INTERMEDIARY or name == b"portal-token":
        return None
    travelling = renamed_for_travel(without_identity(end_to_end([(name, b"")])))
    return travelling[0][0] if travelling else None


_NAMES_OF_CALLS = _Names(_look_for_call)


def fields_of_stranger(fields: Fields, reserved: frozenset[bytes]) -> tuple[Field, ...]:
    """Return what the fields of a client without a signature of ours leave for the app.

    Its own ``Signature`` and ``Content-Digest`` pass untouched: they are for the app. What
    intermediaries write is dropped in any spelling. Of its cookies ours is taken out, whoever the
    client is: an app that had it could be the owner at every other app.
    """
    by_name, names = index_of(fields), _names_of_strangers(reserved)
    passing = [pair for pair in fields if names[pair[0]]]
    if b"connection" in by_name:
        hop = connection_options(fields)
        passing = [pair for pair in passing if pair[0] not in hop]
    return without_cookie(passing) if b"cookie" in by_name else tuple(passing)


def fields_of_peer(
    fields: Fields, covered: tuple[Component, ...], reserved: frozenset[bytes]
) -> tuple[Field, ...]:
    """Return what a signed request's fields leave for the app.

    What the signature covers, less what is ours, our cookie included. The calling app's own
    signature fields get their names back.
    """
    names = _names_of_peers(reserved)
    passing = Covered.of(covered).field_names - connection_options(fields)
    told = [(names[name], value) for name, value in fields if name in passing]
    return without_cookie([(name, value) for name, value in told if name])


def fields_of_call(fields: Fields) -> list[Field]:
    """Return what of an app's own request goes to the peer, under the names in which it travels.

    Raises ``Refusal`` for a field of the protocol itself, but for the token: that was for us.
    """
    hop = connection_options(fields)
    travelling = [(_NAMES_OF_CALLS[name], value) for name, value in fields if name not in hop]
    return [(name, value) for name, value in travelling if name]


def identity_fields(caller: Caller) -> tuple[Field, ...]:
    """Return what tells an app who is calling."""
    return _OF_ANONYMOUS if caller is ANONYMOUS else _identity_fields(caller)


def _identity_fields(caller: Caller) -> tuple[Field, ...]:
    return (
        (b"x-ptl-client-type", caller.type.encode("ascii")),
        (b"x-ptl-client-id", caller.id.encode("ascii")),
        (b"x-ptl-client-name", encode_name(caller.name)),
    )


_OF_ANONYMOUS = _identity_fields(ANONYMOUS)


def fields_from_us(
    rule: Rule, caller: Caller, variables: Variables, forwarding: Fields = ()
) -> list[Field]:
    """Return the identity fields, those of ``forwarding``, and the app.json's of its rule.

    A field of the rule replaces ours of the same name, in whatever spelling the rule has it.
    """
    by_spelling = {field[0]: field for field in (*identity_fields(caller), *forwarding)}
    for text, template in rule.headers:
        name = text.lower().encode("ascii")
        by_spelling[spelling(name)] = (name, template.render(variables))
    return list(by_spelling.values())
