"""What runs goes on: workers are replaced while files are broken, and where they don't run."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.server.workers import AT_ONCE, LATE, SILENCE
from tests.patience import PATIENCE, soon
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import RawConnection, exchange
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.test_ending import get, half_sent, listens, process_of
from tests.wire.test_life import health
from tests.wire.test_workers import is_running, workers_of

if TYPE_CHECKING:
    from proxy.core.identity import PrivateKey

pytestmark = pytest.mark.more  # each starts several processes, and waits for what they do

WORKERS = 2
GRACE = 2.0
FOLLOWED = 2.0
"""Seconds within which the first process has surely seen a change, on an idle machine."""


class Stuck(Portal):
    """A Portal that can be made to stand still."""

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        usual = super().command_line(*words, config=config)
        script = Path(__file__).parent / "harness" / "stuck.py"
        return [sys.executable, str(script), *usual[usual.index("--config") :]]


@pytest.fixture
def friend() -> PrivateKey:
    return new_key()


@pytest.fixture
def removed() -> PrivateKey:
    return new_key()


@pytest.fixture
def gina(
    tmp_path: Path, app: Recorder, friend: PrivateKey, removed: PrivateKey
) -> Iterator[Portal]:
    """A Portal of two workers, which run."""
    settings = f"accept: [sealed, signed]\ngrace: {GRACE:g}s\n"
    portal = Stuck(tmp_path / "gina", "Gina", settings=settings, workers=WORKERS)
    portal.add_app("site", WIDE.replace("peer", "public"), app.port)
    portal.add_app("wide", WIDE, app.port)
    knows(portal, friend, removed)
    portal.start()
    eventually(lambda: serving(portal) == WORKERS)
    yield portal
    portal.release()


def serving(portal: Portal) -> int:
    """Return how many workers have begun to serve."""
    return portal.log.count("owner listener:")


def knows(portal: Portal, *keys: PrivateKey) -> None:
    contacts = [contact(key.public.portal_id, "Friend", 9, 9) for key in keys]
    portal.knows(*contacts, apps={"wide": "all"})


def call(portal: Portal, key: PrivateKey) -> int | None:
    return exchange(portal.public, sign_call(key, portal, "wide").raw).status


def replace_all(portal: Portal) -> None:
    """Kill each worker, and wait for the one that takes its place."""
    for worker in workers_of(portal):
        before = serving(portal)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda before=before: serving(portal) > before)  # type: ignore[misc]


def put(path: Path, text: str, mode: int = 0o600) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text)
    beside.chmod(mode)
    beside.replace(path)


def test_a_replacement_begins_with_what_was_last_good(
    gina: Portal, friend: PrivateKey, removed: PrivateKey
) -> None:
    knows(gina, friend)
    eventually(lambda: call(gina, removed) == 403)
    time.sleep(soon(FOLLOWED))
    put(gina.state / "contacts.yaml", "peers: [")
    put(gina.state / "terminals.yaml", "terminals: [")
    put(gina.config / "apps" / "site" / "app.json", "{", 0o644)
    put(gina.state / "identity.key", "no key")
    put(gina.config / "portal.yaml", "no: [")
    eventually(lambda: len(health(gina).json()["problems"]) >= 3)

    replace_all(gina)

    for _ in range(10):
        assert call(gina, friend) == 200
        assert call(gina, removed) == 403
        assert exchange(gina.public, get(gina)).body == b"ok"
        problems = health(gina).json()["problems"]
        assert any("contacts.yaml" in problem for problem in problems), problems
    assert process_of(gina).poll() is None
    assert "Traceback" not in gina.log
    assert gina.stop() == 0


def test_one_that_can_t_start_is_tried_again_and_the_others_go_on(gina: Portal) -> None:
    (gina.state / "replay.sqlite3").chmod(0o644)
    first = workers_of(gina)[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: gina.log.count("ended with status 1; another takes over") >= 2)
    assert exchange(gina.public, get(gina)).body == b"ok"
    (gina.state / "replay.sqlite3").chmod(0o600)
    eventually(lambda: serving(gina) == WORKERS + 1)
    assert gina.stop() == 0


def test_one_that_was_stopped_is_replaced_and_the_owner_is_told(gina: Portal) -> None:
    stopped = workers_of(gina)[0]
    os.kill(stopped, signal.SIGSTOP)
    eventually(lambda: any(f"{stopped} hasn't run" in text for text in problems_of(gina)))
    eventually(lambda: serving(gina) == WORKERS + 1)
    assert not is_running(stopped)
    told = re.compile(rf"worker {stopped} hasn't run for (\d+) s: it is killed")
    eventually(lambda: told.search(gina.log))
    [seconds] = told.findall(gina.log)
    assert int(seconds) >= SILENCE  # more where the first process was late to look
    assert any(f"{stopped} didn't run, and was replaced" in text for text in problems_of(gina))
    assert gina.stop() == 0


def problems_of(portal: Portal) -> list[str]:
    found: list[str] = health(portal).json()["problems"]
    return found


def test_none_is_taken_for_a_stopped_one_however_often_the_files_are_to_be_looked_at(
    gina: Portal,
) -> None:
    for _ in range(200):
        process_of(gina).send_signal(signal.SIGHUP)
        time.sleep(0.005)  # so that the first process hears each by itself
    eventually(lambda: gina.log.count("SIGHUP: looking at all files") >= WORKERS)
    assert gina.stop() == 0
    assert "hasn't run" not in gina.log
    assert serving(gina) == WORKERS


def test_one_that_is_stuck_is_replaced(gina: Portal) -> None:
    with RawConnection(gina.public) as wire:
        wire.send(get(gina, "/stuck"))
        eventually(lambda: serving(gina) == WORKERS + 1)
        assert wire.rest() == b""
    assert exchange(gina.public, get(gina)).body == b"ok"


def make_stuck(portal: Portal) -> list[int]:
    """Have one worker stopped and the other one stuck; return both."""
    stopped, stuck = workers_of(portal)
    os.kill(stopped, signal.SIGSTOP)
    with RawConnection(portal.public) as wire:
        wire.send(get(portal, "/stuck"))
        eventually(lambda: "it stands still" in portal.log)
    return [stopped, stuck]


def test_a_stop_is_over_soon_whatever_they_do(gina: Portal) -> None:
    process, both = process_of(gina), make_stuck(gina)
    start = time.monotonic()
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - start < soon(GRACE + LATE + 3)
    assert not any(map(is_running, both))
    assert gina.log.count("doesn't end: it is killed") == WORKERS


def test_a_second_signal_is_obeyed_whatever_they_do(gina: Portal) -> None:
    yaml = gina.config / "portal.yaml"
    gina.stop()
    yaml.write_text(yaml.read_text().replace(f"grace: {GRACE:g}s", "grace: 1h"))
    gina.start()
    eventually(lambda: serving(gina) == 2 * WORKERS)
    process = process_of(gina)
    make_stuck(gina)
    process.terminate()
    eventually(lambda: not listens(gina.public))
    start = time.monotonic()
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - start < soon(AT_ONCE + 3)


def test_they_end_with_their_first_process_whatever_they_do(gina: Portal) -> None:
    both = make_stuck(gina)
    process = process_of(gina)
    process.kill()
    process.wait(PATIENCE)
    eventually(lambda: not any(map(is_running, both)))
    gina.start()
    assert exchange(gina.public, get(gina)).body == b"ok"


def test_one_that_was_stopped_finishes_what_runs_when_its_first_process_is_gone(
    gina: Portal, app: Recorder
) -> None:
    process, workers = process_of(gina), workers_of(gina)
    with half_sent(gina, app) as wire:
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        process.kill()
        process.wait(PATIENCE)
        wire.send(b"cd")
        assert wire.read().body == b"ok"
    eventually(lambda: not any(map(is_running, workers)))
