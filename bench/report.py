"""What is printed and written: tables for people, ratios.json and run.json for programs."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import nginx
from bench.figures import Spread, shown, spread
from bench.goals import GOALS
from bench.instructions import ROW
from bench.interpreter import build
from bench.rounds import Pace, Results
from bench.work import GET

_PACKAGES = (
    "portal-proxy", "uvicorn", "httptools", "h11", "httpx", "starlette", "asgiproxy",
    "fastapi-proxy-lib", "aiohttp", "requests", "requests-http-signature", "pynacl", "cryptography",
)  # fmt: skip


def conditions(pace: Pace, cores: int) -> str:
    """Return under what conditions a run was made, as a paragraph."""
    pinned = "what is measured on one of them, load and apps on another"
    where = pinned if cores > 1 else "everything on it, so that throughput means nothing"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return (
        f"{when}; Linux {platform.release()}, {cores} cores ({where}), load average "
        f"{os.getloadavg()[0]:.1f} before; turns of {pace.seconds:g} s. "
        f"{build()}, nginx {nginx.version()}, {versions}."
    )


def tables(
    results: Sequence[Results], ratios: Mapping[str, Spread], failures: Mapping[str, str]
) -> str:
    """Return all tables and what is missing in them, in Markdown.

    ``failures`` are those beside the comparisons' own, by name.
    """
    parts = [goals(ratios), *(_table(one, ratios) for one in results)]
    paired = {pair.name for one in results for pair in one.comparison.pairs}
    lines = [_row(name, str(ratios[name]), _reach(name)) for name in ratios if name not in paired]
    parts.append("\n".join([_row("other", "", "reach"), "|---|---|---|", *lines]))
    missing = [line for one in results for line in _missing(one)]
    reasons: dict[str, list[str]] = {}
    for name, reason in failures.items():
        reasons.setdefault(" ".join(reason.split()), []).append(name)
    missing += [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if missing:
        parts.append("\n".join(["Not measured:", "", *missing]))
    return "\n\n".join(parts) + "\n"


def write(
    folder: Path,
    results: Sequence[Results],
    ratios: Mapping[str, Spread],
    failures: Mapping[str, str],
) -> None:
    """Write ratios.json (Python, medians) and run.json (every sample, what is missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    flat: dict[str, float | str] = {name: round(value.median, 4) for name, value in ratios.items()}
    samples = {
        one.comparison.name: {
            f"{case} {subject}": [asdict(sample) for sample in found]
            for (case, subject), found in one.samples.items()
        }
        for one in results
    }
    spreads = {name: asdict(value) for name, value in ratios.items()}
    _write_json(folder / "ratios.json", {"python": build(), **flat})
    run = {"ratios": spreads, "not_measured": dict(failures), "samples": samples}
    _write_json(folder / "run.json", run)


def goals(ratios: Mapping[str, Spread]) -> str:
    """Return each ratio that has a goal beside it, as a table."""
    lines = [_row("goal", "measured", "reach", "times the goal"), "|---|---|---|---|"]
    for name, goal in GOALS.items():
        if found := ratios.get(name):
            lines.append(_row(name, str(found), str(goal), shown(goal.times(found.median))))
        else:
            lines.append(_row(name, "-", str(goal), ""))
    return "\n".join(lines)


def machinery(results: Results, ratios: Mapping[str, Spread]) -> str:
    """Return what each public hop costs for a small request, from nginx's on: the least first."""
    bill = {}
    for subject in results.comparison.subjects:
        if samples := results.of(GET.name, subject.name):
            bill[subject.name] = spread([sample.cost for sample in samples])
    lines = [
        _row("a small request through", "CPU, µs", "times nginx's", "instructions, thousands"),
        "|---" * 4 + "|",
    ]
    for name, cost in sorted(bill.items(), key=lambda one: one[1].median):
        pair = "public_hop_vs_nginx" if name == "ours" else f"{name}_vs_nginx"
        times = "1" if name == "nginx" else str(ratios.get(pair, "-"))
        count = ratios.get(ROW.format(name))
        lines.append(_row(name, shown(cost.median), times, shown(count.median) if count else "-"))
    return "\n".join(lines)


def _table(results: Results, ratios: Mapping[str, Spread]) -> str:
    """Return a comparison's ratios, a line for each row of names and a column for each peer."""
    pairs = results.comparison.pairs
    columns = list(dict.fromkeys(pair.against for pair in pairs))
    first = f"{results.comparison.name}: CPU, {results.rounds} rounds, ours over"
    header = (first, *columns, "ours, µs")
    lines = [_row(*header), "|---" * len(header) + "|"]
    for row in dict.fromkeys(pair.row for pair in pairs):
        mine = {pair.against: pair for pair in pairs if pair.row == row}
        cells = [_cell(mine[name].name, ratios) if name in mine else "-" for name in columns]
        one = next(iter(mine.values()))
        ours = results.of(one.case.name, one.ours)
        cost = shown(spread([sample.cost for sample in ours]).median) if ours else "-"
        lines.append(_row(row, *cells, cost))
    return "\n".join(lines)


def _cell(name: str, ratios: Mapping[str, Spread]) -> str:
    """Return a ratio, with what is to be reached where that is set."""
    reach = f"; reach {_reach(name)}" if name in GOALS else ""
    return f"{ratios[name]}{reach}" if name in ratios else "-"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _reach(name: str) -> str:
    return f"{GOALS[name].reach:.3g}" if name in GOALS else ""


def _missing(results: Results) -> Iterator[str]:
    """Yield a line for each reason, with the cases that it keeps from being measured."""
    cases: dict[tuple[str, str], list[str]] = {}
    for (case, subject), reason in results.failures.items():
        cases.setdefault((subject, reason), []).append(case)
    for (subject, reason), names in cases.items():
        said = " ".join(reason.split())
        yield f"- {results.comparison.name}, {subject}, {', '.join(names)}: {said}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
