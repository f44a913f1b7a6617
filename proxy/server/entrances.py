"""The listeners of the apps' own entrances, in a process that serves: they come and go with apps.

Where an entrance is gone, nothing goes on there: who is connected isn't that app any more.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.config.apps import App
from proxy.config.limits import Limits
from proxy.core.errors import Problem
from proxy.core.http.forwarded import NOBODY
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.outbound.app import Outbound
from proxy.outbound.entrance import EntranceApp
from proxy.server.entrance_sockets import LOG, EntranceSockets, Key, told, wanted_by
from proxy.server.listener import Listener
from proxy.server.sockets import ListeningSocket
from proxy.transfer.disk_thread import DiskThread
from proxy.transfer.limiters import ConnectionLimiter

NAME = "entrance"
FAREWELL = 2.0
"""Seconds in which those at a removed entrance may hear that it is."""
_NOT_YET = "isn't open yet"

_log = logging.getLogger(LOG)


class SocketSource(Protocol):
    """Whoever has the sockets."""

    @property
    def current(self) -> Mapping[Key, ListeningSocket]:
        """Those that are open."""

    @property
    def problems(self) -> Mapping[Key, str]:
        """Why others aren't."""

    async def look(self, apps: Mapping[str, App], thread: DiskThread) -> None:
        """Take over what changed."""

    def close(self) -> None:
        """Let go of all of them."""


class OwnSockets:
    """A process that opens its sockets itself."""

    def __init__(self, sockets: EntranceSockets) -> None:
        self._sockets = sockets

    @property
    def current(self) -> Mapping[Key, ListeningSocket]:
        return self._sockets.current

    @property
    def problems(self) -> Mapping[Key, str]:
        return self._sockets.problems

    async def look(self, apps: Mapping[str, App], thread: DiskThread) -> None:
        await thread.run(lambda: self._sockets.follow(apps))

    def close(self) -> None:
        self._sockets.close_ours()


@dataclass(frozen=True)
class Behind:
    """What every entrance has in common with the apps listener."""

    outbound: Outbound
    limiter: ConnectionLimiter
    """Connections are counted together: there are no more descriptors for those at entrances."""
    timeouts: ConnectionTimeouts
    limits: Limits
    is_held: Callable[[], bool]


@dataclass(frozen=True)
class _Served:
    source: ListeningSocket
    """What the listener's own descriptor is one of."""
    listener: Listener
    app: EntranceApp


class Entrances:
    """All of one process, as one that begins and ends with its listeners."""

    def __init__(self, apps: Callable[[], Mapping[str, App]], source: SocketSource) -> None:
        self._apps = apps
        self._source = source
        self._behind: Behind | None = None
        self._served: dict[Key, _Served] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._has_begun = False
        self._is_ending = False

    def stand_before(self, behind: Behind) -> None:
        """Serve by what is ``behind``, or go by its settings from the next connection on."""
        self._behind = behind
        for served in self._served.values():
            served.listener.take_settings(behind.timeouts, behind.limits, NOBODY)
            served.app.take_settings(behind.outbound.context.transports)

    def end_lost_tunnels(self) -> None:
        """End the tunnels that apps hold open there, and couldn't open any more."""
        for served in self._served.values():
            served.app.end_lost_tunnels()

    def problems(self) -> tuple[Problem, ...]:
        """Return which entrances that apps have by their files aren't open, and why."""
        wanted, found = wanted_by(self._apps()), self._source.problems
        waiting = {key: _NOT_YET for key in wanted if self._has_begun and key not in self._served}
        return told({**waiting, **{k: what for k, what in found.items() if k in wanted}}.items())

    async def follow(self, thread: DiskThread) -> None:
        """Look at what apps there are, and have their entrances open, and no others."""
        if not self._has_begun or self._is_ending:
            return  # perhaps there are no listeners in this process, nor will be
        self._take()
        await self._source.look(dict(self._apps()), thread)
        self._take()

    def lend(self) -> None:
        """Leave the sockets open, as others go on taking connections from them."""
        for served in self._served.values():
            served.listener.listening.is_inherited = True

    def _take(self) -> None:
        """Open and close what is to be; where one ends, others are there in the same turn."""
        behind, there = self._behind, self._source.current
        if behind is None or not self._has_begun or self._is_ending:
            return
        apps = self._apps()
        wanted = wanted_by(apps)
        for key, served in tuple(self._served.items()):
            if key not in wanted or there.get(key) is not served.source:
                del self._served[key]
                self._leave(served.listener)
        for key in wanted.keys() - self._served.keys():
            if key in there:
                self._served[key] = served = self._serve(behind, apps[key.app], there[key])
                served.listener.begin()

    def _serve(self, behind: Behind, app: App, source: ListeningSocket) -> _Served:
        behind_it = EntranceApp(behind.outbound, app)
        own = source.another()
        listener = Listener(NAME, behind_it, own, behind.timeouts, behind.limiter)
        listener.is_held = behind.is_held
        return _Served(source, listener, behind_it)

    def _leave(self, listener: Listener) -> None:
        task = asyncio.get_running_loop().create_task(_end_soon(listener))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # As one of the listeners.

    def begin(self) -> None:
        """Have entrances opened from the next look on."""
        self._has_begun = True

    async def end(self) -> None:
        """End all as other listeners end."""
        self._is_ending = True
        ending = [served.listener.end() for served in self._served.values()]
        await asyncio.gather(*ending, *self._leaving)
        self._source.close()

    async def break_off(self) -> None:
        """End at once whatever still runs."""
        self._is_ending = True
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await asyncio.gather(*(served.listener.break_off() for served in self._served.values()))
        self._source.close()


async def _end_soon(listener: Listener) -> None:
    """End a listener whose entrance is gone, and break off what hasn't ended in a moment."""
    try:
        async with asyncio.timeout(FAREWELL):
            await listener.end()
    except TimeoutError:
        _log.info("what still ran at %s is cut off", NAME)
    finally:
        await listener.break_off()
