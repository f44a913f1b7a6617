"""The app that does wrong (``misdeeds.py``) as the tests hold it: to stop, kill and start again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests.wire.harness.portals import end, environment, reserve_port, wait_for_ports


class FaultyApp:
    """A process on one port; a context manager."""

    def __init__(self) -> None:
        self._holder, self.port = reserve_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.moments = 0
        """How often it was in the middle of something, so far."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._holder.close()

    def start(self) -> Self:
        """Start it, unless it runs, and wait until it listens."""
        if self._process is None:
            command = [sys.executable, str(Path(__file__).with_name("misdeeds.py")), str(self.port)]
            self._process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
            wait_for_ports(self._process, self.port, log=Path("/dev/null"))
        return self

    def signal(self, number: signal.Signals) -> None:
        """Stop it, or let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            end(process, signal.SIGKILL)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for _ in said:
                self.moments += 1
