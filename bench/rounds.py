"""The run itself: round after round, every case on every subject, one at a time."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from bench.comparisons import Comparison
from bench.crew import Crew, NotStarted
from bench.figures import Sample
from bench.load import Wrong, measure
from bench.subjects import Apps, Running, Subject
from bench.work import Case

LEAST = 2
"""Rounds that are made however long they take: of one, nobody could say how far it is off."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How often, and for how many seconds each time."""

    rounds: int
    seconds: float
    limit: float
    """Seconds for all of it: no round beyond ``LEAST`` is begun that would end after them."""


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

    def both(self, case: str, ours: str, theirs: str) -> tuple[list[Sample], list[Sample]]:
        """Return the samples of two subjects, where each round has one of both; else none."""
        one, other = self.of(case, ours), self.of(case, theirs)
        return (one, other) if len(one) == len(other) else ([], [])

    def fail(self, case: str, subject: str, reason: str) -> None:
        """Take note that this can't be measured; it isn't tried again."""
        self.failures[case, subject] = reason


def run_all(
    comparisons: Sequence[Comparison], crew: Crew, apps: Apps, pace: Pace, tell: Tell
) -> list[Results]:
    """Measure the comparisons, each for its share of the time that is left by then."""
    end = time.monotonic() + pace.limit
    results = []
    for number, comparison in enumerate(comparisons):
        shares = sum(one.share for one in comparisons[number:])
        limit = (end - time.monotonic()) * comparison.share / shares
        results.append(run(comparison, crew, apps, replace(pace, limit=limit), tell))
    return results


def run(comparison: Comparison, crew: Crew, apps: Apps, pace: Pace, tell: Tell) -> Results:
    """Measure one comparison; what fails is noted with its reason, the rest goes on."""
    results = Results(comparison)
    end = time.monotonic() + pace.limit
    running = _start(comparison.subjects, crew, apps, results)
    try:
        began = time.monotonic()
        for number in range(pace.rounds):
            now = time.monotonic()
            if number >= LEAST and now + (now - began) / number > end:
                tell(f"   {comparison.name}: no time for another round")
                break
            for case, subject in _turns(comparison, number):
                if (case.name, subject.name) not in results.failures:
                    _turn(case, subject, running[subject.name], pace.seconds, results)
            results.rounds += 1
            tell(f"   {comparison.name}: round {number + 1} of {pace.rounds}")
    finally:
        for one in running.values():
            one.end(crew)
    return results


def _turns(comparison: Comparison, number: int) -> Iterator[tuple[Case, Subject]]:
    """Yield each turn of a round; who begins changes from round to round."""
    for case in comparison.cases:
        able = [subject for subject in comparison.subjects if case in subject.cases]
        first = number % len(able)
        for subject in (*able[first:], *able[:first]):
            yield case, subject


def _start(
    subjects: Iterable[Subject], crew: Crew, apps: Apps, results: Results
) -> dict[str, Running]:
    """Start each subject; one that doesn't start fails in all its cases."""
    running: dict[str, Running] = {}
    for subject in subjects:
        try:
            running[subject.name] = subject.start(crew, apps)
        except NotStarted as error:
            for case in subject.cases:
                results.fail(case.name, subject.name, str(error))
    return running


def _turn(case: Case, subject: Subject, running: Running, seconds: float, results: Results) -> None:
    fewer = replace(case, connections=min(case.connections, subject.most))
    try:
        sample = measure(running.endpoint(case), fewer, seconds, running.cpu_seconds)
        sample = replace(sample, resident=running.resident_bytes())
    except (Wrong, OSError) as error:
        results.fail(case.name, subject.name, f"{error}; its log: {running.last_words}")
    else:
        results.samples.setdefault((case.name, subject.name), []).append(sample)
    finally:
        running.forget_logs()
