"""What signals do to a proxy: real ones, at its start, while it serves clients, and at its end."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.server.signals import HANDLED, IGNORED
from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import exchange
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_ending import get, half_sent, listens, process_of
from tests.wire.test_workers import workers_of

WORKERS = 2
START = 1.0
"""Seconds that a start takes, imports included, and a little more."""


@pytest.fixture(params=[1, pytest.param(WORKERS, marks=pytest.mark.more)])
def gina(request: pytest.FixtureRequest, gina: Portal) -> Portal:
    """A Portal that runs, in one process or in several."""
    gina.workers = request.param
    gina.start()
    eventually(lambda: gina.log.count("owner listener:") == gina.workers)
    return gina


def processes_of(portal: Portal) -> list[int]:
    """Return the first process, and the workers where there are some."""
    return [process_of(portal).pid, *workers_of(portal)]


@contextmanager
def load(portal: Portal) -> Iterator[None]:
    """Have clients ask all the time; each of them must be answered."""
    is_over, failures = threading.Event(), list[str]()

    def ask() -> None:
        while not is_over.is_set():
            try:
                got = exchange(portal.public, get(portal))
            except OSError as error:
                failures.append(repr(error))
            else:
                failures.extend([f"{got.status}"] * (got.body != b"ok"))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        is_over.set()
        for client in clients:
            client.join()
    assert failures == []


def test_hup_and_what_means_nothing_end_nothing(gina: Portal) -> None:
    with load(gina):
        for process in processes_of(gina):
            for number in (signal.SIGHUP, *IGNORED) * 2:
                os.kill(process, number)
            # Each has its own log; the first of several passes SIGHUP on.
        eventually(lambda: gina.log.count("SIGUSR2 means nothing") == len(processes_of(gina)))
        eventually(lambda: gina.log.count("SIGHUP: looking at all files") >= gina.workers)
        assert process_of(gina).poll() is None
    told = [f"{signal.Signals(number).name} means nothing" for number in IGNORED]
    processes = len(processes_of(gina))
    eventually(lambda: all(gina.log.count(line) >= processes for line in told))
    assert gina.stop() == 0
    assert {gina.log.count(line) for line in told} == {processes}, "once in each process"
    assert "Traceback" not in gina.log


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order(gina: Portal, app: Recorder, number: signal.Signals) -> None:
    process = process_of(gina)
    with half_sent(gina, app) as wire:
        process.send_signal(number)
        eventually(lambda: not listens(gina.public))
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in gina.log


def test_ctrl_backslash_reaches_all_and_counts_once(gina: Portal, app: Recorder) -> None:
    process, all_of_them = process_of(gina), processes_of(gina)
    with half_sent(gina, app) as wire:
        for number in reversed(all_of_them):
            os.kill(number, signal.SIGQUIT)
        eventually(lambda: not listens(gina.public))
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0


def starting(portal: Portal) -> subprocess.Popen[bytes]:
    """Start the proxy; return it once signals can do it no harm."""
    portal.stop()
    process = portal.launch_anew()
    wanted = sum(1 << (number - 1) for number in HANDLED)
    eventually(lambda: wanted & ~cared_for(process.pid) == 0)
    return process


def cared_for(process: int) -> int:
    """Return which signals aren't left to their default, as bits."""
    masks = 0
    for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines():
        name, _, mask = line.partition(":")
        if name in {"SigBlk", "SigIgn", "SigCgt"}:
            masks |= int(mask, 16)
    return masks


def test_hup_ends_nothing_while_it_starts(gina: Portal) -> None:
    process = starting(gina)
    while not listens(gina.public):
        for number in (signal.SIGHUP, *IGNORED):
            process.send_signal(number)
        assert process.poll() is None, gina.log
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_who_ends_it_while_it_starts_ends_it_with_0(gina: Portal, number: signal.Signals) -> None:
    process = starting(gina)
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in gina.log


@pytest.mark.more
def test_a_sigterm_at_any_moment_of_the_start_ends_it(gina: Portal) -> None:
    gina.stop()
    moments = random.Random(7)
    for _ in range(40):
        process = gina.launch_anew()
        time.sleep(moments.uniform(0, START))
        process.send_signal(signal.SIGTERM)
        # Until the first line of ours runs, Python has no handler, and the signal itself ends it.
        assert process.wait(PATIENCE) in {0, -signal.SIGTERM}, gina.log
    assert "Traceback" not in gina.log


@pytest.mark.more
def test_signals_at_any_moment_of_the_end_change_no_status(gina: Portal) -> None:
    for number in itertools.islice(itertools.cycle((signal.SIGTERM, signal.SIGHUP)), 10):
        process = process_of(gina)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.005)
        assert process.wait() == 0
        gina.start()
