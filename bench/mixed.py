"""How memory grows under mixed load: what is held after the warm-up, and after all of it."""

import time

from bench import portals
from bench.crew import Crew
from bench.load import measure
from bench.subjects import Apps, Running
from bench.work import DOWN, GET, GETS, POST, UP

GROWTH = "mb_growth_per_100k_requests"
_TURN = 1.0
_WARM = 0.25
"""Of the time, at whose end memory is looked at first."""
_PER = 100_000
_MEGABYTE = 1e6


def measure_growth(crew: Crew, apps: Apps, seconds: float) -> float:
    """Return by how many megabytes our Portals grow in 100,000 requests.

    Plain requests, on 32 connections and on 512, small and of 1 MiB, both ways; signed calls and
    sealed ones. All in turns of a second, and all processes together. Raises ``NotStarted`` and
    ``Wrong``.
    """
    running = [portals.public_hop(crew, apps)]
    try:
        running += [portals.two_hops(mode)(crew, apps) for mode in ("signed", "sealed")]
        begin = time.monotonic()
        _rounds(running, begin + seconds * _WARM)
        before = _resident(running)
        count = _rounds(running, begin + seconds)
        return (_resident(running) - before) / _MEGABYTE / count * _PER
    finally:
        for one in running:
            one.end(crew)


def _rounds(running: list[Running], until: float) -> int:
    """Put load on each in turn until then, at least once; return how many requests that were."""
    count = 0
    while True:
        for one in running:
            plain = (GET, GETS[4], POST, DOWN, UP) if one is running[0] else (GET, POST)
            for case in plain:
                taken = measure(one.endpoint(case), case, _TURN, one.cpu_seconds)
                count += taken.requests
                one.forget_logs()
        if time.monotonic() > until:
            return count


def _resident(running: list[Running]) -> int:
    return sum(one.resident_bytes() for one in running)
