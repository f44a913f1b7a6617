"""The table of docs/clients.md, between two marks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue import CLIENTS, Form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .catalogue import Client

PAGE = Path(__file__).resolve().parents[4] / "docs" / "clients.md"
BEGIN, END = "<!-- clients -->", "<!-- end of clients -->"
_HEADS = ("client", *(form.value for form in Form), "tried with")
_PROGRAMS = "../tests/more/apps/callers"


def row_of(client: Client) -> str:
    """Return a row up to what it was tried with."""
    cells = [f"[{client.name}]({_PROGRAMS}/{client.program})"]
    cells += [client.way(form).how for form in Form]
    return f"| {' | '.join(cells)} |"


def version_in(said: str) -> str:
    """Return the version in what a program says of itself, with what it is the version of."""
    found = re.search(r"((Node|Python) )?\d+(\.\d+)+", said)
    assert found, said
    return found[0]


def known() -> dict[str, str]:
    """Return with which version the page says that each client was tried."""
    rows = {row_of(client): client.name for client in CLIENTS}
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        for row, name in rows.items():
            if line.startswith(row):
                found[name] = line.removeprefix(row).strip(" |")
    return found


def write(versions: Mapping[str, str]) -> None:
    """Put the table in its place; a client that wasn't tried keeps its version, if its row does."""
    versions = {**known(), **versions}
    lines = [f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|"]
    lines += [f"{row_of(each)} {versions.get(each.name, 'not tried')} |" for each in CLIENTS]
    between = "\n".join([BEGIN, "", *lines, "", END])
    pattern = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: between, PAGE.read_text("utf-8")), "utf-8")
