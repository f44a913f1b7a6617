"""What a Portal costs before anybody asks it anything: its start, its memory, a look at its health.

It is one as ``init`` makes it, and as most are: no apps yet, no TLS of its own.
"""

import http.client
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import portal
from bench.accounting import cpu_seconds, family, resident_bytes
from bench.crew import ROOT, Crew, Member, NotStarted, environment
from bench.endpoint import LOOPBACK
from bench.figures import Spread, spread
from bench.load import PATIENCE, Wrong

CPU_TO_READY = "cpu_seconds_to_ready"
RESIDENT = "mb_idle_portal"
HEALTH = "health_vs_python_pass"
_TWO_WORKERS = "mb_idle_portal_two_workers"
_MEGABYTE = 1e6
_LOOK = 0.01
_IDLE = 4.0
"""Seconds after which it has looked at its files several times."""
_COMMANDS = 10
"""In a row: one alone takes too little to be told."""
_STAGES = (
    ("Python itself", ""),
    (
        "of its library: asyncio, OpenSSL, SQLite, e-mail, and what those need",
        (
            "import asyncio, concurrent.futures.thread, ctypes, decimal, difflib, email.parser,"
            " http.client, http.cookies, importlib.metadata, ipaddress, json, logging, mmap,"
            " sqlite3, ssl, subprocess, tempfile"
        ),
    ),
    (
        "cryptography; PyNaCl with libsodium",
        (
            "import cryptography.hazmat.primitives.asymmetric.ed25519, nacl.bindings,"
            " cryptography.hazmat.primitives.ciphers.aead,"
            " cryptography.hazmat.primitives.serialization"
        ),
    ),
    ("pydantic", "import pydantic; pydantic.BaseModel, pydantic.PlainValidator"),
    ("PyYAML, http-sf", "import yaml, http_sf"),
    ("typer", "import typer"),
    ("starlette, with anyio", "import starlette.applications, starlette.routing"),
    ("uvicorn, with click", "import uvicorn"),
    (
        "the proxy's own modules and schemas",
        "import proxy.server.run, proxy.cli.root; proxy.cli.root.with_commands(['serve'])",
    ),
)
"""What is imported, each beside what it adds to all before."""
_LOOKING = """
import json, sys, time
found = []
for stage in json.loads(sys.argv[1]):
    exec(stage)
    with open("/proc/self/smaps_rollup") as file:
        sizes = dict(line.split()[:2] for line in file)
    found.append([int(sizes["Rss:"]) * 1024, int(sizes["Anonymous:"]) * 1024, time.process_time()])
print(json.dumps(found))
"""


def measure_start(crew: Crew, rounds: int) -> dict[str, Spread]:
    """Return the CPU of a start, the memory of an idle Portal, and the CPU of ``health``.

    Raises ``NotStarted`` and ``Wrong``.
    """
    one = portal.make(crew, "idle")
    crew.end(_ready(crew, one)[0])  # what Python compiles, it compiles once
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        member, cpu = _ready(crew, one)
        resident = resident_bytes(member.process.pid)
        health = [sys.executable, "-m", "proxy", "--config", str(one.folder / "config"), "health"]
        ratio = _cpu_of(health) / _cpu_of([sys.executable, "-c", "pass"])
        crew.end(member)
        member, _ = _ready(crew, one, workers=2)
        shared = sum(_sizes(process)["Pss"] for process in family(member.process.pid))
        crew.end(member)
        for name, value in (
            (CPU_TO_READY, cpu),
            (RESIDENT, resident / _MEGABYTE),
            (_TWO_WORKERS, shared / _MEGABYTE),
            (HEALTH, ratio),
        ):
            found.setdefault(name, []).append(value)
    return {name: spread(values) for name, values in found.items()}


def composition(crew: Crew) -> str:
    """Return a table of what an idle Portal's memory is made of; raises what the other does."""
    line = [sys.executable, "-c", _LOOKING, json.dumps([stage for _, stage in _STAGES])]
    looks = [tuple(look) for look in json.loads(_output(line))]
    one = portal.make(crew, "made-of")
    crew.end(_ready(crew, one)[0])
    member, cpu = _ready(crew, one)
    sizes = _sizes(member.process.pid)
    crew.end(member)
    looks.append((sizes["Rss"], sizes["Anonymous"], cpu))
    names = [name for name, _ in _STAGES] + ["what it opens: settings, stores, listeners, threads"]
    lines = ["| | MB | of it not shared with a file | CPU, ms |", "|---|---|---|---|"]
    before = (0.0, 0.0, 0.0)
    for name, look in zip(names, looks, strict=True):
        lines.append(_row(name, [now - then for now, then in zip(look, before, strict=True)]))
        before = look
    lines.append(_row("an idle Portal", before))
    return "\n".join(lines)


def _row(name: str, look: Sequence[float]) -> str:
    resident, own, cpu = look
    return f"| {name} | {resident / _MEGABYTE:.1f} | {own / _MEGABYTE:.1f} | {cpu * 1000:.0f} |"


def _ready(crew: Crew, one: portal.Portal, workers: int = 0) -> tuple[Member, float]:
    """Start a Portal; return it once it is idle, and the CPU that it had taken when ready."""
    member = one.launch(crew, workers)
    end = time.monotonic() + PATIENCE
    while not _says_it_is_ready(one.owner):
        if member.process.poll() is not None or time.monotonic() > end:
            raise NotStarted(f"it isn't ready: {member.last_words}")
        time.sleep(_LOOK)
    cpu = cpu_seconds(member.process.pid)
    time.sleep(_IDLE)
    return member, cpu


def _says_it_is_ready(owner: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, owner, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _sizes(process: int) -> dict[str, int]:
    """Return what the kernel says of a process's memory, in bytes; raises ``Wrong``."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text("ascii")
    except OSError as error:  # a Portal's is root's to read
        raise Wrong(f"its memory can't be looked at: {error}") from None
    rows = (line.split() for line in text.splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def _cpu_of(line: Sequence[str]) -> float:
    """Return the seconds of CPU that a command takes, run several times."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(_COMMANDS):
        _output(line)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _output(line: Sequence[str]) -> str:
    done = subprocess.run(  # noqa: S603 - our own lines, no shell
        line, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(f"{line[1:4]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout
