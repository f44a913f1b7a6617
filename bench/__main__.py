"""``make bench``: everything on one machine's loopback, in one interleaved run."""

import argparse
import resource
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from bench import portals
from bench.baseline import NoBaseline, tree_of
from bench.chart import ratio_chart
from bench.comparisons import comparisons, hop_subjects
from bench.crew import Crew, NotStarted
from bench.figures import Spread, spread
from bench.load import Wrong
from bench.memory import measure_idle, measure_uploads
from bench.mixed import GROWTH, measure_growth
from bench.ratios import IDLE, MESSAGE, REACH, UPLOAD, WEBSOCKETS, ratios_of
from bench.report import conditions, tables, write
from bench.rounds import Pace, run_all
from bench.sockets import measure_message, measure_sockets
from bench.subjects import Apps, start_apps
from bench.syscalls import calls_per_request
from bench.tails import measure_tails, measure_throng
from bench.work import GET

_OUT = Path(__file__).resolve().parent / "out"
_QUICK = Pace(rounds=3, seconds=0.2, limit=128)
_FULL = Pace(rounds=7, seconds=1.0, limit=1050)
_FEW_ROUNDS = 3
_QUICKLY = (
    "hop", "calls", "baseline", "streams", "way_in", "engine",
    "memory", "syscalls", "message", "tails",
)  # fmt: skip
_USUAL = (*_QUICKLY, "throng")
_NAMES = (*_USUAL, "mixed")
_MINUTES = 5.0
_THRONG_SECONDS = 5.0
"""With 10,000 connections the first responses take a second."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    pace: Pace
    few: int
    """Rounds of what isn't in the comparisons."""
    names: Collection[str]
    baseline: Path | None
    seconds: float
    """Of mixed load."""


def main() -> int:
    """Run the benchmark; return 0 only where all of ours could be measured."""
    parser = argparse.ArgumentParser(prog="bench", description="CPU per request, as ratios.")
    parser.add_argument("--quick", action="store_true", help="within three minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--seconds", type=float, help="how long each turn")
    parser.add_argument("--only", nargs="+", choices=_NAMES, help="not all of it")
    parser.add_argument("--baseline", help="a revision or a folder of ours, to be measured beside")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="how long mixed load is")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the results go")
    options = parser.parse_args()
    usual = _QUICK if options.quick else _FULL
    pace = Pace(options.rounds or usual.rounds, options.seconds or usual.seconds, usual.limit)
    names = options.only or (_QUICKLY if options.quick else _USUAL)
    few = min(pace.rounds, 1 if options.quick else _FEW_ROUNDS)
    try:
        before = tree_of(options.baseline, _OUT) if options.baseline else None
    except NoBaseline as error:
        parser.error(str(error))
    plan = Plan(pace, few, names, before, options.minutes * 60)
    return guarded(lambda: _bench(plan, options.out))


def guarded(work: Callable[[], int]) -> int:
    """Do ``work`` with as many descriptors as there may be; end in order where it is ended."""
    signal.signal(signal.SIGTERM, _stop)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return work()
    except NotStarted as error:
        print(f"The benchmark has no app to stand before: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        tell("Stopped before the end; nothing was written.")
    return 1


def _bench(plan: Plan, out: Path) -> int:
    with Crew() as crew:
        said = conditions(plan.pace, len(crew.cores))
        tell(said)
        apps = start_apps(crew)
        chosen = [one for one in comparisons(plan.baseline) if one.name in plan.names]
        results = run_all(chosen, crew, apps, plan.pace, tell)
        ratios = {name: found for one in results for name, found in ratios_of(one).items()}
        failures: dict[str, str] = {}
        if "memory" in plan.names:
            ratios |= _memory(crew, apps, plan.few, failures)
        ratios |= _rest(crew, apps, plan, failures)
    text = tables(results, ratios, failures)
    tell(f"\n{text}")
    write(out, results, ratios, f"{said}\n\n{text}")
    (out / "ratios.svg").write_text(ratio_chart(ratios, REACH), encoding="utf-8")
    tell(f"Ours over theirs, median (least..most) of the rounds; less is better. All of it: {out}")
    failed = [name for one in results for _, name in one.failures if name in one.comparison.ours]
    return 1 if failed or failures.keys() & {IDLE, UPLOAD, WEBSOCKETS} else 0


def _memory(crew: Crew, apps: Apps, rounds: int, failures: dict[str, str]) -> dict[str, Spread]:
    """Return the megabytes of idle connections and WebSockets, and of an upload."""
    measures: dict[str, Callable[[], float]] = {
        UPLOAD: partial(measure_uploads, crew, apps),
        WEBSOCKETS: partial(measure_sockets, crew),
    }
    for subject in hop_subjects():
        if GET in subject.cases:
            name = IDLE if subject.name == "ours" else f"{IDLE}_{subject.name}"
            measures[name] = partial(measure_idle, subject, crew, apps)
    found = {}
    for name, measured in measures.items():
        try:
            found[name] = spread([measured() for _ in range(rounds)])
        except (NotStarted, Wrong) as error:
            failures[name] = str(error)
    tell("   memory: done")
    return found


def _rest(crew: Crew, apps: Apps, plan: Plan, failures: dict[str, str]) -> dict[str, Spread]:
    """Return what is measured by itself: system calls, WebSocket messages, tails, growth."""
    pace, few = plan.pace, plan.few

    def calls() -> dict[str, Spread]:
        starts = {"public_hop": portals.public_hop, "verifying_hop": portals.verifying_hop}
        return {
            f"syscalls_{name}": spread(
                [calls_per_request(start, crew, apps, pace.seconds) for _ in range(few)]
            )
            for name, start in starts.items()
        }

    measures: dict[str, Callable[[], dict[str, Spread]]] = {
        "syscalls": calls,
        "message": lambda: {MESSAGE: measure_message(crew, few, pace.seconds)},
        "tails": lambda: measure_tails(crew, apps, few, pace.seconds, plan.baseline),
        "throng": lambda: measure_throng(crew, apps, few, _THRONG_SECONDS),
        "mixed": lambda: {GROWTH: spread([measure_growth(crew, apps, plan.seconds)])},
    }
    found: dict[str, Spread] = {}
    for name, measured in measures.items():
        if name not in plan.names:
            continue
        try:
            found |= measured()
        except (NotStarted, Wrong) as error:
            failures[name] = str(error)
        tell(f"   {name}: done")
    return found


def tell(text: str) -> None:
    print(text, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Take SIGTERM like Ctrl-C: what was started is ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
