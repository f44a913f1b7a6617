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
from proxy.config.portal_yaml import Config
from proxy.core.errors import Invalid
from proxy.server.compose import compose
from proxy.server.listener import Stop, run
from proxy.server.sockets import (
    ListeningSocket,
    inherit_socket,
    inherited_sockets,
    open_socket,
    raise_descriptor_limit,
)
from proxy.server.tuning import collect_rarely, keep_buffers
from proxy.server.workers import Workers

log = logging.getLogger("proxy")

OpenSockets = Callable[[], Mapping[str, ListeningSocket]]
"""Opens every listener's socket, or returns those that were opened; raises ``OSError``."""

_ENDING = {signal.SIGINT, signal.SIGTERM}


def serve(config: Config, workers: int = 1) -> int:
    """Run the proxy until SIGINT or SIGTERM, in so many processes; returns the exit status."""
    logs.set_up(config.log)
    raise_descriptor_limit()
    keep_buffers()
    # From its first moment a socket lets clients in: a signal has to wait until they are served.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    if workers == 1:
        return _run(config, partial(_open_sockets, config.listen), None)
    try:
        sockets = _open_sockets(config.listen)
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1
    for listening in sockets.values():
        listening.is_shared = True
    config = replace(config, limits=config.limits.shared_by(workers))
    log.info("%d workers serve", workers)
    return Workers(workers, partial(_work, config, sockets), partial(_close, sockets)).run()


def _open_sockets(listen: Listen) -> dict[str, ListeningSocket]:
    """Bind every listener's socket, or take the one that is inherited; raises ``OSError``."""
    inherited = inherited_sockets(os.environ)
    sockets = {}
    for name in LISTENERS:
        address: Address = getattr(listen, name)
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


def _work(config: Config, sockets: Mapping[str, ListeningSocket], end: int) -> int:
    """Be one of several workers, until ``end`` is at its end: then the first process has gone."""
    try:
        return _run(config, lambda: sockets, end)
    except Invalid as invalid:
        log.error("%s", invalid)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


def _run(config: Config, sockets: OpenSockets, end: int | None) -> int:
    try:
        return asyncio.run(_serve(config, sockets, end))
    except OSError as error:
        log.error("%s", error)  # noqa: TRY400 - the owner's mistake, not ours
        return 1


async def _serve(config: Config, sockets: OpenSockets, end: int | None) -> int:
    running = compose(config)
    try:
        running.deliver_tokens()
        listeners = running.listeners(sockets())  # opened last: who is let in can be served
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
    """Return what tells when to end: by a signal, or because the first process has gone."""
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
