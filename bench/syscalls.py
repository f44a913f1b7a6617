"""System calls a request, counted by strace in the serving thread, on connections that are kept.

Less ``getpid``, which asyncio asks for at each callback on CPython 3.11 and no later one does.
"""

import shutil
import signal
import subprocess

from bench.crew import Crew
from bench.load import Wire, Wrong, connect, exchange
from bench.subjects import Apps, Start
from bench.work import GET

_ATTACHED = 10.0
_UNCOUNTED = "getpid"


def calls_per_request(start: Start, crew: Crew, apps: Apps, seconds: float) -> float:
    """Return how many the subject's process makes; raises ``Wrong`` and ``NotStarted``."""
    strace = shutil.which("strace")
    if strace is None:
        raise Wrong("there is no strace here, to count system calls with")
    running = start(crew, apps)
    wires: list[Wire] = []
    try:
        endpoint = running.pages
        count = 2 * GET.connections + int(seconds * 4000)
        requests = endpoint.requests(GET, count)
        connect(endpoint, GET, wires, GET.connections, requests)
        counts = crew.new_folder("strace") / "counts"
        pid = running.measured[0].process.pid
        line = [strace, "-c", "-o", str(counts), "-p", str(pid)]
        with subprocess.Popen(line, stderr=subprocess.PIPE) as counting:  # noqa: S603 - found on the path
            assert counting.stderr is not None  # noqa: S101 - a pipe was asked for
            said = counting.stderr.readline().decode("utf-8", "replace")
            if "attached" not in said:
                raise Wrong(f"strace can't count here: {said.strip()}")
            took = exchange(wires, seconds)
            counting.send_signal(signal.SIGINT)
            counting.wait(_ATTACHED)
        return counted(counts.read_text("ascii")) / len(took)
    finally:
        for wire in wires:
            wire.close()
        running.end(crew)


def counted(table: str) -> int:
    """Return the calls in a table of ``strace -c``, less those that aren't counted."""
    calls = 0
    for line in table.splitlines():
        cells = line.split()
        if len(cells) >= _CELLS and cells[3].isdigit() and cells[-1] not in ("total", _UNCOUNTED):
            calls += int(cells[3])
    return calls


_CELLS = 5
