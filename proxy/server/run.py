"""``serve``: from the sockets to the exit status, in one process or in several workers."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from proxy import logging_setup as logs
from proxy.config.acme import CHALLENGES
from proxy.config.listen import LISTENERS, Address
from proxy.config.portal_yaml import FILE_NAME, NEW, Config
from proxy.core.errors import Invalid
from proxy.core.identity import short_id
from proxy.server import signals
from proxy.server.compose import prepare
from proxy.server.entrance_sockets import LOG as ENTRANCES_LOG
from proxy.server.handed_sockets import Handing
from proxy.server.listener import Served, Stop, run
from proxy.server.reloading import within_descriptors
from proxy.server.running import Running
from proxy.server.service_manager import ServiceManager
from proxy.server.sockets import (
    ListeningSocket,
    inherit_socket,
    inherited_sockets,
    open_socket,
)
from proxy.server.tuning import collect_rarely, keep_buffers
from proxy.server.worker_table import BEAT, WorkerTable
from proxy.server.workers import LOOKER, Told, Workers
from proxy.state.files import Busy, Unsafe
from proxy.state.layout import State
from proxy.state.running_note import NotedListener, note_running
from proxy.transfer.last_calls import LastCalls
from proxy.transfer.request_counts import RequestCounts
from proxy.transfer.shared_counts import SharedCounts
from proxy.transfer.shared_figures import SharedFigures

log = logging.getLogger("proxy")

TOGETHER = 0.5
"""Seconds that a worker which is told to end waits to hear whether all are: the last ones have to
take who is in the sockets' queues, where one alone leaves them to the others."""

OpenSockets = Callable[[], Mapping[str, ListeningSocket]]
"""Opens every listener's socket, or returns those that were opened; raises ``OSError``."""


class Alone:
    """The one process, or one of several workers: when it is to end, and whom it tells it lives."""

    def __init__(self, manager: ServiceManager | None = None) -> None:
        """Tell ``manager`` of this process, unless another one tells of all."""
        self._stop = Stop()
        self._manager = manager

    @contextmanager
    def living(self, running: Running) -> Iterator[Stop]:
        """Hear signals until the block ends; gives what tells when to end."""

        def reload() -> None:
            log.info("SIGHUP: looking at all files, and taking over portal.yaml")
            if self._manager is not None:
                self._manager.reloads()
                running.reloading.on_done = self._manager.has_reloaded
            running.reloading.want()
            running.look_at_once()

        actions: dict[int, Callable[[], None]] = dict.fromkeys(signals.ENDING, self.end)
        actions[signals.RELOADING] = reload
        actions |= {each: partial(signals.tell_ignored, each) for each in signals.IGNORED}
        signals.hear(asyncio.get_running_loop(), actions)
        signals.unblock()
        try:
            yield self._stop
        finally:
            signals.leave_at_once()

    def end(self) -> None:
        """End in order; the second time at once."""
        if self._manager is not None:
            self._manager.ends()
        self._stop.want()

    def serves(self, what: str) -> None:
        """Note that connections are taken from now on; ``what`` says whose."""
        if self._manager is not None:
            self._manager.serves(what)
            self._live(self._manager)

    def _live(self, manager: ServiceManager) -> None:
        """Give signs of life from the event loop: one that stands still gives none."""
        if manager.sign_every:
            manager.lives()
            asyncio.get_running_loop().call_later(manager.sign_every, self._live, manager)


class Worker(Alone):
    """One of several."""

    def __init__(
        self, table: WorkerTable, number: int, sockets: Mapping[str, ListeningSocket], pipe: int
    ) -> None:
        """``pipe`` is at its end when the first process has gone."""
        super().__init__()
        self._table = table
        self._number = number
        self._sockets = sockets
        self._pipe = pipe
        self._is_ending = False
        self._running: Running | None = None

    @contextmanager
    def living(self, running: Running) -> Iterator[Stop]:
        loop = asyncio.get_running_loop()

        def orphaned() -> None:
            loop.remove_reader(self._pipe)
            self._end_once()

        loop.add_reader(self._pipe, orphaned)
        self._running = running
        self._beat()
        with super().living(running) as stop:
            yield stop

    def end(self) -> None:
        """End in order, or at once where all do.

        What reaches the whole group, as Ctrl-C does and what a service manager sends, comes twice:
        from outside, and from the first process, which alone counts for all.
        """
        stage = self._table.stage
        if stage == 0:
            if self._is_ending:
                self._stop.want()
            else:
                self._is_ending = True
                asyncio.get_running_loop().call_later(TOGETHER, self._leave)
            return
        self._end_once()
        if stage > 1:
            self._stop.want()

    def _leave(self) -> None:
        """End in order, now that it shows whether the others end too."""
        if self._table.stage == 0:
            # Another one takes over, and the others go on taking connections.
            for listening in self._sockets.values():
                listening.is_inherited = True
            if self._running is not None:
                self._running.entrances.lend()
        self._stop.want()

    def serves(self, what: str) -> None:
        del what  # the first process tells of all
        self._table.serves(self._number)

    def _end_once(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._stop.want()

    def _beat(self) -> None:
        self._table.beat(self._number)
        asyncio.get_running_loop().call_later(BEAT, self._beat)


def serve(config: Config, workers: int = 1) -> int:
    """Run the proxy until a signal ends it, in so many processes; returns the exit status.

    Raises ``Invalid`` where something is wrong without which it can't begin.
    """
    signals.leave_at_once()
    logs.set_up(config.log)
    if config.replaced:
        keys = ", ".join(config.replaced)
        log.warning("of %s the environment counts, not %s", keys, config.folder / FILE_NAME)
    config = within_descriptors(config)
    keep_buffers()
    signals.block()
    if workers == 1:
        running = prepare(config)
        return _run(running, Alone(ServiceManager()), partial(_open_sockets, config))
    running = prepare(config)
    try:
        sockets = _open_sockets(config)
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1
    for listening in sockets.values():
        listening.is_shared = True
    log.info("%d workers serve", workers)
    table, counts = WorkerTable(workers), SharedCounts(workers)
    requests, figures = RequestCounts(workers), SharedFigures(workers)
    calls = LastCalls(workers)
    running.more_problems, running.figures = table.problems, figures

    handing = Handing(running.entrance_sockets, workers)
    running.follow_entrances = lambda: handing.follow(running.portal.apps)

    def work(number: int, pipe: int) -> int:
        running.entrance_source = handing.of_worker(number)
        running.follow_entrances = _nothing
        running.worker, running.portal.counts = number, counts.of_worker(number)
        running.portal.requests = requests.of_worker(number)
        running.portal.last_calls = calls.of_worker(number)
        running.refresh()  # what a worker begins with is the last good state, and the newest
        try:
            return _run(running, Worker(table, number, sockets, pipe), lambda: sockets)
        except (Invalid, Unsafe, Busy) as error:
            log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
            return 1

    def forget(number: int) -> None:
        counts.forget(number)
        figures.forget(number)

    # Each worker tells what it finds; once more would say nothing. They open no entrances.
    for handler in logging.root.handlers:
        handler.addFilter(
            lambda record: threading.current_thread().name != LOOKER or record.name == ENTRANCES_LOG
        )

    def close() -> None:
        _close(sockets)
        running.follow_entrances = _nothing
        running.entrance_sockets.close_ours()
        handing.close()

    manager = ServiceManager()
    running.reloading.on_done = manager.has_reloaded
    first = Workers(
        table,
        work,
        lambda: running.portal.config.grace,
        running.refresh,
        close,
        forget,
        Told(running.reloading.want, manager, _who(running)),
    )
    return first.run()


def _nothing() -> None:
    pass


def _who(running: Running) -> str:
    return f"Portal {short_id(running.portal.id)} at {running.portal.hosts.origin}"


def _open_sockets(config: Config) -> dict[str, ListeningSocket]:
    """Bind every listener's socket, or take the one that is inherited; raises ``OSError``."""
    inherited = inherited_sockets(os.environ)
    sockets = {}
    addresses: dict[str, Address] = {name: getattr(config.listen, name) for name in LISTENERS}
    if config.acme is not None:
        addresses[CHALLENGES] = config.acme.listen
    for name, address in addresses.items():
        try:
            sockets[name] = (
                inherit_socket(inherited[name], address)
                if name in inherited
                else open_socket(address)
            )
        except OSError as error:
            raise OSError(f"the {name} listener can't use {address}: {error}") from None
    return sockets


def _close(sockets: Mapping[str, ListeningSocket]) -> None:
    for listening in sockets.values():
        listening.close()


def _run(running: Running, life: Alone, sockets: OpenSockets) -> int:
    try:
        return asyncio.run(_serve(running, life, sockets))
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


async def _serve(running: Running, life: Alone, sockets: OpenSockets) -> int:
    with life.living(running) as stop:
        try:
            running.open()
            running.deliver_tokens()
            running.is_ending = lambda: stop.is_wanted
            opened = sockets()
            listeners = running.listeners(opened)  # opened last: who is let in can be served
            follower = asyncio.create_task(running.follow_files())
            log.info("Portal %s at %s", running.portal.id, running.portal.hosts.origin)
            if running.portal.config.id == NEW:
                log.warning("portal.yaml says `id: new`: this identity is one to throw away")
            for listener in listeners:
                log.info("%s listener: %s", listener.name, listener.where)
            collect_rarely()
            life.serves(_who(running))
            if running.worker == 0:
                _note_running(running, opened)
            try:
                served: tuple[Served, ...] = (*listeners, running.entrances)
                return await _run_followed(served, stop, running, follower)
            finally:
                follower.cancel()
                await asyncio.wait((follower,))
        finally:
            await running.close()


def _note_running(running: Running, sockets: Mapping[str, ListeningSocket]) -> None:
    """Note where this proxy listens, for ``health``; nobody waits for that."""
    portal = running.portal
    config = portal.config
    listeners = [
        NotedListener(
            name,
            str(getattr(config.listen, name)),
            listening.bound,
            tls=name == "public" and config.tls is not None,
            host=portal.hosts.origin.authority if name == "public" else "localhost",
        )
        for name, listening in sockets.items()
        if name in LISTENERS
    ]
    path = State(config.state).running_note
    note = partial(note_running, path, portal.id, config.folder, listeners)
    with suppress(RuntimeError):  # where no thread can be had just now, health will cost more
        threading.Thread(target=note, name="note", daemon=True).start()


async def _run_followed(
    listeners: Sequence[Served], stop: Stop, running: Running, follower: asyncio.Task[None]
) -> int:
    """Run ``listeners`` as long as the files are followed; returns the exit status.

    Whoever doesn't hear of removals mustn't serve: then all ends at once, as after two signals.
    """
    serving = asyncio.create_task(run(listeners, stop, lambda: running.portal.config.grace))
    await asyncio.wait((serving, follower), return_when=asyncio.FIRST_COMPLETED)
    is_followed = serving.done()
    if not is_followed:
        failure = None if follower.cancelled() else follower.exception()
        log.critical("nothing is followed any more, so the proxy ends", exc_info=failure)
        stop.want()
        stop.want()
    await serving
    return 0 if is_followed else 1
