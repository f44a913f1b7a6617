"""Claims on a replay store, for the tests of it, on a machine whose clocks the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from proxy.core.errors import Code, Refusal
from proxy.state.boot_clock import BootClock
from proxy.state.replay import ReplayStore

NOW = 1_800_000_000
ADA = "a" * 103
NONCE = bytes(32)


@dataclass
class Machine:
    """Two clocks: the wall's, which may be set, and the one that nobody sets."""

    now: float = NOW
    seconds: float = 5000.0
    boot: str = "first"

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.seconds += seconds

    def set_clock(self, by: float) -> None:
        self.now += by

    def start_anew(self, seconds: float = 20) -> None:
        """Go down and come up; the clock on the wall stands as it did."""
        self.boot, self.seconds = f"after {self.boot}", seconds

    def clock(self) -> BootClock:
        return BootClock(self.boot, lambda: self.seconds)


@dataclass
class Process:
    """A process that has the store at ``path`` open."""

    path: Path
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        self.store = ReplayStore(self.path, self.machine.clock())
        self.store.open(self.machine.now)

    def epoch(self) -> bytes:
        """Return the epoch, as a sender is told it."""
        told = self.store.look_again(self.machine.now)
        assert told is not None
        return told.value

    def memory(self) -> int:
        told = self.store.look_again(self.machine.now)
        assert told is not None
        return told.memory

    def claim(self, nonce: bytes = NONCE, epoch: bytes | None = None) -> Code | None:
        """Claim, under the present epoch unless told otherwise; return why it was refused."""
        return self.try_(nonce, epoch or self.epoch())

    def try_(self, nonce: bytes, epoch: bytes | None) -> Code | None:
        """Claim under an epoch, or under none."""
        try:
            self.store.claim(ADA, nonce, epoch, now=self.machine.now)
        except Refusal as refusal:
            return refusal.code
        return None

    def at_once(self, nonce: bytes = NONCE, epoch: bytes | None = None) -> Code | None:
        """Claim as the event loop does; raises ``Later``."""
        try:
            self.store.claim_at_once(ADA, nonce, epoch, now=self.machine.now)
        except Refusal as refusal:
            return refusal.code
        return None

    def keep_alive(self) -> None:
        self.store.keep_alive(self.machine.now)

    def live(self, seconds: int) -> None:
        """Let time pass, and show life each second of it."""
        for _ in range(seconds):
            self.machine.wait(1)
            self.keep_alive()

    def restart(self) -> None:
        self.store.close()
        self.__post_init__()

    def close(self) -> None:
        self.store.close()

    def rows(self) -> int:
        with self.store._waiting.use(1) as db:
            count: int = db.execute("SELECT count(*) FROM claim").fetchone()[0]
        return count
