"""Several workers behind the same sockets are one Portal: in what they refuse, forget and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.server.run import TOGETHER
from tests.patience import PATIENCE, soon
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, contact, wait_for_ports
from tests.wire.harness.raw import Raw, RawConnection, exchange
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.test_ending import get, half_sent, listens, process_of, restarts_lose_nothing

if TYPE_CHECKING:
    from proxy.core.identity import PrivateKey

WORKERS = 3
AT_ONCE = 60
SOON = 2.0
"""Seconds: the one that the owner is promised, and what it takes to ask ``AT_ONCE`` times."""


@pytest.fixture
def friend() -> PrivateKey:
    return new_key()


@pytest.fixture
def settings() -> str:
    return "accept: [sealed, signed]\ngrace: 10s\n"


@pytest.fixture
def gina(gina: Portal, app: Recorder, friend: PrivateKey) -> Portal:
    """A Portal of several workers, which run."""
    gina.workers = WORKERS
    gina.add_app("wide", WIDE, app.port)
    gina.knows(contact(friend.public.portal_id, "Friend", 9, 9), apps={"wide": "all"})
    gina.start()
    eventually(lambda: gina.log.count("owner listener:") == WORKERS)
    return gina


def workers_of(portal: Portal) -> list[int]:
    """Return the process IDs of the workers."""
    children = portal._proc("task") / str(process_of(portal).pid) / "children"
    return [int(word) for word in children.read_text("ascii").split()]


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_request_is_carried_out_once_whoever_of_them_gets_it(
    gina: Portal, app: Recorder, friend: PrivateKey
) -> None:
    for _ in range(3):
        call = sign_call(friend, gina, "wide", method=b"POST")
        got: list[Raw] = []

        def ask(call: bytes = call.raw, got: list[Raw] = got) -> None:
            got.append(exchange(gina.public, call))

        threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(raw.status for raw in got) == {200: 1, 409: AT_ONCE - 1}
    assert len(app.requests) == 3


def test_every_worker_gets_some_of_the_work(gina: Portal) -> None:
    busy: set[int] = set()

    def all_were_asked() -> bool:
        with ExitStack() as stack:
            wires = [stack.enter_context(RawConnection(gina.public)) for _ in range(AT_ONCE)]
            for wire in wires:
                wire.send(get(gina))
                assert wire.read().body == b"ok"
            busy.update(workers_with(gina, *wires))
        return len(busy) == WORKERS

    eventually(all_were_asked)  # one that had no turn meanwhile gets one


def workers_with(portal: Portal, *wires: RawConnection) -> list[int]:
    """Return the workers that have taken connections of these clients."""
    clients = {wire.socket.getsockname()[1] for wire in wires}
    names = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        words = line.split()
        local, remote = (int(word.partition(":")[2], 16) for word in words[1:3])
        if local == portal.public and remote in clients:
            names.add(f"socket:[{words[9]}]")
    return [process for process in workers_of(portal) if names & sockets_of(process)]


def sockets_of(process: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it is closed by now
            found.add(link.readlink().name)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the limits of others")
def test_no_process_that_holds_keys_leaves_a_core(gina: Portal) -> None:
    processes = workers_of(gina)
    parents = {
        int(Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[1])
        for process in processes
    }
    assert len(parents) == 1
    for process in (*parents, *processes):
        limits = Path(f"/proc/{process}/limits").read_text("ascii").splitlines()
        [core] = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
        assert core == ["0", "0"]


def test_a_removed_contact_is_shut_out_by_every_worker(gina: Portal, friend: PrivateKey) -> None:
    def is_refused() -> bool:
        got = exchange(gina.public, sign_call(friend, gina, "wide").raw)
        return got.status == 403 and got.code == "not_allowed"

    assert not is_refused()
    gina.knows(apps={"wide": "all"})

    assert eventually(lambda: all(is_refused() for _ in range(AT_ONCE))) < soon(SOON)
    assert all(is_refused() for _ in range(AT_ONCE))


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(gina: Portal) -> None:
    before = workers_of(gina)
    os.kill(before[0], signal.SIGKILL)
    for _ in range(AT_ONCE):
        assert exchange(gina.public, get(gina)).body == b"ok"
    eventually(lambda: len(workers_of(gina)) == WORKERS)
    assert set(before[1:]) < set(workers_of(gina))
    eventually(lambda: f"worker {before[0]} was ended by signal 9" in gina.log)
    assert gina.stop() == 0


def test_they_end_together_and_what_runs_is_finished(gina: Portal, app: Recorder) -> None:
    process, workers = process_of(gina), workers_of(gina)
    with half_sent(gina, app) as wire:
        process.terminate()
        eventually(lambda: not listens(gina.public))
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0
    assert not any(is_running(worker) for worker in workers)
    assert "cut off" not in gina.log
    assert "Traceback" not in gina.log


def test_the_second_signal_ends_all_at_once(gina: Portal, app: Recorder) -> None:
    process = process_of(gina)
    with half_sent(gina, app) as wire:
        process.terminate()
        eventually(lambda: not listens(gina.public))
        start = time.monotonic()
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - start < soon(5)  # of the ten that the request was granted
        with pytest.raises(ConnectionError):
            wire.socket.recv(1)


def test_control_c_reaches_all_and_counts_once(gina: Portal, app: Recorder) -> None:
    """A terminal signals every process of its group: that isn't the second signal."""
    process, workers = process_of(gina), workers_of(gina)
    with half_sent(gina, app) as wire:
        for number in (process.pid, *workers):
            os.kill(number, signal.SIGINT)
        eventually(lambda: not listens(gina.public))
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    assert process.wait(PATIENCE) == 0


def test_where_all_are_told_to_end_at_once_the_queue_is_emptied_too(gina: Portal) -> None:
    """A service manager signals every process: no worker may leave the queue to the others."""
    process, workers = process_of(gina), workers_of(gina)
    everybody = (*workers, process.pid)
    for number in everybody:
        os.kill(number, signal.SIGSTOP)
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(gina.public)) for _ in range(AT_ONCE)]
        for wire in wires:
            wire.send(get(gina))
        for number in everybody:
            os.kill(number, signal.SIGTERM)
        for number in workers:
            os.kill(number, signal.SIGCONT)
        time.sleep(TOGETHER / 5)  # they hear it before the first process does
        os.kill(process.pid, signal.SIGCONT)
        assert [wire.read().body for wire in wires] == [b"ok"] * AT_ONCE
    assert process.wait(PATIENCE) == 0


def test_workers_whose_first_process_is_killed_end(gina: Portal) -> None:
    process, workers = process_of(gina), workers_of(gina)
    process.kill()
    process.wait(PATIENCE)
    eventually(lambda: not any(is_running(worker) for worker in workers))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_that_is_told_to_end_does_so_in_order_and_is_replaced(
    gina: Portal, app: Recorder, number: signal.Signals
) -> None:
    before = workers_of(gina)
    with half_sent(gina, app) as wire:
        [busy] = workers_with(gina, wire)
        os.kill(busy, number)
        assert {exchange(gina.public, get(gina)).body for _ in range(AT_ONCE)} == {b"ok"}
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    eventually(lambda: not is_running(busy))
    eventually(lambda: len(workers_of(gina)) == WORKERS)
    assert set(before) - {busy} < set(workers_of(gina))
    eventually(lambda: f"worker {busy} ended with status 0; another takes over" in gina.log)
    assert {exchange(gina.public, get(gina)).body for _ in range(AT_ONCE)} == {b"ok"}
    assert gina.stop() == 0


@pytest.mark.more
def test_a_restart_under_load_loses_no_request(gina: Portal, app: Recorder) -> None:
    restarts_lose_nothing(gina, app, times=2)


def test_where_none_can_start_none_is_left(gina: Portal) -> None:
    gina.stop()
    replays = gina.state / "replay.sqlite3"
    replays.chmod(0o644)
    done = gina.launch()
    assert done.wait(PATIENCE) == 1
    assert "replay.sqlite3: can't be used" in gina.log
    assert "Traceback" not in gina.log
    replays.chmod(0o600)
    again = gina.launch()
    wait_for_ports(again, gina.public, log=gina.log_file)
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE) == 0


def test_how_many_is_checked(gina: Portal) -> None:
    for wrong in ("0", "-1", "65", "two"):
        done: subprocess.CompletedProcess[str] = gina.command("serve", "--workers", wrong)
        assert done.returncode == 2
        assert "--workers" in done.stderr
