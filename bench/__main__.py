"""``make bench``: everything on one machine's loopback, in one interleaved run."""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import nginx, portals
from bench.baseline import NoBaseline, tree_of
from bench.chart import ratio_chart
from bench.comparisons import comparisons, hop_subjects
from bench.crew import Crew, NotStarted
from bench.figures import Spread, spread
from bench.goals import GOALS, IDLE, MESSAGE, UPLOAD, WEBSOCKETS
from bench.guarded import guarded, tell
from bench.instructions import measure_instructions
from bench.load import Wrong
from bench.memory import measure_idle, measure_uploads
from bench.mixed import GROWTH, measure_growth
from bench.pages import keep, keep_chart
from bench.parts import measure_parts
from bench.ratios import ratios_of
from bench.report import conditions, machinery, tables, write
from bench.rounds import Pace, run_all
from bench.sockets import measure_message, measure_sockets
from bench.start import composition, measure_start
from bench.subjects import Apps, hop, start_apps
from bench.syscalls import calls_per_request
from bench.tails import THRONG, measure_tails, measure_throng
from bench.work import GET
from bench.workers import measure_two

_OUT = Path(__file__).resolve().parent / "out"
_QUICK = Pace(rounds=3, seconds=0.2, limit=110)
_FULL = Pace(rounds=7, seconds=1.0, limit=1050)
_FEW_ROUNDS = 3
_QUICKLY = (
    "hop", "calls", "baseline", "streams", "tls", "way_in", "engine",
    "memory", "start", "syscalls", "message", "tails", "workers",
)  # fmt: skip
_PARTS = "parts"
_START = "start"
_NAMES = (*_QUICKLY, "without_aes", "throng", "instructions", _PARTS, "mixed")
_COUNTED = frozenset({"ours", "nginx", "bare_asyncio", "aiohttp", "asgiproxy"})
"""Whose instructions are counted: under valgrind, the others take minutes."""
_MINUTES = 5.0
_LEAST_TAIL = 1.0
"""Seconds of a turn: of few requests, nobody could say what the slowest percent takes."""
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
    is_kept: bool = False
    """Whether docs/performance.md gets the tables."""


def main() -> int:
    """Run the benchmark; return 0 only where all of ours could be measured."""
    parser = argparse.ArgumentParser(prog="bench", description="CPU per request, as ratios.")
    parser.add_argument("--quick", action="store_true", help="within three minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--seconds", type=float, help="how long each turn")
    parser.add_argument("--only", nargs="+", choices=_NAMES, help="not all of it")
    parser.add_argument("--baseline", help="a revision or a folder of ours, to be measured beside")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="how long mixed load is")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md too")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the results go")
    options = parser.parse_args()
    usual = _QUICK if options.quick else _FULL
    pace = Pace(options.rounds or usual.rounds, options.seconds or usual.seconds, usual.limit)
    names = options.only or (_QUICKLY if options.quick else _NAMES)
    few = min(pace.rounds, 1 if options.quick else _FEW_ROUNDS)
    try:
        before = tree_of(options.baseline, _OUT) if options.baseline else None
    except NoBaseline as error:
        parser.error(str(error))
    if options.write and (options.quick or options.only):
        parser.error("only a whole run is written into the page")
    plan = Plan(pace, few, names, before, options.minutes * 60, is_kept=options.write)
    return guarded(lambda: _bench(plan, options.out))


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
        parts = _parts(crew, apps, plan, failures)
        memory = _made_of(crew, plan, failures)
    failures |= _unmeasured(ratios, plan, failures)
    text = tables(results, ratios, failures)
    tell(f"\n{text}")
    write(out, results, ratios, failures)
    keep(out, "table.md", f"{said}\n\n{text}", is_kept=plan.is_kept)
    keep_chart(out, "performance.svg", ratio_chart(ratios, GOALS), is_kept=plan.is_kept)
    if parts:
        tell(f"{parts}\n")
        keep(out, "parts.md", f"{said}\n\n{parts}\n", is_kept=plan.is_kept)
    if memory:
        tell(f"{memory}\n")
        keep(out, "start.md", f"{said}\n\n{memory}\n", is_kept=plan.is_kept)
    for one in results:
        if one.comparison.name == "hop":
            keep(out, "machinery.md", machinery(one, ratios) + "\n", is_kept=plan.is_kept)
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

    def instructions() -> dict[str, Spread]:
        starts = {one.name: one.start for one in hop_subjects() if one.name in _COUNTED}
        starts["nginx"] = hop(partial(nginx.start_hop, alone=True))
        return measure_instructions(starts, crew, apps, failures.__setitem__)

    tail = max(pace.seconds, _LEAST_TAIL)
    measures: dict[str, Callable[[], dict[str, Spread]]] = {
        _START: lambda: measure_start(crew, few),
        "syscalls": calls,
        "message": lambda: {MESSAGE: measure_message(crew, few, pace.seconds)},
        "tails": lambda: measure_tails(crew, apps, few, tail, plan.baseline, failures.__setitem__),
        "workers": lambda: measure_two(crew, apps, few, pace.seconds),
        "throng": lambda: measure_throng(crew, apps, few, _THRONG_SECONDS),
        "instructions": instructions,
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


def _parts(crew: Crew, apps: Apps, plan: Plan, failures: dict[str, str]) -> str:
    """Return the table of what a request's CPU goes into; "" where there is none."""
    if _PARTS not in plan.names:
        return ""
    try:
        return measure_parts(crew, apps)
    except (NotStarted, Wrong) as error:
        failures[_PARTS] = str(error)
        return ""


def _made_of(crew: Crew, plan: Plan, failures: dict[str, str]) -> str:
    """Return the table of what an idle Portal's memory is made of; "" where there is none."""
    if _START not in plan.names:
        return ""
    try:
        return composition(crew)
    except (NotStarted, Wrong) as error:
        failures["start.md"] = str(error)
        return ""


def _unmeasured(
    ratios: Mapping[str, Spread], plan: Plan, failures: Mapping[str, str]
) -> dict[str, str]:
    """Return why a goal has no figure in this run, where nothing else says so."""
    missing = {}
    for name, goal in GOALS.items():
        if name in ratios or name in failures:
            continue
        if name.endswith("_vs_baseline") and plan.baseline is None:
            missing[name] = "it needs another revision to compare with (BASELINE=REVISION)"
        elif goal.of not in plan.names:
            missing[name] = f"{goal.of} isn't in this run"
        elif name == THRONG and goal.of not in failures:
            missing[name] = "descriptors allow fewer connections; the row above says how many"
    return missing


if __name__ == "__main__":
    sys.exit(main())
