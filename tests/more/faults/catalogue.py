"""All faults, by the part of the machine that they are in."""

from __future__ import annotations

from . import clients, disks, kills, lists, machine, tls, upstreams, workers
from .fault import Fault

GROUPS: dict[str, tuple[Fault, ...]] = {
    "Processes": kills.FAULTS + workers.FAULTS,
    "Clients": clients.FAULTS,
    "Apps, peers and names": upstreams.FAULTS,
    "Files": lists.FAULTS,
    "Disks, descriptors and the log": disks.FAULTS + machine.FAULTS,
    "TLS": tls.FAULTS,
}
FAULTS = [fault for group in GROUPS.values() for fault in group]
