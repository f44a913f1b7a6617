"""What a Portal's process holds at one moment, once what ran is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.http.client.pool import IDLE_SECONDS
from tests.patience import PATIENCE
from tests.wire.harness.raw import exchange, request

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.wire.harness.portals import Portal

MIB = 1 << 20
_QUIET = 2 * IDLE_SECONDS + 1
"""Seconds for which nothing may end any more before it is measured.

A pool looks each ``IDLE_SECONDS`` for what has been idle as long: it keeps for up to twice that.
"""


@dataclass(frozen=True)
class Held:
    """Bytes of memory, resident and of its own; open descriptors; asyncio's tasks."""

    resident: int
    own: int
    descriptors: int
    tasks: int

    def beyond(self, before: Held) -> Held:
        """Return what is held more than ``before``."""
        return Held(
            self.resident - before.resident,
            self.own - before.own,
            self.descriptors - before.descriptors,
            self.tasks - before.tasks,
        )

    def __str__(self) -> str:
        memory = f"{self.resident / MIB:+8.2f} MiB ({self.own / MIB:+7.2f} its own)"
        return f"{memory} {self.descriptors:+4d} descriptors {self.tasks:+4d} tasks"


def held_by(portals: Collection[Portal]) -> dict[str, Held]:
    """Return what each holds, by its name, once requests are over and idle connections closed."""
    _settle(portals)
    return {portal.name: _held(portal) for portal in portals}


def _settle(portals: Collection[Portal]) -> None:
    end, last, since = time.monotonic() + PATIENCE, [(0, 0)], time.monotonic()
    while time.monotonic() < end:
        now = [(_descriptors(portal), _tasks(portal)) for portal in portals]
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > _QUIET:
            return
        time.sleep(0.2)


def _held(portal: Portal) -> Held:
    assert portal._process is not None
    proc = Path(f"/proc/{portal._process.pid}")
    rollup = proc.joinpath("smaps_rollup").read_text("ascii").splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in rollup[1:]}
    own = sizes["Private_Dirty:"] + sizes["Private_Clean:"]
    return Held(sizes["Rss:"], own, _descriptors(portal), _tasks(portal))


def _descriptors(portal: Portal) -> int:
    assert portal._process is not None
    return sum(1 for _ in Path(f"/proc/{portal._process.pid}/fd").iterdir())


def _tasks(portal: Portal) -> int:
    found = exchange(portal.owner, request("GET", "/health", ("Host", "localhost"))).json()
    return int(found["tasks"])
