"""Which access a path asks for: an app's rules by path prefix, and the decision between them.

The longest prefix decides. "Prefix" is understood in two ways: the existing ecosystem's, by plain
string (``/peer`` fits ``/peerage``), and the one that authors mean, which ends at a segment
boundary. An author may have relied on either, so where they disagree the stricter access holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from proxy.core.access.policy import Access
from proxy.core.access.template import Template


@dataclass(frozen=True)
class Rule:
    """What holds under ``prefix``: "" or beginning with "/", as it stands in a request target."""

    prefix: bytes
    access: Access
    headers: tuple[tuple[str, Template], ...] = ()
    """Fields for the app, names as the app.json spells them."""


NO_RULE = Rule(b"", Access.PRIVATE)
"""What decides where no rule matches."""


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
    _by_prefix: Mapping[bytes, Rule] = field(init=False, repr=False, compare=False)
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_prefix = {rule.prefix: rule for rule in self.rules}
        if len(by_prefix) != len(self.rules):
            raise ValueError("a prefix stands in the rules twice")
        by_prefix.setdefault(b"", NO_RULE)
        names = {name.lower() for rule in self.rules for name, _ in rule.headers}
        accesses = {rule.access for rule in by_prefix.values()}
        object.__setattr__(self, "field_names", frozenset(names))
        object.__setattr__(self, "uniform_access", accesses.pop() if len(accesses) == 1 else None)
        object.__setattr__(self, "_by_prefix", by_prefix)
        lengths = tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True))
        object.__setattr__(self, "_lengths", lengths)

    def decide(self, path: bytes) -> Rule:
        """Return the rule for ``path``, one interpretation of a request's path.

        One look-up per length of prefix: a file with thousands of rules costs no more than one
        with prefixes of as many lengths.
        """
        by_string: Rule | None = None
        for length in self._lengths:
            rule = self._by_prefix.get(path[:length])
            if rule is None:
                continue
            by_string = by_string or rule
            if _ends_at_boundary(rule.prefix, path):
                return by_string if by_string.access > rule.access else rule
        return NO_RULE  # the strictest; nothing comes here, since "" fits every path


def _ends_at_boundary(prefix: bytes, path: bytes) -> bool:
    """Tell whether ``prefix``, which ``path`` begins with, ends where a segment does."""
    return not prefix or prefix.endswith(b"/") or path[len(prefix) : len(prefix) + 1] in {b"", b"/"}
