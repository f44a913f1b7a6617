"""Which rule of an app.json holds for a target: the strictest over all its interpretations.

Where one interpretation is ``peer`` and another one ``private``, nobody enters.

Source: docs/protocol.md, "Access"; the interpretations are those of ``proxy.core.access.target``.
"""

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

    def decide(self, target: Target) -> Rule:
        """Return the strictest rule for ``target``.

        Where the rule for the bytes as they stand is as strict as any, it is the one, so that an
        honest request gets the header fields of its own rule.
        """
        own = self.rules.decide(target.path)
        if self.rules.uniform_access is not None:
            return own
        strictest = own
        for path in interpretations(target.path):
            folded = (self._folded.decide(each) for each in _folds(path))
            for rule in (self.rules.decide(path), *folded):
                if rule.access is not strictest.access:
                    strictest = stricter(strictest, rule)
        return strictest


def _folds(path: bytes) -> frozenset[bytes]:
    """Return ``path`` as apps see it that don't tell upper from lower case.

    Outside ASCII there are characters that become letters of it (U+212A a k, U+017F an s), and two
    ways to read the bytes.
    """
    if path.isascii():
        return frozenset({path.lower()})
    texts = (path.decode("utf-8", "surrogateescape"), path.decode("latin-1"))
    return frozenset(
        {path.lower(), *(_fold(text).encode("utf-8", "surrogateescape") for text in texts)}
    )


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
