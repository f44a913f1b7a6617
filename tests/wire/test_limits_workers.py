"""What is counted is counted for all workers, however unevenly they get what comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_workers import workers_of

WORKERS = 4
CONNECTIONS, PLACES = 40, 8
ONE = "127.0.0.1"
SETTINGS = f"""\
limits: {{connections: {CONNECTIONS}, connections_per_address: {CONNECTIONS}, \
requests_per_app: {PLACES}}}
"""


@pytest.fixture
def wanda(tmp_path: Path, app: Recorder) -> Iterator[Portal]:
    """A Portal of several workers, which run."""
    portal = Portal(tmp_path / "wanda", "Wanda", settings=SETTINGS, workers=WORKERS)
    portal.add_app("site", SITE, app.port)
    portal.start()
    eventually(lambda: portal.log.count("owner listener:") == WORKERS)
    yield portal
    portal.release()
    assert "Traceback" not in portal.log, portal.log


def ask(portal: Portal, wire: RawConnection) -> Raw:
    wire.send(request("GET", "/", ("Host", portal.app_host("site"))))
    return wire.read()


def fill(portal: Portal, stack: ExitStack) -> None:
    """Open as many connections as there may be, each of which is answered."""
    wires: list[RawConnection] = []

    def one_more() -> bool:
        wire = RawConnection(portal.public)
        if ask(portal, wire).status != 200:
            wire.socket.close()  # it would be counted for as long as it is open
            return False
        wires.append(stack.enter_context(wire))
        return True

    # One that was closed just now, as by who looked whether somebody listens, may be counted still;
    # and so may the place of the request before.
    for _ in range(CONNECTIONS):
        eventually(one_more)
    assert len(wires) == CONNECTIONS


def test_the_first_that_is_refused_is_the_first_that_is_too_many(wanda: Portal) -> None:
    with ExitStack() as stack:
        fill(wanda, stack)
        for _ in range(2 * WORKERS):
            with RawConnection(wanda.public) as wire:
                assert wire.read().code == "too_many_connections"
    eventually(lambda: f"there are {CONNECTIONS} connections" in wanda.log)


def test_what_a_killed_worker_held_is_free_again(wanda: Portal) -> None:
    with ExitStack() as stack:
        fill(wanda, stack)
        for worker in workers_of(wanda):
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: wanda.log.count("owner listener:") == 2 * WORKERS)
    with ExitStack() as stack:
        fill(wanda, stack)


def test_an_apps_places_are_those_of_all(wanda: Portal, app: Recorder) -> None:
    """Of eight, one is kept for devices, one for peers, and one network holds two."""
    fields = (("Host", wanda.app_host("site")), ("Content-Length", "4"))
    with ExitStack() as stack:
        for number in range(2):
            wire = stack.enter_context(RawConnection(wanda.public))
            wire.send(request("POST", "/", *fields) + b"ab")
            eventually(lambda number=number: app.received.count(b"\r\n\r\nab") > number)  # type: ignore[misc]
        for _ in range(2 * WORKERS):
            got = exchange(wanda.public, request("GET", "/", ("Host", wanda.app_host("site"))))
            assert got.code == "app_busy"
    eventually(lambda: "2 at once from 127.0.0.1" in wanda.log)
