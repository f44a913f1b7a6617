"""The rows of ``tests/attacks/forwarding``: what a client sends about its way, and what is told.

``from`` is the client's address: 127.0.0.1 is believed by nobody, 127.0.0.2 is (``TRUSTED``).
``told`` is what the app must be told instead, where it isn't what it is told of everybody: ``for``
is the chain, which isn't told in ``X-Forwarded-For`` where any of it is unknown. What stands in no
other place is ``kept`` as it came, but for its name's case.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRUSTED = ("127.0.0.2", "10.0.0.0/8", "2001:db8:1::/48")
ALIAS = "alias.example"
FORGED = (b"6.6.6.6", b"7.7.7.7", b"evil")

_FILE = Path(__file__).parents[2] / "attacks" / "forwarding" / "fields.json"
_NAMES = {
    "for": "x-forwarded-for",
    "proto": "x-forwarded-proto",
    "host": "x-forwarded-host",
    "forwarded": "forwarded",
    "id": "x-request-id",
}


@dataclass(frozen=True)
class Case:
    """One attack, or its twin."""

    name: str
    came_from: str
    lines: tuple[bytes, ...]
    kept: tuple[bytes, ...]
    """Field lines that must arrive, names in lower case."""
    _told: dict[str, str]

    def told(self, host: str) -> dict[str, bytes]:
        """Return what the app must be told, by field; no request ID where it is ours to make."""
        scheme, asked = self._told.get("proto", "http"), self._told.get("host", host)
        chain = self._told.get("for", self.came_from)
        by_default = {
            "for": chain,
            "proto": scheme,
            "host": asked,
            "forwarded": _forwarded(chain.split(", "), asked, scheme),
        }
        found = {**by_default, **self._told}
        if "unknown" in chain:
            del found["for"]
        return {
            _NAMES[name]: value.replace("{host}", host).encode() for name, value in found.items()
        }


def cases(*, portal: str, host: str) -> tuple[list[Case], list[Case]]:
    """Return the attacks, and their twins; in them are named the Portal's host and its app's."""

    def made(name: str, row: dict[str, Any], twin: bool) -> Case:  # noqa: FBT001
        lines = tuple(
            line.replace("{portal}", portal).replace("{host}", host).encode("latin-1")
            for line in row["send"]
        )
        came = tuple(b":".join((n.lower(), v)) for n, _, v in (x.partition(b":") for x in lines))
        kept = tuple(line.encode() for line in row["kept"]) if "kept" in row else came
        return Case(
            name, row.get("from", "127.0.0.1"), lines, kept if twin else (), row.get("told", {})
        )

    rows = json.loads(_FILE.read_text("utf-8"))
    twins = [{"from": row.get("from", "127.0.0.1"), **row["twin"]} for row in rows]
    return (
        [made(row["attack"], row, twin=False) for row in rows],
        [made(row["attack"], twin, twin=True) for row, twin in zip(rows, twins, strict=True)],
    )


def _forwarded(chain: list[str], host: str, scheme: str) -> str:
    first, *further = (f'for="[{hop}]"' if ":" in hop else f"for={hop}" for hop in chain)
    return ", ".join([f'{first};host="{host}";proto={scheme}', *further])
