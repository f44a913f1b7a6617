"""The rows of ``tests/attacks``: what is done to Ada's request, and how it must be refused.

A row holds for signed and for sealed requests. What differs in an envelope stands in its member
``sealed``, null where the attack is none there; ``sealed.json`` has those of envelopes alone.
"""

import json
from pathlib import Path
from typing import Any

from proxy.core.gate import Request
from tests.core.peering import Draft, edited

Row = dict[str, Any]

_FOLDER = Path(__file__).parents[1] / "attacks"
_SEALED_ALONE = "sealed"


def rows(*, sealed: bool) -> list[tuple[str, Row]]:
    """Return the rows that apply in this mode, each with its name."""
    found: list[tuple[str, Row]] = []
    for file in sorted(_FOLDER.glob("*.json")):
        if file.stem == _SEALED_ALONE and not sealed:
            continue
        for row in json.loads(file.read_text("utf-8")):
            differing = row.get("sealed", {}) if sealed else {}
            if differing is not None:
                found.append((f"{file.stem}: {row['attack']}", {**row, **differing}))
    return found


def draft_of(row: Row, **defaults: Any) -> Request:
    """Return the request of a row, or of its twin; ``defaults`` are for the ``Draft``."""
    return edited(Draft(**{**defaults, **row.get("sign", {})}).sign(), row.get("then", []))
