"""``make soak MINUTES=n``: each kind of load alone, then all at once; shows what grew."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from tests.more.soak.load import Load, kinds
from tests.more.soak.measures import MIB, Held, held_by
from tests.more.soak.stage import Stage

WARM = 0.25
"""The share of the time in which memory may grow as it likes: buffers, pools, caches, heaps."""
MOST = 8 * MIB
"""Bytes that a process may hold more after it than before, whatever it had to do."""
MOST_EACH = 20
"""And for each request: what a leak of one small object each costs is more than twice that."""


SPARE = 4
"""Descriptors and tasks that may be more: a step of the follower is at it just now."""


FAILING = 0.02
"""The share of requests that may not be answered as they are due."""


def main() -> int:
    """Run it; returns 1 where something grew, or a request wasn't answered as it is due."""
    parser = argparse.ArgumentParser(prog="soak", description="Memory under a long mixed load.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", help="these kinds of load alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        wrong = soak(stage, options.minutes * 60, options.only)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def soak(stage: Stage, seconds: float, only: Collection[str] | None = None) -> list[str]:
    """Run the load for so long and show what grew; return what is wrong with that."""
    load = Load(stage)
    names = list(only or kinds(stage))
    rest = seconds * (1 - WARM)
    load.run(names, seconds * WARM)
    start = before = held_by(stage.portals)
    asked = 0
    _show("warm-up", load.done.total(), {name: start[name].beyond(_NOTHING) for name in start})
    for name in names:
        count = load.run([name], rest / 2 / len(names))
        now = held_by(stage.portals)
        _show(name, count, {each: now[each].beyond(before[each]) for each in now})
        before, asked = now, asked + count
    count = load.run(names, rest / 2)
    end = held_by(stage.portals)
    _show("all at once", count, {each: end[each].beyond(before[each]) for each in end})
    asked += count
    grown = {each: end[each].beyond(start[each]) for each in end}
    _show("in all", asked, grown)
    bound = MOST + MOST_EACH * asked
    grew = [
        f"{each} grew: {held}; {bound / MIB:.1f} MiB, {SPARE} descriptors and tasks are borne"
        for each, held in grown.items()
        if held.resident > bound or held.descriptors > SPARE or held.tasks > SPARE
    ]
    # On a busy machine the replay store may be silent for 5 s, and then refuses what was signed.
    return grew + (load.failures[:20] if len(load.failures) > asked * FAILING else [])


_NOTHING = Held(0, 0, 0, 0)


def _show(what: str, requests: int, held: dict[str, Held]) -> None:
    for name, each in held.items():
        print(f"{what:12} {requests:8d} requests  {name}: {each}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
