"""``make bench-workers``: how many calls a second several workers verify, and what each call costs.

One Portal for each number of workers, all cores for each; the load, which has signed its requests
before, and the app share them. So this shows what the cores leave, not what a worker could do.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from bench import portal
from bench.__main__ import guarded, tell
from bench.crew import Crew, NotStarted, wait_for
from bench.figures import Sample, ratio, spread
from bench.load import Wrong, measure
from bench.portals import loads_peer
from bench.report import conditions
from bench.rounds import Pace
from bench.subjects import Apps, Running, start_apps
from bench.work import Case

_OUT = Path(__file__).resolve().parent / "out"
_CASE = Case("get", "GET", "small", 64)


def main() -> int:
    """Measure; return 0 only where every turn was right."""
    parser = argparse.ArgumentParser(prog="bench.workers", description="Calls against workers.")
    parser.add_argument("--quick", action="store_true", help="for a look")
    parser.add_argument("--workers", type=int, nargs="+", help="how many; 1 is what others are to")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    numbers = options.workers or sorted({1, 2, 4, cores})
    pace = Pace(3, 0.5, 0.0) if options.quick else Pace(7, 2.0, 0.0)
    return guarded(lambda: _measure_all(numbers, pace))


def _measure_all(numbers: list[int], pace: Pace) -> int:
    samples: dict[int, list[Sample]] = {number: [] for number in numbers}
    with Crew() as crew:
        said = conditions(pace, len(crew.cores))
        tell(said)
        apps = start_apps(crew)
        running = {number: _start(crew, apps, number) for number in numbers}
        try:
            for _ in range(pace.rounds):
                for number, subject in running.items():
                    endpoint = subject.endpoint(_CASE)
                    taken = measure(endpoint, _CASE, pace.seconds, subject.cpu_seconds)
                    samples[number].append(taken)
                    subject.forget_logs()
        except (Wrong, NotStarted, OSError) as error:
            tell(f"It broke off: {error}")
            return 1
    _report(said, samples)
    return 0


def _start(crew: Crew, apps: Apps, workers: int) -> Running:
    """Start a Portal that the load calls; raises ``NotStarted``."""
    bob = portal.make(crew, "Bob")
    endpoints = loads_peer(bob, apps)
    member = bob.launch(crew, workers)
    wait_for(member)
    return Running(*endpoints, (member,))


def _report(said: str, samples: dict[int, list[Sample]]) -> None:
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
    (_OUT / "workers.md").write_text(f"{said}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
