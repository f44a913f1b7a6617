"""The run itself: round after round, every case on every subject, one at a time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bench.accounting import cpu_seconds
from bench.crew import Crew, Member, NotStarted
from bench.figures import Sample
from bench.load import Wrong, measure
from bench.subjects import Apps, Comparison, Subject
from bench.work import Case

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How often, and for how many seconds each time."""

    rounds: int
    seconds: float
    limit: float
    """Seconds for all of it: no round is begun that would end beyond a comparison's share."""


@dataclass
class Results:
    """What one comparison brought: a sample a round, or why there is none."""

    comparison: Comparison
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    """By the names of case and subject."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    rounds: int = 0

    def of(self, case: str, subject: str) -> list[Sample]:
        """Return the samples, one a round; none where a round failed."""
        if (case, subject) in self.failures:
            return []
        return self.samples.get((case, subject), [])

    def both(self, case: str, peer: str) -> tuple[list[Sample], list[Sample]]:
        """Return our samples and a peer's, where each round has one of both; else none."""
        ours, theirs = self.of(case, self.comparison.ours.name), self.of(case, peer)
        return (ours, theirs) if len(ours) == len(theirs) else ([], [])

    def fail(self, case: str, subject: str, reason: str) -> None:
        """Take note that this can't be measured; it isn't tried again."""
        self.failures[case, subject] = reason


def run(comparison: Comparison, crew: Crew, apps: Apps, pace: Pace, tell: Tell) -> Results:
    """Measure one comparison; what fails is noted with its reason, the rest goes on."""
    results = Results(comparison)
    members = _start(comparison, crew, apps, results)
    try:
        began = time.monotonic()
        for number in range(pace.rounds):
            spent = time.monotonic() - began
            if number and spent * (number + 1) / number > pace.limit * comparison.share:
                tell(f"   {comparison.name}: no time for another round")
                break
            for case, subject in _turns(comparison, number):
                if (case.name, subject.name) not in results.failures:
                    _one(case, subject, members[subject.name, case.uploads], pace, results)
            results.rounds += 1
            tell(f"   {comparison.name}: round {number + 1} of {pace.rounds}")
    finally:
        for member in members.values():
            if member in crew.members and member not in (apps.pages, apps.taker):
                crew.end(member)
    return results


def _turns(comparison: Comparison, number: int) -> Iterator[tuple[Case, Subject]]:
    """Yield each turn of a round; who begins changes from round to round."""
    for case in comparison.cases:
        able = [subject for subject in comparison.subjects if case in subject.cases]
        first = number % len(able)
        for subject in (*able[first:], *able[:first]):
            yield case, subject


def _start(
    comparison: Comparison, crew: Crew, apps: Apps, results: Results
) -> dict[tuple[str, bool], Member]:
    """Start each subject twice: in front of the pages, and of the app that takes uploads."""
    members: dict[tuple[str, bool], Member] = {}
    for subject in comparison.subjects:
        for uploads, app in ((False, apps.pages), (True, apps.taker)):
            try:
                members[subject.name, uploads] = subject.start(crew, app.port)
            except NotStarted as error:
                for case in subject.cases:
                    results.fail(case.name, subject.name, str(error))
                break
    return members


def _one(case: Case, subject: Subject, member: Member, pace: Pace, results: Results) -> None:
    cpu = partial(cpu_seconds, member.process.pid)
    try:
        sample = measure(member.port, member.host, case, pace.seconds, cpu)
    except (Wrong, OSError) as error:
        results.fail(case.name, subject.name, f"{error}; its log: {member.last_words}")
    else:
        results.samples.setdefault((case.name, subject.name), []).append(sample)
    finally:
        member.forget_log()
