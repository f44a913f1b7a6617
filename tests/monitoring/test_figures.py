"""What a process tells of itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.monitoring import figures
from proxy.monitoring.families import FIGURES
from proxy.monitoring.figures import Monitor, of_connections, of_running
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.relay import KINDS
from proxy.transfer.request_counts import RequestCounts
from proxy.transfer.shared_figures import Figure, SharedFigures
from tests.monitoring.test_exposition import samples, value


async def test_a_worker_tells_what_is_so_now_and_what_others_told_last(tmp_path: Path) -> None:
    replays = tmp_path / "replay.sqlite3"
    replays.write_bytes(bytes(100))
    (tmp_path / "replay.sqlite3-wal").write_bytes(bytes(11))
    shared, connections = SharedFigures(2), {"public": 1, "owner": 2}
    one, other = (
        Monitor(RequestCounts(), shared, worker, lambda: of_connections(connections), replays)
        for worker in range(2)
    )
    await other.tell()
    connections["public"] = 5
    found = samples(await one.exposition())
    assert value(found, "portal_connections", listener="public") == 6
    assert value(found, "portal_connections", listener="owner") == 4
    assert value(found, "portal_replay_store_bytes") == 111
    assert value(found, "portal_cpu_seconds_total", worker="1") > 0
    assert value(found, "portal_memory_bytes", worker="2") > 1 << 20
    several = await asyncio.gather(*(one.exposition() for _ in range(5)), one.tell())
    assert {value(samples(text), "portal_workers_serving") for text in several if text} == {2}
    one.close()
    other.close()


async def test_a_disk_that_doesnt_answer_keeps_nothing_else_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_well = threading.Event()
    (tmp_path / "replay.sqlite3").write_bytes(bytes(7))

    def stands_still(replays: Path) -> Iterator[Figure]:
        is_well.wait()
        yield Figure("replay_store_bytes", replays.stat().st_size)

    monkeypatch.setattr(figures, "_of_disk", stands_still)
    monitor = Monitor(
        RequestCounts(), SharedFigures(), 0, lambda: of_connections({"public": 1}),
        tmp_path / "replay.sqlite3",
    )  # fmt: skip
    for _ in range(2):
        found = samples(await monitor.exposition())
        assert value(found, "portal_connections", listener="public") == 1
        assert not any(name == "portal_replay_store_bytes" for name, _ in found)
    assert sum(thread.name == "look for metrics" for thread in threading.enumerate()) == 1
    is_well.set()
    found = samples(await monitor.exposition())
    assert value(found, "portal_replay_store_bytes") == 7
    monitor.close()


def test_where_nothing_runs_that_is_told() -> None:
    told = list(of_running(ActiveRequests()))
    assert {figure.value for figure in told} == {0}
    assert {figure.labels for figure in told} == {
        (listener, "", kind) for listener in ("public", "apps") for kind in KINDS
    }


def test_each_figure_has_a_family_with_its_labels() -> None:
    for figure in of_connections({"public": 1}):
        assert isinstance(figure, Figure)
        assert len(figure.labels) == len(FIGURES[figure.name].labels)
