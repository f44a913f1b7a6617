"""Which rule of an app.json holds for a target: the strictest over all its interpretations.

Where one interpretation is ``peer`` and another one ``private``, nobody enters. Where nobody can
tell what the interpretations are, all of the app's rules hold at once.

Source: docs/protocol.md, "Access"; the interpretations are those of ``proxy.core.access.target``.
"""

from collections.abc import Iterable

from proxy.core.access.rules import Rule, Rules, stricter
from proxy.core.access.target import Target, interpretations
from proxy.core.http.headers import spelling


class RuleMatcher:
    """One app's rules, prepared once; ``decide`` is called for every request."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.reserved = frozenset(spelling(name.encode("ascii")) for name in rules.field_names)
        """The spellings of every field name that a rule sets: no client may send one."""
        self._folded = _folded(rules)
        self._looked_at = 4 * (rules.longest + 2)
        """How many bytes of a path a rule can depend on, at four bytes for each character."""

    def decide(self, target: Target) -> Rule:
        """Return the strictest rule for ``target``.

        Where the rule for the bytes as they stand is as strict as any, it is the one, so that an
        honest request gets the header fields of its own rule.
        """
        if target.is_ambiguous:
            return self.rules.strictest
        own = _decide(self.rules, target.path)
        if own.access is self.rules.strictest.access:
            return own
        if not target.decodings:  # as nearly every path
            return _stricter(own, _decide(self._folded, target.path.lower()))
        paths = interpretations(target)
        if paths is None:
            return self.rules.strictest
        strictest = own
        for path in {each[: self._looked_at] for each in paths}:
            strictest = _stricter(strictest, _decide(self.rules, path))
            for folded in _folds(path):
                strictest = _stricter(strictest, _decide(self._folded, folded))
        return strictest


def _decide(rules: Rules, path: bytes) -> Rule:
    """Return the rule for one interpretation, with its last slash and without.

    Many apps serve one page under both, so ``/private`` is judged by the rule for ``/private/``,
    too. A rule for ``/private`` fits ``/private/`` anyway; where both have a rule, the stricter one
    holds for that page.
    """
    rule, other = rules.decide(path), rules.of_the_other_slash(path)
    return rule if other is None else _stricter(rule, other)


def _stricter(rule: Rule, other: Rule) -> Rule:
    return rule if rule.access is other.access else stricter(rule, other)


def _folds(path: bytes) -> Iterable[bytes]:
    """Return ``path`` as apps see it that don't tell upper from lower case.

    Outside ASCII there are characters that become letters of it (U+212A a k, U+017F an s), and two
    ways to read the bytes.
    """
    if path.isascii():
        return (path.lower(),)
    texts = (path.decode("utf-8", "surrogateescape"), path.decode("latin-1"))
    return {path.lower(), *(_fold(text).encode("utf-8", "surrogateescape") for text in texts)}


def _fold(text: str) -> str:
    return text.upper().casefold()


def _folded(rules: Rules) -> Rules:
    """Return the rules by their prefixes in lower case; of two that become one, the stricter."""
    folded: dict[bytes, Rule] = {}
    for rule in rules.rules:
        prefix = rule.prefix.lower()  # a prefix is of ASCII alone
        read = Rule(prefix, rule.access, rule.headers)
        before = folded.get(prefix)
        folded[prefix] = read if before is None else stricter(before, read)
    return Rules(tuple(folded.values()))
