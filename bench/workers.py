"""``make bench-workers``: how many calls a second several workers verify, and what each call costs.

One Portal for each number of workers, all cores for each; the load, which has signed its requests
before, and the app share them. So this shows what the cores leave, not what a worker could do.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import portal
from bench.crew import Crew, wait_for
from bench.figures import Sample, Spread, ratio, spread
from bench.guarded import guarded, tell
from bench.load import Wrong, measure
from bench.pages import keep
from bench.portals import loads_peer
from bench.report import conditions
from bench.rounds import Pace
from bench.subjects import Apps, Running, start_apps
from bench.work import Case

TWO = "throughput_two_workers_over_one"
_TWO_COST = "cpu_two_workers_over_one"
_OUT = Path(__file__).resolve().parent / "out"
_CASE = Case("get", "GET", "small", 64)
_Taken = Mapping[int, Sequence[Sample]]
"""The samples, one a round, by the number of workers."""


def main() -> int:
    """Measure; return 0 only where every turn was right."""
    parser = argparse.ArgumentParser(prog="bench.workers", description="Calls against workers.")
    parser.add_argument("--quick", action="store_true", help="for a look")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md too")
    parser.add_argument("--workers", type=int, nargs="+", help="how many; 1 is what others are to")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    numbers = options.workers or sorted({1, 2, 4, cores})
    pace = Pace(3, 0.5, 0.0) if options.quick else Pace(7, 2.0, 0.0)
    return guarded(lambda: _measure_all(numbers, pace, is_kept=options.write))


def measure_two(crew: Crew, apps: Apps, rounds: int, seconds: float) -> dict[str, Spread]:
    """Return what two workers verify a second over what one does, and the CPU of a call so.

    Raises ``NotStarted`` and ``Wrong``.
    """
    taken = _measure(crew, apps, (1, 2), Pace(rounds, seconds, 0.0))
    one, two = taken[1], taken[2]
    return {
        TWO: ratio([each.throughput for each in two], [each.throughput for each in one]),
        _TWO_COST: ratio([each.cost for each in two], [each.cost for each in one]),
    }


def _measure_all(numbers: Sequence[int], pace: Pace, *, is_kept: bool) -> int:
    with Crew() as crew:
        said = conditions(pace, len(crew.cores))
        tell(said)
        try:
            samples = _measure(crew, start_apps(crew), numbers, pace)
        except (Wrong, OSError) as error:
            tell(f"It broke off: {error}")
            return 1
    _report(said, samples, is_kept=is_kept)
    return 0


def _measure(crew: Crew, apps: Apps, numbers: Iterable[int], pace: Pace) -> _Taken:
    """Put load on each in turn; who begins rotates. Raises ``NotStarted`` and ``Wrong``."""
    running: dict[int, Running] = {}
    samples: dict[int, list[Sample]] = {number: [] for number in numbers}
    try:
        for number in samples:
            running[number] = _start(crew, apps, number)
        order = list(running.items())
        for _ in range(pace.rounds):
            for number, subject in order:
                endpoint = subject.endpoint(_CASE)
                samples[number].append(measure(endpoint, _CASE, pace.seconds, subject.cpu_seconds))
                subject.forget_logs()
            order = [*order[1:], order[0]]
    finally:
        for subject in running.values():
            subject.end(crew)
    return samples


def _start(crew: Crew, apps: Apps, workers: int) -> Running:
    """Start a Portal that the load calls; raises ``NotStarted``."""
    bob = portal.make(crew, "Bob")
    endpoints = loads_peer(bob, apps)
    member = bob.launch(crew, workers)
    wait_for(member)
    return Running(*endpoints, (member,))


def _report(said: str, samples: _Taken, *, is_kept: bool) -> None:
    first = next(iter(samples.values()))
    lines = [
        "| workers | calls a second | times those of the first | CPU a call, \u00b5s |",
        "|---" * 4 + "|",
    ]
    figures = {}
    for number, taken in samples.items():
        rate = [sample.throughput for sample in taken]
        gain = ratio(rate, [sample.throughput for sample in first])
        cost = spread([sample.cost for sample in taken])
        lines.append(f"| {number} | {spread(rate)} | {gain} | {cost} |")
        figures[number] = {
            "throughput": spread(rate).median,
            "gain": gain.median,
            "cost": cost.median,
        }
    text = "\n".join(lines)
    tell(f"\n{text}")
    _OUT.mkdir(exist_ok=True)
    (_OUT / "workers.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    keep(_OUT, "workers.md", f"{said}\n\n{text}\n", is_kept=is_kept)


if __name__ == "__main__":
    sys.exit(main())
