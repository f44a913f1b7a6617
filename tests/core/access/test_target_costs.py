"""What the worst path costs: found by climbing, and counted in operations, not in time.

An operation is a byte that some step goes through, and 64 of them a rule that is asked for. The
climber begins with paths that cost much once, and keeps whatever makes one cost more.
"""

import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.core.access import decision, target
from proxy.core.access.decision import RuleMatcher
from proxy.core.access.policy import Access
from proxy.core.access.rules import Rule, Rules
from proxy.core.access.target import MAX_BYTES, MAX_PATH, parse_target
from proxy.core.errors import Refusal
from proxy.core.http import percent_encoding

MOST = 16 * MAX_BYTES
"""Operations for one path. A thousand take some 2 microseconds."""

_PIECES = [
    *(b"/", b"//", b";", b"a", b"%3f", b"%23", b"%2f", b"%3b", b"%25", b"%61", b"%E3%81%82", b";a"),
    *(b"%2523", b"%252f", b"%253b", b"%25252f", b"%25253b", b"%2525252f", b"%2525253b", b"%252525"),
    *(b"%C5%BF", b"%25C5%25BF", b"\xc5\xbf", b".x", b"..x", b"%2e", b"=", b"%80", b"%0a", b"%5c"),
]  # fmt: skip
_BEGUN = [
    (Path(__file__).parent / "data" / "dear_path.txt").read_bytes().strip(),
    (b"//%2525252f%252f;;%2f%25C5%25BF" * 264)[:MAX_PATH],
    (b"/public//////%23%2525252f" * 320)[: MAX_PATH - 2],
    b"/%25252541" + b"/" * 8100,
    b"/%25252541" + b"/.x" * 2700,
    b"/" + b"%25" * 32 + b"%2541" * 1600,
    b"/" + b"//%2f;%253b%3f%2525252f%23%252523" * 3,
    b"/" + b"%E3%81%82" * 900,
]
_MATCHERS = {
    "few prefixes": (Rule(b"", Access.PUBLIC), Rule(b"/p", Access.PRIVATE)),
    "a thousand, one within the other": (
        *(Rule(b"/" + b"a" * length, Access(length % 2)) for length in range(999)),
        Rule(b"", Access.PUBLIC),
        Rule(b"/z", Access.PRIVATE),
    ),
}


class Counter:
    """Counts what the steps go through, around the steps themselves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.operations = 0
        for module, name in (
            (percent_encoding, "_decoded"),
            (target, "unquote"),
            (target, "_is_utf8"),
            (target, "_is_ambiguous"),
            (target, "_refuse_outside"),
            (target, "_following"),
            (target, "_merged"),
            (target, "_trimmed"),
            (target, "in_plain_letters"),
            (target, "_from_slash"),
            (decision, "_folds"),
        ):
            patch.setattr(module, name, self._counted(getattr(module, name)))
        for name in ("decide", "of_the_other_slash"):
            patch.setattr(Rules, name, self._asked(getattr(Rules, name)))

    def _counted(self, step: Callable[..., object]) -> Callable[..., object]:
        def counted(path: bytes | tuple[bytes, ...], *more: object, **named: object) -> object:
            self.operations += sum(map(len, path)) if isinstance(path, tuple) else len(path)
            return step(path, *more, **named)

        return counted

    def _asked(self, ask: Callable[..., Rule]) -> Callable[..., Rule]:
        def asked(rules: Rules, path: bytes) -> Rule:
            self.operations += 64
            return ask(rules, path)

        return asked

    def of(self, matcher: RuleMatcher, path: bytes) -> int:
        self.operations = 0
        with suppress(Refusal):
            matcher.decide(parse_target(path, ascii_only=False))
        return self.operations


def _changed(path: bytes, chance: random.Random) -> bytes:
    """Change one place: put a piece there, many of them, or take something away."""
    units = re.findall(rb"(?:%25)*%[0-9A-Fa-f]{2}|[^%]|%", path)
    at = chance.randint(1, len(units))
    pieces = [chance.choice(_PIECES)] * chance.choice([1, 1, 1, 5, 40, 400])
    units[at : at + chance.choice([0, 0, 1, 5, 40, 400])] = pieces
    return b"/" + b"".join(units)[1:MAX_PATH].rstrip(b"%")


@pytest.mark.parametrize("name", _MATCHERS)
@pytest.mark.parametrize("begun", _BEGUN, ids=lambda path: repr(path[:24]))
def test_no_path_costs_more_than_its_bound(
    monkeypatch: pytest.MonkeyPatch, name: str, begun: bytes
) -> None:
    counter, matcher = Counter(monkeypatch), RuleMatcher(Rules(_MATCHERS[name]))
    chance = random.Random(begun)
    path, most = begun, counter.of(matcher, begun)
    for _ in range(150):
        changed = _changed(path, chance)
        cost = counter.of(matcher, changed)
        if cost >= most:
            path, most = changed, cost
    assert most < MOST, path


@pytest.mark.parametrize(
    "path",
    [
        b"/" + b"%E3%81%82" * 909, b"/" + "あ".encode() * 2700, b"/x//" + b"%E3%81%82" * 900,
        b"/x%2Fy;a=b/" + b"%E3%81%82" * 300, b"/" + b"a%20b/" * 1300, b"/" + b"100%25/" * 30,
        b"/" + b"x;a=b/" * 30, b"/http:%2F%2Fa.example%2Fx%3Fy=z%23w", b"/" + b"abcdefg/" * 1000,
    ],
)  # fmt: skip
def test_honest_paths_stay_below_every_bound(path: bytes) -> None:
    assert target.interpretations(parse_target(path, ascii_only=False)) is not None
