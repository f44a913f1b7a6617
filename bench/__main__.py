"""``make bench``: everything on one machine's loopback, in one interleaved run."""

import argparse
import resource
import signal
import sys
from pathlib import Path
from types import FrameType

from bench.crew import Crew, NotStarted
from bench.figures import Spread, spread
from bench.idle import measure_idle
from bench.load import Wrong
from bench.ratios import IDLE, ratios_of
from bench.report import conditions, tables, write
from bench.rounds import Pace, Results, run
from bench.subjects import Apps, comparisons, hop_subjects, start_apps
from bench.work import GET

_OUT = Path(__file__).resolve().parent / "out"
_QUICK = Pace(rounds=3, seconds=0.35, limit=130)
_FULL = Pace(rounds=7, seconds=1.75, limit=1100)
_IDLE_ROUNDS = 3


def main() -> int:
    """Run the benchmark; return 0 only where all of ours could be measured."""
    parser = argparse.ArgumentParser(prog="bench", description="CPU per request, as ratios.")
    parser.add_argument("--quick", action="store_true", help="within three minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--seconds", type=float, help="how long each turn")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the results go")
    options = parser.parse_args()
    usual = _QUICK if options.quick else _FULL
    pace = Pace(options.rounds or usual.rounds, options.seconds or usual.seconds, usual.limit)
    idle_rounds = 1 if options.quick else _IDLE_ROUNDS
    signal.signal(signal.SIGTERM, _stop)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        return _bench(pace, idle_rounds, options.out)
    except NotStarted as error:
        print(f"The benchmark has no app to stand before: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        _tell("Stopped before the end; nothing was written.")
    return 1


def _bench(pace: Pace, idle_rounds: int, out: Path) -> int:
    with Crew() as crew:
        said = conditions(pace, len(crew.cores))
        _tell(said)
        apps = start_apps(crew)
        results = [run(one, crew, apps, pace, _tell) for one in comparisons(apps)]
        ratios = {name: found for one in results for name, found in ratios_of(one).items()}
        ratios |= _idle(results[0], crew, apps, idle_rounds)
    text = tables(results, ratios)
    _tell(f"\n{text}")
    write(out, results, ratios, f"{said}\n\n{text}")
    _tell(f"Ours over theirs, median (least..most) of the rounds; less is better. All of it: {out}")
    failed = [one for one in results for _, name in one.failures if name == "ours"]
    return 1 if failed else 0


def _idle(results: Results, crew: Crew, apps: Apps, rounds: int) -> dict[str, Spread]:
    """Return the megabytes of 1,000 idle connections, of ours and, for comparison, of others."""
    found = {}
    for subject in hop_subjects():
        if GET not in subject.cases:
            continue
        name = IDLE if subject.name == "ours" else f"{IDLE}_{subject.name}"
        try:
            found[name] = spread([measure_idle(subject, crew, apps) for _ in range(rounds)])
        except (NotStarted, Wrong) as error:
            results.fail(IDLE, subject.name, str(error))
    _tell("   idle connections: done")
    return found


def _tell(text: str) -> None:
    print(text, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Take SIGTERM like Ctrl-C: what was started is ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
