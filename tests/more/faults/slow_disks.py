"""Disks on which each sync takes long: a library that is preloaded makes them so."""

from __future__ import annotations

import json
from pathlib import Path

from tests.patience import soon
from tests.wire.harness.recorder import eventually
from tests.wire.harness.slow_disk import Probe, library
from tests.wire.harness.terminals import pair

from .fault import Fault, Seen
from .load import Load
from .stage import FINE, Placed, on_stage

_SYNC = 1.5
"""Seconds."""


def _slow_syncs(folder: Path, rounds: int, seen: Seen) -> None:
    slow, report = folder / "slow", folder / "report"
    report.touch()
    with on_stage(folder) as stage:
        for portal in stage.portals:
            portal.more |= {
                "LD_PRELOAD": str(library()), "SLOW_DISK": str(slow), "SLOW_REPORT": str(report),
            }  # fmt: skip
            portal.start()
        stage.recovers()
        longest = 0.0
        for _ in range(rounds):
            slow.write_text(str(int(_SYNC * 1000)), "ascii")
            with Load(stage).at_work() as load, Probe(stage.bob) as probe:
                load.wait_for_all(3)
                _write_state(stage.bob)
                load.wait_for_all(3)
                load.replay()
            load.judge(seen)
            longest = max(longest, probe.longest)
            slow.unlink()
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1
        syncs = [json.loads(line) for line in report.read_text("ascii").splitlines()]
        waited = sum(sync["main"] for sync in syncs)
        seen.counts["syncs by threads of their own"] += len(syncs) - waited
        seen.expect(not waited, f"{waited} syncs in the event loop")
        seen.expect(longest < soon(1), "a request of a stranger's waited for more than a second")


def _write_state(portal: Placed) -> None:
    """Have what is written while a proxy runs written: keys, devices, contacts."""
    for key in (portal.state / "sealing").glob("*.key"):
        key.unlink()
    pair(portal)
    assert portal.command("apps", "allow", "open", "none").returncode == 0
    eventually(lambda: list((portal.state / "sealing").glob("*.key")))


FAULTS = (
    Fault(
        "A disk on which each sync takes 1.5 s",
        "For three Portals under load; meanwhile sealing keys are made, a device is paired and "
        "the contact list changed",
        "Requests and calls go on: nothing that serves them waits for a sync. What has to be on "
        "the disk (a new key, a device) takes as long as the disk",
        "Nothing",
        _slow_syncs,
        needs=("cc",),
    ),
)
