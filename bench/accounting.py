"""What the operating system has on the books for a process and its children.

The CPU clock of a process (clock_getcpuclockid(3)) is user and system time of all its threads, in
nanoseconds. /proc/PID/stat has the same sum in steps of 10 ms, too coarse for a turn of nginx.
"""

import time
from pathlib import Path

_PROC = Path("/proc")
_SCHEDULER_CLOCK = 2
"""CPUCLOCK_SCHED in the kernel's include/linux/posix-timers.h."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that ``pid`` and its living children have used; raises ``OSError``."""
    return sum(time.clock_gettime((~one << 3) | _SCHEDULER_CLOCK) for one in family(pid))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of ``pid`` and its living children; raises ``OSError``."""
    return sum(resident_in(_read(one, "status")) for one in family(pid))


def family(pid: int) -> tuple[int, ...]:
    """Return ``pid`` and the children of its main thread (nginx's workers)."""
    return (pid, *map(int, _read(pid, f"task/{pid}/children").split()))


def resident_in(status: str) -> int:
    """Return the bytes that the text of /proc/PID/status calls resident (VmRSS)."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            number, unit = value.split()
            if unit != "kB":
                raise ValueError(f"VmRSS in {unit}")
            return int(number) * 1024
    raise ValueError("no VmRSS: not a process that has memory")


def _read(pid: int, name: str) -> str:
    return (_PROC / str(pid) / name).read_text("ascii", "replace")
