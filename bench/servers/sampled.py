"""``portal-proxy serve``, and beside it a look at where it is, again and again.

``python -m bench.servers.sampled FOLDER PYTHON -m proxy ...``: told by SIGUSR1 it begins, and
SIGUSR2 has it write ``samples.json`` to the folder: how often it was found in which function, and
the CPU seconds of the thread that serves and of the process. It looks by the CPU that it uses (a
timer of setitimer(2)), not by the clock: a busy machine changes nothing.
"""

import json
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from proxy.server import signals

_BETWEEN = 0.001
"""Seconds of CPU between two looks; the kernel's clock may make more of them."""


class Sampler:
    """Counts, by file and function, where the thread that serves is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: Counter[tuple[str, str]] = Counter()

    def begin(self, _number: int, _frame: FrameType | None) -> None:
        self._began = time.thread_time(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _BETWEEN, _BETWEEN)

    def look(self, _number: int, frame: FrameType | None) -> None:
        """Count once more."""
        if frame is not None:
            code = frame.f_code
            self._found[code.co_filename, code.co_qualname] += 1

    def write(self, _number: int, _frame: FrameType | None) -> None:
        """Write what was found, whole at once."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        thread, process = self._began
        text = json.dumps(
            {
                "thread": time.thread_time() - thread,
                "process": time.process_time() - process,
                "found": [[file, name, count] for (file, name), count in self._found.items()],
            }
        )
        part = self._folder / "samples.part"
        part.write_text(text, encoding="utf-8")
        part.rename(self._folder / "samples.json")


def main() -> None:
    """Serve, and be ready to be told."""
    folder, _python, _module, name, *words = sys.argv[1:]
    sampler = Sampler(Path(folder))
    handlers = {
        signal.SIGUSR1: sampler.begin,
        signal.SIGUSR2: sampler.write,
        signal.SIGPROF: sampler.look,
    }
    # The proxy ignores what means nothing to it; here these do mean something.
    ignored = tuple(number for number in signals.IGNORED if number not in handlers)
    vars(signals)["IGNORED"] = ignored
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.argv = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
