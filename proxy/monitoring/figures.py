"""What is so just now in this process: what runs, what is open, what is known of the files.

``Monitor`` has it told to the other workers, and told by them. What the event loop owns is
collected in the event loop; what may wait for a disk is for a thread, and so is writing it down.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxy.monitoring.exposition import expose
from proxy.portal import Portal
from proxy.state.file_watch import FileWatch
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.disk_thread import DiskThread
from proxy.transfer.relay import KINDS, Kind, Relay
from proxy.transfer.request_counts import RequestCounts
from proxy.transfer.shared_figures import Figure, SharedFigures

_PATIENCE = 0.5
"""Seconds that a disk is waited for; then what was last seen is told."""
_STATM = Path("/proc/self/statm")
_RESIDENT = 1
"""Where in it the resident pages stand."""

_WITH_APPS = ("public", "apps")
"""The listeners at which requests are an app's."""

Collect = Callable[[], Iterable[Figure]]


class Monitor:
    """The numbers of one worker, and through it those of all."""

    def __init__(
        self,
        requests: RequestCounts,
        figures: SharedFigures,
        worker: int,
        collect: Collect,
        replays: Path,
    ) -> None:
        """``collect`` is called in the event loop; ``replays`` is the replay store's file."""
        self._requests = requests
        self._figures = figures
        self._worker = worker
        self._collect = collect
        self._replays = replays

        self._disk = DiskThread("look for metrics")
        self._writer = DiskThread("metrics")
        self._look: asyncio.Task[tuple[Figure, ...]] | None = None
        self._looked_at: tuple[Figure, ...] = ()

    async def tell(self) -> None:
        """Tell the others what is so just now."""
        await self._look_at_system()
        self._figures.tell(self._worker, (*self._collect(), *self._looked_at))

    async def exposition(self) -> bytes:
        """Return all numbers of all workers, this one's as they are now."""
        await self.tell()
        return await self._writer.run(self._write)

    def close(self) -> None:
        """Wait for nothing any more."""
        for thread in (self._disk, self._writer):
            thread.close()

    def _write(self) -> bytes:
        return expose(self._requests, self._figures.told(), len(self._figures))

    async def _look_at_system(self) -> None:
        """Look at what isn't in memory; a disk that doesn't answer keeps nothing else back."""
        look = self._look
        if look is None:
            look = self._look = asyncio.create_task(self._disk.run(self._looked))
        await asyncio.wait((look,), timeout=_PATIENCE)
        if look.done() and look is self._look:  # several may have waited
            self._looked_at, self._look = look.result(), None

    def _looked(self) -> tuple[Figure, ...]:
        return (*_of_process(), *_of_disk(self._replays))


def of_running(active: ActiveRequests) -> Iterator[Figure]:
    """Tell how much runs, by listener, app and kind; of no app in particular also that nothing."""
    running: Counter[tuple[str, str, Kind]]
    running = Counter({(listener, "", kind): 0 for listener in _WITH_APPS for kind in KINDS})
    running.update(
        (each.line.listener, each.line.app, each.runs_as)
        for each in active
        if isinstance(each, Relay)
    )
    for labels, number in running.items():
        yield Figure("running", number, labels)


def of_connections(connections: Mapping[str, int]) -> Iterator[Figure]:
    """Tell how many connections each listener has."""
    for listener, count in connections.items():
        yield Figure("connections", count, (listener,))


def _of_process() -> Iterator[Figure]:
    yield Figure("cpu_seconds", time.process_time())
    with suppress(OSError, ValueError, IndexError):  # where there is no /proc it isn't told
        pages = int(_STATM.read_bytes().split()[_RESIDENT])
        yield Figure("memory_bytes", pages * os.sysconf("SC_PAGE_SIZE"))


def _of_disk(replays: Path) -> Iterator[Figure]:
    size = 0
    for name in (replays, replays.with_name(f"{replays.name}-wal")):
        with suppress(OSError):
            size += name.stat().st_size
    yield Figure("replay_store_bytes", size)


def of_portal(portal: Portal, now: float) -> Iterator[Figure]:
    """Tell what a Portal knows and holds, ``now`` in Unix seconds."""
    yield Figure("apps", len(portal.apps))
    yield Figure("peers", len(portal.contacts.current.peers))
    yield Figure("terminals", len(portal.terminals.current.terminals))
    yield Figure("replay_store_up", not portal.replays.problems)
    yield Figure("sealing_keys", len(portal.sealing))
    until = max((offer.until for offer in portal.sealing.published(now)), default=0)
    yield Figure("sealing_key_expiry_timestamp_seconds", until)


def of_files(files: Mapping[str, FileWatch[Any]]) -> Iterator[Figure]:
    """Tell of each file that is followed, by its name."""
    for name, watch in files.items():
        yield Figure("file_ok", not watch.problems, (name,))
        yield Figure("reloads", watch.reloads, (name,))
