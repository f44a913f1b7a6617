"""A Portal in trouble: with a clock that is set while it runs, or a resolver of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from tests.wire.harness.portals import Portal, environment, wait_for_ports


class Troubled(Portal):
    """A Portal whose log doesn't need the disk, so that it can be read when that is full."""

    _launcher = "-m", "proxy"

    def __post_init__(self) -> None:
        self._said = b""
        super().__post_init__()

    def launch(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.command_line("serve", config=config), env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        self.log_file.touch()
        threading.Thread(target=self._keep_log, args=(process.stdout,), daemon=True).start()
        return process

    @property
    def log(self) -> str:
        return self._said.decode("utf-8", "backslashreplace")

    def begin(self) -> None:
        """Start the proxy; ``wait`` for it."""
        self._process = self.launch()

    def wait(self) -> None:
        """Wait until each listener takes connections."""
        assert self._process is not None
        wait_for_ports(self._process, self.public, self.apps, self.owner, log=self.log_file)

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        return [sys.executable, *self._launcher, "--config", str(config or self.config), *words]

    def _keep_log(self, said: IO[bytes]) -> None:
        with said:
            for line in said:
                self._said += line


class Drifting(Troubled):
    """A Portal whose clock is right until it is set."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._ahead = 0.0
        self._clock = self.folder / "clock"
        self._clock.touch()
        self._launcher = str(Path(__file__).with_name("shifted.py")), str(self._clock)
        self.set_clock(0)
        super().__post_init__()

    def set_clock(self, ahead: float) -> None:
        """Set the clock to so many seconds ahead of the right time."""
        self._ahead = ahead
        with self._clock.open("r+b", buffering=0) as file:
            file.write(b"%020.1f" % ahead)  # in its place: there may be no room for another file

    def now(self) -> float:
        """Return the time by that clock."""
        return time.time() + self._ahead


class Resolving(Troubled):
    """A Portal with a resolver of its own."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._names = self.folder / "names"
        self._launcher = str(Path(__file__).with_name("resolving.py")), str(self._names)
        self.set_names()
        super().__post_init__()

    def set_names(self, **names: str) -> None:
        """Say where each name leads: an address, or ``silence``. The others are unknown."""
        new = self._names.with_suffix(".new")
        new.write_text("".join(f"{name} {address}\n" for name, address in names.items()), "ascii")
        new.replace(self._names)
