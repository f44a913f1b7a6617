"""``serve``: from the sockets to the exit status, in one process or in several workers."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from proxy import logging_setup as logs
from proxy.config.listen import LISTENERS, Address, Listen
from proxy.server.compose import compose
from proxy.config.portal_yaml import Config
from proxy.core.errors import Invalid
from proxy.server.allocator import keep_buffers
from proxy.server.gc_tuning import collect_rarely
from proxy.server.listener import Stop, run
from proxy.server.sockets import Door, lent_door, lent_sockets, open_door, raise_descriptor_limit
from proxy.server.workers import Workers

log = logging.getLogger("proxy")

Doors = Callable[[], Mapping[str, Door]]
"""Opens every listener's socket, or returns those that were opened; raises ``OSError``."""

_ENDING = {signal.SIGINT, signal.SIGTERM}


def serve(config: Config, workers: int = 1) -> int:
    """Run the proxy until SIGINT or SIGTERM, in so many processes; returns the exit status."""
    logs.set_up(config.log)
    raise_descriptor_limit()
    keep_buffers()
    # From its first moment a socket lets people in: who ends us before they are served has to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    if workers == 1:
        return _run(config, partial(_open_doors, config.listen), None)
    try:
        doors = _open_doors(config.listen)
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1
    for door in doors.values():
        door.is_shared = True
    config = replace(config, limits=config.limits.shared_by(workers))
    log.info("%d workers serve", workers)
    return Workers(workers, partial(_work, config, doors), partial(_close, doors)).run()


def _open_doors(listen: Listen) -> dict[str, Door]:
    """Bind every listener's socket, or take the one that is lent; raises ``OSError``."""
    lent = lent_sockets(os.environ)
    doors = {}
    for name in LISTENERS:
        address: Address = getattr(listen, name)
        try:
            doors[name] = lent_door(lent[name], address) if name in lent else open_door(address)
        except OSError as error:
            raise OSError(f"the {name} listener can't use {address}: {error}") from None
    return doors


def _close(doors: Mapping[str, Door]) -> None:
    for door in doors.values():
        door.close()


def _work(config: Config, doors: Mapping[str, Door], end: int) -> int:
    """Be one of several workers, until ``end`` is at its end: then the first process has gone."""
    try:
        return _run(config, lambda: doors, end)
    except Invalid as invalid:
        log.error("%s", invalid)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


def _run(config: Config, doors: Doors, end: int | None) -> int:
    try:
        return asyncio.run(_serve(config, doors, end))
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


async def _serve(config: Config, doors: Doors, end: int | None) -> int:
    running = compose(config)
    try:
        running.deliver_tokens()
        listeners = running.listeners(doors())  # opened last: who is let in can be served
        stop = _stop_of(end)
        follower = asyncio.create_task(running.follow_files())
        log.info("Portal %s at %s", running.portal.id, running.portal.hosts.origin)
        for listener in listeners:
            log.info("%s listener: %s", listener.name, listener.where)
        collect_rarely()
        try:
            await run(listeners, stop, config.grace)
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
    finally:
        await running.close()
    return 0


def _stop_of(end: int | None) -> Stop:
    """Return the wish to end, uttered by whoever may utter it."""
    loop, stop = asyncio.get_running_loop(), Stop()

    def orphaned(end: int) -> None:
        loop.remove_reader(end)
        stop.want()

    loop.add_signal_handler(signal.SIGTERM, stop.want)
    if end is None:
        loop.add_signal_handler(signal.SIGINT, stop.want)
    else:
        loop.add_reader(end, orphaned, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    return stop
