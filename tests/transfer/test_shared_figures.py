"""What processes tell each other of themselves."""

import os
import signal
import threading

import pytest

from proxy.transfer import shared_figures
from proxy.transfer.shared_figures import Figure, SharedFigures
from tests.alone import run_alone

RUNNING = Figure("running", 2, ("public", "notes", "stream"))


def test_what_each_told_last_is_told() -> None:
    figures = SharedFigures(3)
    figures.tell(0, [RUNNING, Figure("ready", value=True)])
    figures.tell(2, [Figure("ready", 1)] * 100)
    figures.tell(2, [Figure("ready", 0)])
    assert len(figures) == 3
    assert figures.told() == {0: [RUNNING, Figure("ready", 1)], 2: [Figure("ready", 0)]}


def test_who_has_ended_tells_nothing() -> None:
    figures = SharedFigures(2)
    figures.tell(0, [RUNNING])
    figures.forget(0)
    assert figures.told() == {}
    figures.tell(0, [RUNNING])
    assert figures.told() == {0: [RUNNING]}


def test_what_a_writer_that_was_killed_left_is_never_read() -> None:
    figures = SharedFigures()
    figures.tell(0, [RUNNING])
    figures._parts[0].cast("d")[shared_figures._TURN] += 1
    assert figures.told() == {}
    figures.tell(0, [RUNNING])
    assert figures.told() == {0: [RUNNING]}


def test_nothing_is_read_that_is_half_written() -> None:
    figures = SharedFigures()
    is_over = threading.Event()

    def write() -> None:
        size = 1
        while not is_over.is_set():
            size = size % 50 + 1
            figures.tell(0, [Figure("a", size)] * size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            for told in figures.told().values():
                assert {figure.value for figure in told} == {len(told)}
    finally:
        is_over.set()
        writer.join()


def test_more_than_there_is_room_for_is_refused() -> None:
    figures = SharedFigures()
    figures.tell(0, [RUNNING])
    with pytest.raises(ValueError, match="room"):
        figures.tell(0, [RUNNING] * 100_000)
    assert figures.told() == {0: [RUNNING]}


def tell_another_process() -> None:
    figures = SharedFigures(2)
    process = os.fork()
    if process == 0:
        figures.tell(1, [RUNNING])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert figures.told() == {1: [RUNNING]}


def test_processes_that_are_forked_share_them() -> None:
    run_alone(tell_another_process)
