"""What is to be reached, by the name of a ratio, and the names of what isn't in a comparison."""

import sys
from dataclasses import dataclass

from bench.figures import shown
from bench.mixed import GROWTH
from bench.start import CPU_TO_READY, HEALTH, RESIDENT
from bench.tails import TAILS, THRONG

IDLE = "mb_per_1000_idle"
UPLOAD = "mb_per_sealed_64mib_upload"
WEBSOCKETS = "mb_per_1000_websockets"
MESSAGE = "websocket_message_vs_nginx"
SYSCALLS = ("syscalls_public_hop", "syscalls_verifying_hop")
_NEW = (3, 14)
_IS_NEW = sys.version_info >= _NEW


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach: at most, where nothing else is said."""

    of: str
    """The part of the run that measures it."""
    most: float
    on_new: float | None = None
    """On CPython 3.14 and later, where that is another figure."""
    stretch: float | None = None
    """What would be better still."""
    at_least: bool = False

    @property
    def reach(self) -> float:
        """What is to be reached on the Python that runs."""
        return self.most if self.on_new is None or not _IS_NEW else self.on_new

    def times(self, figure: float) -> float:
        """Return how far ``figure`` is beyond the goal: up to 1 it is reached."""
        return self.reach / figure if self.at_least else figure / self.reach

    def __str__(self) -> str:
        said = f"{'at least ' if self.at_least else ''}{self.reach:.3g}"
        if self.on_new is not None:
            other, version = (self.most, "3.11") if _IS_NEW else (self.on_new, "3.14")
            said += f" ({other:.3g} on {version})"
        return f"{said}; stretch {shown(self.stretch)}" if self.stretch is not None else said


GOALS = {
    "public_hop_vs_nginx": Goal("hop", 5.5, on_new=4.5),
    "public_hop_vs_asgiproxy": Goal("hop", 0.6, on_new=0.55),
    "public_hop_c512_vs_nginx": Goal("hop", 5.5),
    "signing_hop_vs_nginx": Goal("calls", 15, stretch=11),
    "signing_hop_vs_asgiproxy": Goal("calls", 1.8, stretch=1.3),
    "verifying_hop_vs_nginx": Goal("calls", 16, stretch=12),
    "verifying_hop_vs_asgiproxy": Goal("calls", 2.0, stretch=1.5),
    "two_hops_signed_vs_freeshard": Goal("calls", 0.065, stretch=0.05),
    "sealed_call_vs_baseline": Goal("baseline", 0.7, stretch=0.6),
    **{f"p99_{name}_vs_baseline": Goal("tails", 1) for name in TAILS},
    **{f"p99_over_p50_{name}": Goal("tails", 3) for name in TAILS},
    THRONG: Goal("throng", 0.7, at_least=True),
    GROWTH: Goal("mixed", 1),
    "sealed_vs_signed": Goal("calls", 1.5),
    "down_64mib_vs_nginx_64k": Goal("hop", 1.0),
    "up_64mib_vs_nginx_64k": Goal("hop", 1.15),
    "down_1mib_vs_nginx_64k": Goal("hop", 1.3),
    "up_1mib_vs_nginx_64k": Goal("hop", 1.3),
    "sealed_64mib_vs_nginx_64k": Goal("streams", 2.0),
    "p50_public_hop_vs_nginx": Goal("hop", 1.6),
    "p50_signing_hop_vs_nginx": Goal("calls", 3),
    IDLE: Goal("memory", 2.8),
    WEBSOCKETS: Goal("memory", 12),
    UPLOAD: Goal("memory", 1),
    CPU_TO_READY: Goal("start", 0.7),
    RESIDENT: Goal("start", 50),
    HEALTH: Goal("start", 3),
    "syscalls_public_hop": Goal("syscalls", 6),
    "syscalls_verifying_hop": Goal("syscalls", 14),
}
