"""docs/operating.md tells the limits and times that the code has."""

import re
from pathlib import Path

import pytest

from proxy.app import TICK
from proxy.body import HOLD_LIMIT, MEMORY
from proxy.core.http1.body import MAX_TRAILERS
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD
from proxy.core.target import MAX_PATH
from proxy.hop import connection, pool
from proxy.hop.limits import Limits
from proxy.server import GRACE
from proxy.upstream import Timeouts

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_KIB, _MIB = 1024, 1024 * 1024
_LIMITS = Limits()
_TIMES = Timeouts()

_PACE = f"{_LIMITS.rate} bytes a second in each stretch of {_LIMITS.window:g} s"

_SHOWN = {
    "head of a request": f"{MAX_HEAD // _KIB} KiB, in {_LIMITS.head:g} s",
    "fields, and trailer": f"{MAX_FIELDS} each; trailers {MAX_TRAILERS // _KIB} KiB",
    "path": f"{MAX_PATH} bytes",
    "between two requests": f"{_LIMITS.idle:g} s",
    "a body that comes in": _PACE,
    "the rest of a refused": f"{_LIMITS.unread // _KIB} KiB and {_LIMITS.linger:g} s",
    "a body that is signed": f"{HOLD_LIMIT // _MIB} MiB each, held; above {MEMORY // _KIB} KiB",
    "a body on a public path": f"{_LIMITS.buffered // _KIB} KiB held",
    "connecting to an app": f"{_TIMES.connect:g} s",
    "an app or a peer that sends": f"{_TIMES.read:g} s",
    "an answer from an app": f"{connection.HIGH // _KIB} KiB held",
    "an idle connection": f"{pool.IDLE_SECONDS:g} s, {pool.IDLE_CONNECTIONS} for each",
    "running requests when": f"{GRACE} s",
}


def _rows() -> list[str]:
    page = (_DOCS / "operating.md").read_text("utf-8")
    section = page.split("\n## Limits and times\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| (.+) \|$", section, re.MULTILINE)


@pytest.mark.parametrize("what", _SHOWN)
def test_the_guide_for_owners_has_each_limit_as_it_is(what: str) -> None:
    [row] = [row for row in _rows() if row.startswith(what)]
    assert _SHOWN[what] in row


def test_the_map_tells_how_often_files_are_looked_at() -> None:
    assert f"every {TICK:g} s" in (_DOCS / "architecture.md").read_text("utf-8")


def test_sending_and_waiting_have_one_limit_as_the_guide_says() -> None:
    assert _TIMES.read == _TIMES.write
