"""What a small request's CPU goes into, by kinds of functions: sampled while the hop serves."""

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import portals
from bench.crew import Crew
from bench.figures import shown
from bench.load import PATIENCE, Wrong, measure
from bench.subjects import Apps, Start
from bench.work import GET

_SECONDS = 6.0
_WARM = 0.5
_LOOK = 0.05
_HOPS: Mapping[str, Start] = {
    "public hop": portals.public_hop,
    "signing hop": portals.signing_hop,
    "verifying hop": portals.verifying_hop,
}
_KINDS = (
    ("asyncio: waits for events", "/selectors.py", ""),
    ("asyncio: receives", "/asyncio/", "_read_ready"),
    ("asyncio: sends", "/asyncio/", ".write"),
    ("asyncio: the loop, callbacks", "/asyncio/", ""),
    ("asyncio: the loop, callbacks", "/contextvars", ""),
    ("HTTP: heads and bodies are read", "/proxy/core/http1/", ""),
    ("HTTP: fields and addresses", "/proxy/core/http/", ""),
    ("HTTP: our connections to clients", "/proxy/http/server/", ""),
    ("HTTP: our connections to servers", "/proxy/http/client/", ""),
    ("HTTP: our connections, both", "/proxy/http/", ""),
    ("decides: host, rules, fields for the app", "/proxy/core/access/", ""),
    ("decides: host, rules, fields for the app", "/proxy/core/app_fields", ""),
    ("decides: host, rules, fields for the app", "/proxy/core/gate", ""),
    ("the log line", "/proxy/core/log_line", ""),
    ("the log line", "/proxy/log", ""),
    ("the log line", "/logging/", ""),
    ("signatures, and keys", "/proxy/core/signature/", ""),
    ("signatures, and keys", "/proxy/core/identity", ""),
    ("signatures, and keys", "/nacl/", ""),
    ("nonces, contacts and other state", "/proxy/state/", ""),
    ("the relay: inbound", "/proxy/inbound/", ""),
    ("the relay: outbound", "/proxy/outbound/", ""),
    ("the relay: both", "/proxy/transfer/", ""),
    ("other code of ours", "/proxy/", ""),
    ("methods that dataclasses made", "<string>", ""),
)
"""A kind of function, part of its file's path, and of its name: the first that fits."""
_REST = "other libraries"
_OTHER_THREADS = "other threads"


def measure_parts(crew: Crew, apps: Apps, seconds: float = _SECONDS) -> str:
    """Return a table of microseconds a request; raises ``NotStarted`` and ``Wrong``."""
    bills = {name: _bill(start, crew, apps, seconds) for name, start in _HOPS.items()}
    rows = dict.fromkeys(kind for kind, *_ in _KINDS) | dict.fromkeys((_REST, _OTHER_THREADS))
    cells = {row: [bill.get(row, 0.0) for bill in bills.values()] for row in rows}
    lines = [f"| CPU a request, µs, on 32 connections | {' | '.join(bills)} |"]
    lines.append("|---" * (1 + len(bills)) + "|")
    sums = [sum(bill.values()) for bill in bills.values()]
    lines += [_row(row, costs, sums) for row, costs in cells.items() if any(costs)]
    lines.append(_row("all of it", sums, sums))
    return "\n".join(lines)


def kind_of(file: str, name: str) -> str:
    """Return what kind of function that is."""
    for kind, where, called in _KINDS:
        if where in file and called in name:
            return kind
    return _REST


def shares(
    found: Iterable[tuple[str, str, int]], thread: float, process: float
) -> dict[str, float]:
    """Return the share of each kind in a process's CPU, of which ``thread`` was the serving one's.

    Raises ``Wrong`` where nothing was found.
    """
    counts: Counter[str] = Counter()
    for file, name, count in found:
        counts[kind_of(file, name)] += count
    if not counts or not process:
        raise Wrong("it was never looked at")
    serving = min(thread / process, 1.0)
    parts = {kind: count / counts.total() * serving for kind, count in counts.items()}
    return parts | {_OTHER_THREADS: 1.0 - serving}


def _bill(start: Start, crew: Crew, apps: Apps, seconds: float) -> dict[str, float]:
    """Return the microseconds of each kind in a request."""
    folder = crew.new_folder("samples")
    with crew.under((sys.executable, "-m", "bench.servers.sampled", str(folder))):
        running = start(crew, apps)
    try:
        measure(running.pages, GET, _WARM, running.cpu_seconds)
        pid = running.measured[0].process.pid
        os.kill(pid, signal.SIGUSR1)
        cost = measure(running.pages, GET, seconds, running.cpu_seconds).cost
        os.kill(pid, signal.SIGUSR2)
        samples = _read(folder / "samples.json")
    except OSError as error:
        raise Wrong(f"{error}; its log: {running.last_words}") from None
    finally:
        running.end(crew)
    parts = shares(samples["found"], samples["thread"], samples["process"])
    return {kind: share * cost for kind, share in parts.items()}


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise Wrong("it wrote no samples")
        time.sleep(_LOOK)
    return json.loads(path.read_text("utf-8"))


def _row(name: str, costs: Iterable[float], sums: Iterable[float]) -> str:
    cells = (
        f"{shown(one)} ({one / all_of_it:.0%})" for one, all_of_it in zip(costs, sums, strict=True)
    )
    return f"| {name} | {' | '.join(cells)} |"
