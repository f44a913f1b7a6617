"""What a process tells of itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
    figures, connections = SharedFigures(2), {"public": 1, "owner": 2}
    one, other = (
        Monitor(RequestCounts(), figures, worker, lambda: of_connections(connections), replays)
        for worker in range(2)
    )
    await asyncio.to_thread(other.tell, other.collected())
    connections["public"] = 5
    found = samples(await one.exposition())
    assert value(found, "portal_connections", listener="public") == 6
    assert value(found, "portal_connections", listener="owner") == 4
    assert value(found, "portal_replay_store_bytes") == 111
    assert value(found, "portal_cpu_seconds_total", worker="1") > 0
    assert value(found, "portal_memory_bytes", worker="2") > 1 << 20


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
