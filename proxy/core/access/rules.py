"""Which access a path asks for: an app's rules by path prefix, and the decision between them.

The longest prefix decides. "Prefix" is understood in two ways: the existing ecosystem's, by plain
string (``/peer`` fits ``/peerage``), and the one that authors mean, which ends at a segment
boundary. An author may have relied on either, so where they disagree the stricter access holds.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from proxy.core.access.policy import Access
from proxy.core.access.template import Template


@dataclass(frozen=True)
class Rule:
    """What holds under ``prefix``: "" or beginning with "/", as it stands in a request target."""

    prefix: bytes
    access: Access
    headers: tuple[tuple[str, Template], ...] = ()
    """Fields for the app, names as the app.json spells them."""

    def __str__(self) -> str:
        """Return what the owner is told where the rule keeps somebody out."""
        return f"{self.prefix.decode('ascii', 'backslashreplace')!r} is {self.access.name.lower()}"


NO_RULE = Rule(b"", Access.PRIVATE)
"""What decides where no rule matches."""
ANY_PREFIX = b"*"
"""Stands for all prefixes, where all rules hold at once; none of an app.json is written so."""


def stricter(one: Rule, other: Rule) -> Rule:
    """Return the rule for what may be read in two ways; ``one`` where they are equally strict.

    What ``peer`` and ``private`` both hold for is nobody's: an app takes the ID that it gets under
    ``peer`` for a peer's, and a terminal isn't one.
    """
    first, second = (one, other) if one.access >= other.access else (other, one)
    if first.access is Access.PRIVATE and second.access is Access.PEER:
        return replace(first, access=Access.CLOSED)
    return first


@dataclass(frozen=True)
class Rules:
    """An app's rules, each prefix once; raises ``ValueError`` on a prefix that is there twice."""

    rules: tuple[Rule, ...]
    field_names: frozenset[str] = field(init=False, repr=False, compare=False)
    """Lower-case names of all fields that any rule sets: to be removed from what clients send."""
    uniform_access: Access | None = field(init=False, repr=False, compare=False)
    """The one access that every path has, or None where paths differ."""
    strictest: Rule = field(init=False, repr=False, compare=False)
    """What holds where nobody can tell which rule does: all of them, as ``stricter`` has them.

    Its fields are those that every rule sets to the same value, and no rule's own.
    """
    longest: int = field(init=False, repr=False, compare=False)
    """Bytes of the longest prefix: no rule looks farther than one byte behind that."""
    _by_prefix: Mapping[bytes, Rule] = field(init=False, repr=False, compare=False)
    _index: "PrefixIndex" = field(init=False, repr=False, compare=False)
    _at_boundary: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _elsewhere: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    """By place in the index: what holds where that prefix ends where a segment does, or doesn't."""

    def __post_init__(self) -> None:
        by_prefix = {rule.prefix: rule for rule in self.rules}
        if len(by_prefix) != len(self.rules):
            raise ValueError("a prefix stands in the rules twice")
        by_prefix.setdefault(b"", NO_RULE)
        names = {name.lower() for rule in self.rules for name, _ in rule.headers}
        accesses = {rule.access for rule in by_prefix.values()}
        index = PrefixIndex(by_prefix)
        by_place = tuple(by_prefix[prefix] for prefix in index.prefixes)
        for name, value in (
            ("field_names", frozenset(names)),
            ("uniform_access", accesses.pop() if len(accesses) == 1 else None),
            ("strictest", _strictest(by_place)),
            ("longest", max(map(len, by_prefix))),
            ("_by_prefix", by_prefix),
            ("_index", index),
            ("_at_boundary", by_place),
            ("_elsewhere", _elsewhere(index, by_place)),
        ):
            object.__setattr__(self, name, value)

    def decide(self, path: bytes) -> Rule:
        """Return the rule for ``path``, one interpretation of a request's path.

        A file with a thousand rules costs no more than one with ten.
        """
        place = self._index.longest(path)
        rule = self._at_boundary[place]
        return rule if _ends_at_boundary(rule.prefix, path) else self._elsewhere[place]

    def of_the_other_slash(self, path: bytes) -> Rule | None:
        """Return the rule of the prefix that differs from ``path`` by its last slash alone."""
        rule = self._by_prefix.get(path + b"/")
        if rule is None and path.endswith(b"/") and len(path) > 1:
            rule = self._by_prefix.get(path[:-1])
        return rule


def _strictest(rules: tuple[Rule, ...]) -> Rule:
    first, *others = rules
    shared = tuple(each for each in first.headers if all(each in rule.headers for rule in others))
    return Rule(ANY_PREFIX, reduce(stricter, rules).access, shared)


def _elsewhere(index: "PrefixIndex", rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return, by place, the rule for paths that go on within the last segment of the prefix.

    By plain string it is the prefix's own, by segments that of an ancestor; the stricter holds.
    """
    by_segment = [rules[0]]
    for prefix, parent in zip(index.prefixes[1:], index.parents[1:], strict=True):
        fits = _ends_at_boundary(index.prefixes[parent], prefix)
        by_segment.append(rules[parent] if fits else by_segment[parent])
    return tuple(
        string if string.access > segment.access else segment
        for string, segment in zip(rules, by_segment, strict=True)
    )


def _ends_at_boundary(prefix: bytes, path: bytes) -> bool:
    """Tell whether ``prefix``, which ``path`` begins with, ends where a segment does."""
    return not prefix or prefix.endswith(b"/") or path[len(prefix) : len(prefix) + 1] in {b"", b"/"}


class PrefixIndex:
    """Prefixes in order, ``b""`` always among them: the longest one of a path in a few comparisons.

    A prefix's parent is the longest other one that it begins with. In the order of bytes, the
    longest prefix of a path is the last one before it, or one of that one's ancestors. Those may be
    as many as there are prefixes, so each has a second, farther ancestor to jump to: the number of
    comparisons is logarithmic (Myers, "An applicative random-access stack", 1983).
    """

    def __init__(self, prefixes: Iterable[bytes]) -> None:
        self.prefixes = sorted({b"", *prefixes})
        self.parents = [0]
        self._jumps = [0]
        depths = [0]
        for prefix in self.prefixes[1:]:
            parent = len(self.parents) - 1
            while not prefix.startswith(self.prefixes[parent]):
                parent = self.parents[parent]
            jump = self._jumps[parent]
            far = depths[parent] - depths[jump] == depths[jump] - depths[self._jumps[jump]]
            self.parents.append(parent)
            self._jumps.append(self._jumps[jump] if far else parent)
            depths.append(depths[parent] + 1)

    def longest(self, path: bytes) -> int:
        """Return the place, in ``prefixes``, of the longest one that ``path`` begins with."""
        prefixes = self.prefixes
        at = bisect_right(prefixes, path) - 1
        while not path.startswith(prefixes[at]):
            jump = self._jumps[at]
            at = self.parents[at] if path.startswith(prefixes[jump]) else jump
        return at
