"""How long the slowest percent waits, alone and beside a large transfer; and how many come through.

In each round every subject has a turn; ratios are taken within a round.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import portals
from bench.crew import Crew, Member, NotStarted
from bench.figures import Sample, Spread, ratio, spread
from bench.load import PATIENCE, Wrong, measure
from bench.subjects import Apps, Running
from bench.work import FAR_DOWN, Case

CROWDS = (32, 512)
BESIDE = "_beside_64mib"
TAILS = tuple(f"c{connections}{end}" for connections in CROWDS for end in ("", BESIDE))
"""What the rows are called."""
_FEW, _MANY = 16, 10_000
_THRONG = "throughput_c{}_over_c16"
THRONG = _THRONG.format(_MANY)
"""With as many connections as there are to be; where they may be fewer, the row says how many."""
_STEP = 1_000
_DESCRIPTORS = 3.3
"""That a Portal needs for each connection: its own, one to the app, and other listeners' parts."""
_LOOK = 0.01
_OURS, _BEFORE = "ours", "before"


def measure_tails(
    crew: Crew,
    apps: Apps,
    rounds: int,
    seconds: float,
    baseline: Path | None,
    say: Callable[[str, str], None],
) -> dict[str, Spread]:
    """Return p99 over p50, and p99 over the baseline's; raises ``NotStarted`` and ``Wrong``.

    ``say`` is told which rows have no figure since the baseline didn't start, and why.
    """
    running = {_OURS: portals.public_hop(crew, apps)}
    found: dict[str, Spread] = {}
    try:
        if baseline is not None:
            try:
                running[_BEFORE] = portals.public_hop(crew, apps, tree=baseline)
            except NotStarted as error:
                for name in TAILS:
                    say(f"p99_{name}_vs_baseline", str(error))
        for connections in CROWDS:
            case = Case(f"get_{connections}", "GET", "small", connections)
            for end in ("", BESIDE):
                taken: dict[str, list[Sample]] = {name: [] for name in running}
                for number in range(rounds):
                    order = list(running.items())
                    for name, one in order if number % 2 else reversed(order):
                        with _transfer(crew, one, is_wanted=bool(end)):
                            taken[name].append(measure(one.pages, case, seconds, one.cpu_seconds))
                        one.forget_logs()
                found |= _tails(f"c{connections}{end}", taken)
    finally:
        for one in running.values():
            one.end(crew)
    return found


def measure_throng(crew: Crew, apps: Apps, rounds: int, seconds: float) -> dict[str, Spread]:
    """Return the throughput with 10,000 busy connections over that with 16.

    Where descriptors don't allow so many, it is as many as they do, and the name says how many.
    Raises ``NotStarted`` and ``Wrong``.
    """
    many = connections_for(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    running = portals.public_hop(crew, apps)
    rates: dict[int, list[float]] = {_FEW: [], many: []}
    try:
        for _ in range(rounds):
            for connections, found in rates.items():
                case = Case(f"get_{connections}", "GET", "small", connections)
                taken = measure(running.pages, case, seconds, running.cpu_seconds)
                found.append(taken.throughput)
                running.forget_logs()
    finally:
        running.end(crew)
    return {_THRONG.format(many): ratio(rates[many], rates[_FEW])}


def connections_for(descriptors: int) -> int:
    """Return how many connections a process is put under that may have so many ``descriptors``.

    Raises ``Wrong`` where they are too few to tell anything.
    """
    if descriptors == resource.RLIM_INFINITY:
        return _MANY
    most = int(descriptors / _DESCRIPTORS / _STEP) * _STEP
    if not most:
        raise Wrong(f"{descriptors} descriptors are too few for {_STEP} connections")
    return min(most, _MANY)


def _tails(name: str, taken: Mapping[str, Sequence[Sample]]) -> dict[str, Spread]:
    ours = taken[_OURS]
    found = {f"p99_over_p50_{name}": spread([one.p99 / one.p50 for one in ours])}
    if before := taken.get(_BEFORE):
        found[f"p99_{name}_vs_baseline"] = ratio(
            [one.p99 for one in ours], [one.p99 for one in before]
        )
    return found


@contextmanager
def _transfer(crew: Crew, running: Running, *, is_wanted: bool) -> Iterator[None]:
    """Have somebody take bodies of 64 MiB, one after the other, until the end of the context."""
    if not is_wanted:
        yield
        return
    endpoint = running.pages
    line = [sys.executable, "-m", "bench.servers.reader", str(endpoint.port), endpoint.host]
    reader = crew.launch("reader", [*line, FAR_DOWN.path], endpoint.port, measured=False)
    try:
        _wait_for_bytes(reader)
        yield
        if reader.process.poll() is not None:
            raise Wrong(f"the transfer beside it broke off: {reader.last_words}")
    finally:
        crew.end(reader)
        reader.forget_log()


def _wait_for_bytes(reader: Member) -> None:
    """Wait until its first body has begun; raises ``NotStarted``."""
    end = time.monotonic() + PATIENCE
    while not reader.log.stat().st_size:
        if reader.process.poll() is not None or time.monotonic() > end:
            raise NotStarted(f"the transfer beside it didn't begin: {reader.last_words}")
        time.sleep(_LOOK)
