"""A fault as a row: how it is made, what is expected, and what was seen of it."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LIBFAKETIME = next(
    (path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), Path("/none")
)


@dataclass
class Seen:
    """What a run saw: how often it was made, what was counted, and what wasn't as expected."""

    rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    otherwise: Counter[str] = field(default_factory=Counter)

    def expect(self, fact: object, otherwise: str) -> None:
        """Note ``otherwise`` unless ``fact`` holds."""
        if not fact:
            self.otherwise[otherwise] += 1

    def equal(self, got: object, expected: object, what: str) -> None:
        """Note what was got unless it is what was expected."""
        self.expect(got == expected, f"{what}: {got}")


@dataclass(frozen=True)
class Fault:
    """One row. ``run`` gets an empty folder, how often to do it, and where to note what it saw."""

    name: str
    made: str
    """How it is made, for a person."""
    proxy: str
    """What the proxy does."""
    owner: str
    """What its owner sees of it."""
    run: Callable[[Path, int, Seen], None]
    rounds: int = 3
    """How often ``make faults`` does it."""
    in_tests: int = 1
    """How often ``make test-more`` does it."""
    needs: tuple[str, ...] = ()
    """What this machine must have: ``root``, ``libfaketime``, or a command."""

    is_open: bool = False
    """It isn't as expected yet: the table says so, and no test fails for it."""

    @property
    def missing(self) -> str:
        """What this machine lacks for it; "" where nothing."""
        return ", ".join(need for need in self.needs if not _is_here(need))

    def see(self, rounds: int) -> Seen:
        """Make it; return what was seen."""
        seen = Seen()
        with tempfile.TemporaryDirectory(prefix="fault") as folder:
            try:
                self.run(Path(folder), rounds, seen)
            except Exception as error:  # noqa: BLE001 - it is what was seen
                traceback.print_exc()
                said = " ".join(str(error).split())[:200]
                seen.otherwise[f"{type(error).__name__}: {said}"] += 1
        return seen


def _is_here(need: str) -> bool:
    if need == "root":
        return os.geteuid() == 0
    if need == "libfaketime":
        return LIBFAKETIME.exists()
    return shutil.which(need) is not None
