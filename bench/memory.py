"""Resident bytes before and after, in fresh processes each: idle connections, sealed uploads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench import portals
from bench.crew import Crew
from bench.endpoint import Endpoint
from bench.load import Wire, Wrong, connect, exchange
from bench.subjects import Apps, Running, Subject
from bench.work import FAR_UP, GET, POST, Case

CONNECTIONS = 1000
UPLOADS = 8
"""Bodies in flight beside the one of the warm-up."""
_FEW = 8
_WARM_SECONDS = 0.5
_MEGABYTE = 1e6
_LOOK = 0.05
"""Seconds between two looks at the memory."""
_LOOKS = 10
"""Looks that must have been made while every body was in flight."""


def measure_idle(subject: Subject, crew: Crew, apps: Apps) -> float:
    """Return the megabytes that 1,000 connections cost which were used once and are kept.

    Raises ``NotStarted`` and ``Wrong``.
    """
    running = subject.start(crew, apps)
    with _wires_to(running, crew) as wires:
        # What a server allocates once, for any load, isn't the idle connections'.
        _open(running.pages, wires, _FEW)
        exchange(wires, _WARM_SECONDS)
        before = running.resident_bytes()
        _open(running.pages, wires, CONNECTIONS)
        return (running.resident_bytes() - before) / _MEGABYTE


def measure_uploads(crew: Crew, apps: Apps) -> float:
    """Return the megabytes, in both Portals together, that a sealed upload of 64 MiB costs.

    The app reads slowly, so every buffer on the way is full while the memory is looked at. What is
    returned is what each further body adds to one that is in flight already. Raises ``NotStarted``
    and ``Wrong``.
    """
    running = portals.two_hops("sealed")(crew, apps)
    slow = replace(FAR_UP, folder="/slow")
    with _wires_to(running, crew) as wires:
        connect(running.taker, POST, wires, 1 + UPLOADS)
        alone = _most_resident(running, wires[:1], slow)
        together = _most_resident(running, wires, slow)
        return (together - alone) / UPLOADS / _MEGABYTE


@contextmanager
def _wires_to(running: Running, crew: Crew) -> Iterator[list[Wire]]:
    """Give a list for connections to a subject; at the end both are over. Raises ``Wrong``."""
    wires: list[Wire] = []
    try:
        yield wires
    except OSError as error:
        raise Wrong(f"{error}; its log: {running.last_words}") from None
    finally:
        for wire in wires:
            wire.close()
        running.end(crew)


def _most_resident(running: Running, wires: list[Wire], case: Case) -> int:
    """Return the most bytes that were resident while each of ``wires`` had a body in flight."""
    request = running.endpoint(case).request(case)
    for wire in wires:
        wire.will_send(request)
    with _watched(running) as looks:
        began = time.perf_counter()
        first = began + min(exchange(wires, 0.0))
    inside = [resident for moment, resident in looks if began < moment < first]
    if len(inside) < _LOOKS:
        raise Wrong(f"the bodies were through before the memory was looked at {_LOOKS} times")
    return max(inside)


@contextmanager
def _watched(running: Running) -> Iterator[list[tuple[float, int]]]:
    """Look at the memory again and again, until the end of the context."""
    looks: list[tuple[float, int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK):
            looks.append((time.perf_counter(), running.resident_bytes()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        over.set()
        thread.join()


def _open(endpoint: Endpoint, wires: list[Wire], count: int) -> None:
    """Open connections a few at a time, so that the app behind has as few as in the warm-up."""
    while len(wires) < count:
        connect(endpoint, GET, wires, min(len(wires) + _FEW, count))
