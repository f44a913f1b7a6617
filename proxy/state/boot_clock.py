"""A clock that nobody sets: the seconds since the machine was started, and which start that was.

It runs on while the machine sleeps, and no clock on the wall that is set moves it.
"""

import time
from collections.abc import Callable
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _seconds() -> float:
    """Return the seconds since the start; where the system can't tell, less what it slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class BootClock:
    """The seconds since this start of the machine."""

    def __init__(self, boot: str | None = None, seconds: Callable[[], float] = _seconds) -> None:
        self.boot = _boot_id() if boot is None else boot
        """Which start it was; "" where the system can't tell one from another."""
        self.seconds = seconds


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
