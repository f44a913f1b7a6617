"""All faults, by the part of the machine that they are in."""

from __future__ import annotations

from . import clients, clocks, disks, kills, lists, machine, slow_disks, tls, upstreams, workers
from .fault import Fault

GROUPS: dict[str, tuple[Fault, ...]] = {
    "Processes": kills.FAULTS + workers.FAULTS,
    "Clients": clients.FAULTS,
    "Apps, peers and names": upstreams.FAULTS,
    "Files": lists.FAULTS,
    "Disks, descriptors and the log": disks.FAULTS + slow_disks.FAULTS + machine.FAULTS,
    "TLS": tls.FAULTS,
    "Clocks": clocks.FAULTS,
}
FAULTS = [fault for group in GROUPS.values() for fault in group]
