"""Whether an app's server is there: a connection is opened, and closed again, with nothing asked.

For owners' eyes alone. Nothing depends on it: apps may wait for the proxy, and start behind it.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Mapping
from typing import Literal

from proxy.http.client.happy_eyeballs import NEXT_ADDRESS, dial
from proxy.http.client.resolver import Resolver
from proxy.http.upstream import Destination

Finding = Literal["answers", "refuses", "can't be found", "is silent", "can't be reached"]
"""What became of a connection: taken; refused; a name without an address, or a socket that isn't
there; neither taken nor refused in time; anything else."""

PATIENCE = 2.0
"""Seconds for one look, the name's look-up included."""
PAUSE = 10.0
"""Seconds between two looks at one app, however often somebody asks."""
FIRST_WAIT = 0.5
"""Seconds that somebody who asks waits for looks that are on their way."""


async def look(to: Destination, resolver: Resolver, patience: float = PATIENCE) -> Finding:
    """Connect to ``to``, and tell what came of it; raises nothing."""
    try:
        async with asyncio.timeout(patience):
            await _connect(to, resolver)
    except TimeoutError:
        return "is silent"
    except (socket.gaierror, FileNotFoundError):
        return "can't be found"
    except ConnectionRefusedError:
        return "refuses"
    except OSError as error:
        # ``dial`` tells of each address why it failed.
        return "refuses" if f"[Errno {errno.ECONNREFUSED}]" in str(error) else "can't be reached"
    return "answers"


async def look_at_all(
    upstreams: Mapping[str, Destination], patience: float = PATIENCE
) -> dict[str, Finding]:
    """Look at all of them at once."""
    resolver = Resolver()
    found = await asyncio.gather(*(look(to, resolver, patience) for to in upstreams.values()))
    return dict(zip(upstreams, found, strict=True))


class UpstreamLooks:
    """What was last seen of each app; looked at anew when somebody asks, now and then."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._resolver = Resolver()
        self._found: dict[Destination, tuple[Finding, float]] = {}
        self._looking: dict[Destination, asyncio.Task[None]] = {}

    async def findings(self, upstreams: Mapping[str, Destination]) -> dict[str, Finding | None]:
        """Return what was seen last, by the apps' names; None where nothing was seen yet."""
        now, wanted = self._now(), set(upstreams.values())
        self._found = {to: seen for to, seen in self._found.items() if to in wanted}
        for to in wanted - self._looking.keys():
            seen = self._found.get(to)
            if seen is None or now - seen[1] >= PAUSE:
                self._looking[to] = asyncio.create_task(self._look(to))
        if unknown := [self._looking[to] for to in wanted if to in self._looking]:
            await asyncio.wait(unknown, timeout=FIRST_WAIT)
        seen_last = {name: self._found.get(to) for name, to in upstreams.items()}
        return {name: seen[0] if seen else None for name, seen in seen_last.items()}

    async def _look(self, to: Destination) -> None:
        try:
            self._found[to] = (await look(to, self._resolver), self._now())
        finally:
            del self._looking[to]


async def _connect(to: Destination, resolver: Resolver) -> None:
    if to.unix:
        _, writer = await asyncio.open_unix_connection(to.unix)
        writer.close()
        return
    host, port = to.connect or (to.origin.host, to.origin.port)
    addresses = await resolver.look_up(host.strip("[]"), port)
    (await dial(addresses, NEXT_ADDRESS)).close()
