"""``make bench-curves``: what a request costs as something grows that should hardly matter.

CPU for each request against connections, size of the body, contacts, apps, and rules of an app.
Everything of one curve runs at the same time, and each point has a turn in every round.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import nginx
from bench.chart import Panel, curve_chart
from bench.crew import Crew, NotStarted
from bench.figures import Spread, shown, spread
from bench.growth import SIZES, Curve, curves
from bench.guarded import guarded, tell
from bench.load import Wrong, measure
from bench.pages import keep, keep_chart
from bench.report import conditions
from bench.rounds import Pace
from bench.subjects import Apps, Running

_OUT = Path(__file__).resolve().parent / "out"


@dataclass
class Measured:
    """One curve's samples in microseconds, by series and value, and what failed."""

    curve: Curve
    samples: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)

    def spreads(self) -> dict[str, dict[int, Spread]]:
        """Return what was measured in every round."""
        return {
            series: {
                value: spread(costs)
                for value, costs in by_value.items()
                if (series, value) not in self.failures
            }
            for series, by_value in self.samples.items()
        }


def main() -> int:
    """Measure the curves; return 0 only where every point could be."""
    parser = argparse.ArgumentParser(prog="bench.curves", description="CPU against what grows.")
    parser.add_argument("--quick", action="store_true", help="for a look")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--seconds", type=float, help="how long each turn")
    names = [curve.name for curve in curves()]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="not all of them")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md too")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the results go")
    options = parser.parse_args()
    rounds = options.rounds or (2 if options.quick else 3)
    seconds = options.seconds or (0.1 if options.quick else 0.5)
    pace = Pace(rounds, seconds, math.inf)
    chosen = [curve for curve in curves() if curve.name in options.only]
    if options.write and options.only is not names:
        parser.error("only all of it is written into the page")
    return guarded(lambda: _measure_all(chosen, pace, options.out, is_kept=options.write))


def _measure_all(chosen: Sequence[Curve], pace: Pace, out: Path, *, is_kept: bool) -> int:
    with Crew() as crew:
        said = conditions(pace, len(crew.cores))
        tell(said)
        taker = crew.start_python("taker", measured=False)
        bodies = [f"{size}b" for size in SIZES] if any(c.name == "size" for c in chosen) else []
        pages = nginx.start_app(crew, bodies) if nginx.program() else taker
        found = [_measure(curve, crew, Apps(pages, taker), pace) for curve in chosen]
    text = "\n\n".join(_table(one) for one in found)
    tell(f"\n{text}")
    out.mkdir(exist_ok=True)
    figures = {
        one.curve.name: {
            series: {value: asdict(cost) for value, cost in line.items()}
            for series, line in one.spreads().items()
        }
        for one in found
    }
    (out / "curves.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    keep(out, "curves.md", f"{said}\n\n{text}\n", is_kept=is_kept)
    chart = curve_chart([_panel(one) for one in found])
    keep_chart(out, "curves.svg", chart, is_kept=is_kept)
    return 1 if any(one.failures for one in found) else 0


def _measure(curve: Curve, crew: Crew, apps: Apps, pace: Pace) -> Measured:
    measured = Measured(curve)
    running: dict[int, Mapping[str, Running]] = {}
    for value in curve.values:
        try:
            shared = curve.is_shared and running
            running[value] = running[curve.values[0]] if shared else curve.start(crew, apps, value)
        except NotStarted as error:
            measured.failures["all", value] = str(error)
    for number in range(pace.rounds):
        for value, subjects in running.items():
            for series, subject in subjects.items():
                _turn(measured, value, series, subject, pace.seconds)
        tell(f"   {curve.name}: round {number + 1} of {pace.rounds}")
    for subjects in running.values():
        for subject in subjects.values():
            subject.end(crew)
    return measured


def _turn(measured: Measured, value: int, series: str, subject: Running, seconds: float) -> None:
    case = measured.curve.case(series, value)
    if case is None or (series, value) in measured.failures:
        return
    try:
        sample = measure(subject.endpoint(case), case, seconds, subject.cpu_seconds)
    except (Wrong, OSError) as error:
        measured.failures[series, value] = f"{error}; its log: {subject.last_words}"
    else:
        line = measured.samples.setdefault(series, {})
        line.setdefault(value, []).append(sample.cost)
    finally:
        subject.forget_logs()


def _table(measured: Measured) -> str:
    """Return a curve's medians as a Markdown table, and what is missing in it."""
    spreads = measured.spreads()
    header = " | ".join([measured.curve.axis, *spreads])
    lines = [f"| {header} |", "|---" * (len(spreads) + 1) + "|"]
    for value in measured.curve.values:
        cells = [str(line[value]) if value in line else "-" for line in spreads.values()]
        lines.append(f"| {value} | {' | '.join(cells)} |")
    slopes = [_slope(line) for line in spreads.values()]
    lines.append(f"| *grows with the power of* | {' | '.join(slopes)} |")
    missing = [
        f"- {series} at {value}: {' '.join(reason.split())}"
        for (series, value), reason in measured.failures.items()
    ]
    return "\n".join([*lines, *(["", "Not measured:", "", *missing] if missing else [])])


def _slope(line: Mapping[int, Spread]) -> str:
    """Return the exponent over the last tenfold: 0 is flat, 1 is linear."""
    last = max(line)
    before = [value for value in line if value * 10 <= last] or [min(line)]
    first = max(before)
    if first == last:
        return "-"
    grown = line[last].median / line[first].median
    return shown(math.log(grown) / math.log(last / first))


def _panel(measured: Measured) -> Panel:
    lines = {
        series: [(float(value), cost.median) for value, cost in line.items()]
        for series, line in measured.spreads().items()
    }
    return Panel(measured.curve.name, measured.curve.axis, lines)


if __name__ == "__main__":
    sys.exit(main())
