"""Instructions a request, counted by valgrind: nearly the same on an idle machine and a busy one.

What the program does itself is counted, in all its threads, and nothing of the kernel's. It sees a
machine without the newest instructions, so cryptography takes more of them than else.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.crew import Crew, NotStarted
from bench.figures import Spread, spread
from bench.load import Wire, Wrong, connect, exchange
from bench.subjects import Apps, Start
from bench.work import GET

ROW = "kilo_instructions_{}"
_WARM, _COUNTED = 4, 16
"""Times that each connection asks, before anything is counted and meanwhile."""
_IDLE = 3.0
"""Seconds without a request."""
_PATIENCE = 120.0
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)


def measure_instructions(
    starts: Mapping[str, Start], crew: Crew, apps: Apps, say: Callable[[str, str], None]
) -> dict[str, Spread]:
    """Return thousands of instructions for a small request, by row.

    ``say`` is told which row has no figure, and why. Raises ``Wrong`` where nothing can be counted.
    """
    valgrind, control = shutil.which("valgrind"), shutil.which("callgrind_control")
    if valgrind is None or control is None:
        raise Wrong("there is no valgrind here, to count instructions with")
    found = {}
    for name, start in starts.items():
        counts = crew.new_folder("valgrind")
        line = (
            valgrind, "--tool=callgrind", "--instr-atstart=no", "--quiet",
            f"--callgrind-out-file={counts}/%p",
        )  # fmt: skip
        try:
            with crew.under(line):
                figure = _per_request(start, crew, apps, control, counts)
        except (NotStarted, Wrong) as error:
            say(ROW.format(name), str(error))
        else:
            found[ROW.format(name)] = spread([figure / 1000])
    return found


def _per_request(start: Start, crew: Crew, apps: Apps, control: str, counts: Path) -> float:
    """Return how many instructions a subject takes; raises ``NotStarted`` and ``Wrong``.

    What it does now and then, asked or not, is counted while it idles, and taken off.
    """
    running = start(crew, apps)
    wires: list[Wire] = []
    pid = running.measured[0].process.pid
    try:
        count = (2 + _WARM + _COUNTED) * GET.connections
        requests = running.pages.requests(GET, count)
        connect(running.pages, GET, wires, GET.connections, requests)
        for _ in range(_WARM):
            exchange(wires, 0.0)
        _control(control, "--instr=on", pid)
        began = time.monotonic()
        answered = sum(len(exchange(wires, 0.0)) for _ in range(_COUNTED))
        _control(control, "--dump", pid)
        took = time.monotonic() - began
        time.sleep(_IDLE)
        _control(control, "--dump", pid)
        idle = (time.monotonic() - began - took) / took
        busy, idling = (_total(counts / f"{pid}.{number}") for number in (1, 2))
        return (busy - idling / idle) / answered
    finally:
        for wire in wires:
            wire.close()
        running.end(crew)


def _total(dump: Path) -> int:
    """Return the instructions in a dump of valgrind's; raises ``Wrong``."""
    try:
        found = _TOTALS.search(dump.read_text("utf-8", "replace"))
    except OSError:
        found = None
    if found is None:
        raise Wrong("valgrind wrote no counts")
    return int(found[1])


def _control(program: str, word: str, pid: int) -> None:
    """Tell the valgrind of a process to do something, and wait until it did; raises ``Wrong``."""
    try:
        subprocess.run(  # noqa: S603 - found on the path
            [program, word, str(pid)], capture_output=True, check=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Wrong(f"valgrind can't be told {word}: {error}") from None
