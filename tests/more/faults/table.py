"""The tables of docs/reliability.md, between two marks, and the rows that they have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue import FAULTS, GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fault import Fault, Seen

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"
_HEAD = (
    "| fault | what the proxy does | what its owner sees | rounds | seen |\n|---|---|---|---|---|"
)
_NOT_RUN = "not run"


def expected(fault: Fault) -> str:
    """Return a row up to what was seen."""
    return f"| **{fault.name}.** {fault.made} | {fault.proxy} | {fault.owner} |"


def result(fault: Fault, seen: Seen) -> str:
    """Return the rest of the row."""
    del fault
    if seen.otherwise:
        said = "; ".join(f"{what} ({times})" for what, times in seen.otherwise.items())
        text = f"**otherwise**: {said}"
    else:
        text = "as expected"
        if seen.counts:
            text += ": " + ", ".join(f"{number:,} {what}" for what, number in seen.counts.items())
    return f" {seen.rounds} | {text.replace('|', '/')} |"


def known() -> dict[str, str]:
    """Return what the page has for each fault, by the beginning of its row."""
    text = PAGE.read_text("utf-8")
    rows = {expected(fault): fault.name for fault in FAULTS}
    found = {}
    for line in text.splitlines():
        for row, name in rows.items():
            if line.startswith(row):
                found[name] = line.removeprefix(row)
    return found


def write(results: Mapping[str, str]) -> None:
    """Put the tables in their place; what wasn't run keeps its result, if its row is the same."""
    results = {**known(), **results}
    parts = []
    for title, faults in GROUPS.items():
        rows = [expected(f) + results.get(f.name, f" 0 | {_NOT_RUN} |") for f in faults]
        parts.append("\n".join([f"### {title}", "", _HEAD, *rows]))
    text = PAGE.read_text("utf-8")
    between = f"{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}"
    pattern = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: between, text), "utf-8")
