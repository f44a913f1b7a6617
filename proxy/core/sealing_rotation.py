"""When a sealing key is made, offered and deleted (docs/protocol.md, sections 2 and 5).

Whoever steals a sealing key reads all that was ever sealed to it. So a key is made anew each
``rotation`` seconds, and lives on only until nobody can hold a valid identity document that names
it: a document is valid for an hour, by a clock that may be off by a little. After that it is
deleted, whatever else goes wrong, and nobody can open what was sealed to it.

Only the newest key is offered. Where no newer one can be made it stays offered for as long as it
may be used: until the moment from which a document that names it would outlive it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.core.identity_document import LIFETIME

DEFAULT_ROTATION = 86_400
SHORTEST_ROTATION = 600
LONGEST_ROTATION = 30 * 86_400

MARGIN = 120
"""Seconds by which two clocks, or two looks at one clock, may differ without harm."""


@dataclass(frozen=True)
class Age:
    """How old a key is: when it was made by the Portal's clock, which can be set.

    ``at_least`` is how many seconds it is known to have been there, by a clock that nobody sets: a
    clock that is set back doesn't make a key younger.
    """

    made: int
    at_least: float = 0.0

    def at(self, now: float) -> float:
        """Return the key's age in seconds."""
        return max(now - self.made, self.at_least)


@dataclass(frozen=True)
class Plan:
    """What is to become of the keys, by key ID."""

    offered: int | None
    """The one that documents name from now on."""
    over: frozenset[int]
    """Those that must not be there any more."""
    is_due: bool
    """Whether a new one must be made."""


def plan(keys: Mapping[int, Age], now: float, rotation: int) -> Plan:
    """Decide over all keys there are; ``now`` is Unix seconds, ``rotation`` seconds."""
    over = frozenset(key_id for key_id, age in keys.items() if is_over(age, now, rotation))
    # The newest is the one that was made last; of two, as only a clock that was set back can make
    # them, every process must choose the same.
    living = sorted((age.made, key_id) for key_id, age in keys.items() if key_id not in over)
    usable = [key_id for _, key_id in living if use_until(keys[key_id], now, rotation) > now]
    newest = usable[-1] if usable else None
    is_due = newest is None or keys[newest].at(now) >= rotation
    return Plan(newest, over, is_due)


def is_over(age: Age, now: float, rotation: int) -> bool:
    """Tell whether a key must be deleted: its time is over, or was never.

    What was made in the future was made by a clock that was ahead. It would live too long, and how
    long it has been there nobody knows.
    """
    return age.at(now) >= rotation + LIFETIME + MARGIN or age.made > now + MARGIN


def use_until(age: Age, now: float, rotation: int) -> int:
    """Return the Unix time until which a key may be used: ``MARGIN`` before it is deleted."""
    life = rotation + LIFETIME
    return min(age.made + life, round(now + life - age.at_least))


def free_key_ids(taken: Iterable[int]) -> list[int]:
    """Return the key IDs (one byte, RFC 9458) that a new key can have: no living key's.

    Were one ID two keys', what was sealed to the one would be tried with the other.
    """
    return sorted(set(range(256)).difference(taken))
