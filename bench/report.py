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
from bench.ratios import REACH, name_of
from bench.rounds import Pace, Results

_PACKAGES = (
    "portal-proxy", "uvicorn", "httptools", "h11", "httpx", "starlette", "asgiproxy",
    "fastapi-proxy-lib", "aiohttp",
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
        f"CPython {platform.python_version()}, nginx {nginx.version()}, {versions}."
    )


def tables(results: Sequence[Results], ratios: Mapping[str, Spread]) -> str:
    """Return all tables and what is missing in them, in Markdown."""
    parts = [_table(one, ratios) for one in results]
    others = [name for name in ratios if name.startswith(("p50_", "mb_"))]
    lines = [_row(name, str(ratios[name]), _reach(name)) for name in others]
    parts.append("\n".join([_row("other", "", "reach"), "|---|---|---|", *lines]))
    missing = [line for one in results for line in _missing(one)]
    if missing:
        parts.append("\n".join(["Not measured:", "", *missing]))
    return "\n\n".join(parts) + "\n"


def write(
    folder: Path, results: Sequence[Results], ratios: Mapping[str, Spread], text: str
) -> None:
    """Write ratios.json (medians alone), run.json (every sample) and table.md to ``folder``."""
    folder.mkdir(exist_ok=True)
    flat = {name: round(value.median, 4) for name, value in ratios.items()}
    samples = {
        one.comparison.name: {
            f"{case} {subject}": [asdict(sample) for sample in found]
            for (case, subject), found in one.samples.items()
        }
        for one in results
    }
    spreads = {name: asdict(value) for name, value in ratios.items()}
    _write_json(folder / "ratios.json", flat)
    _write_json(folder / "run.json", {"ratios": spreads, "samples": samples})
    (folder / "table.md").write_text(text, encoding="utf-8")


def _table(results: Results, ratios: Mapping[str, Spread]) -> str:
    comparison = results.comparison
    names = [peer.name for peer in comparison.peers]
    first = f"{comparison.name}: CPU, {results.rounds} rounds, ours over"
    aims = ("reach (nginx)",) if "nginx" in names else ()
    columns = (first, *names, *aims, "ours, µs")
    lines = [_row(*columns), "|---" * len(columns) + "|"]
    for case in comparison.cases:
        base = name_of(comparison.name, case)
        cells = [str(ratios.get(f"{base}_vs_{name}", "-")) for name in names]
        ours = results.of(case.name, comparison.ours.name)
        cost = shown(spread([one.cost for one in ours]).median) if ours else "-"
        aim = (_reach(f"{base}_vs_nginx"),) if aims else ()
        lines.append(_row(base, *cells, *aim, cost))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _reach(name: str) -> str:
    return f"{REACH[name]:g}" if name in REACH else ""


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
