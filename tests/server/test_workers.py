"""The first process, with workers that do next to nothing."""

import os
import signal
import time
from pathlib import Path

from proxy.server import signals
from proxy.server.worker_table import WorkerTable
from proxy.server.workers import Workers
from tests.alone import run_alone
from tests.patience import PATIENCE


def first_process(table: WorkerTable, looking: Path) -> None:
    """Be the first process of a worker that waits for its end; looks at files never come back."""

    def work(number: int, pipe: int) -> int:
        del pipe
        table.serves(number)
        signal.sigwait({signal.SIGTERM})
        return 0

    def look() -> None:
        looking.touch()
        time.sleep(10 * PATIENCE)

    def nothing(*_: int) -> None:
        pass

    signals.block()
    os._exit(Workers(table, work, lambda: 0.1, look, nothing, nothing).run())


def test_a_disk_that_hangs_holds_up_no_end(tmp_path: Path) -> None:
    run_alone(_end_while_the_disk_hangs, tmp_path / "looking")


def _end_while_the_disk_hangs(looking: Path) -> None:
    table = WorkerTable(1)
    process = os.fork()
    if process == 0:
        first_process(table, looking)
    start = time.monotonic()
    while not (looking.exists() and table.is_serving(0)):
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.02)
    os.kill(process, signal.SIGTERM)
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0):
        if time.monotonic() - start > PATIENCE:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
