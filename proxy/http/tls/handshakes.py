"""How many handshakes of one client's network run at once; the others wait for their turn.

A handshake costs a millisecond of CPU and holds some 40 KiB, before anybody knows what its client
is after. One that waits holds nothing but its socket, and what its client sent stays in the kernel.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class HandshakeLimiter:
    """Counts handshakes by network."""

    def __init__(self, most: int) -> None:
        """``most`` of one network run at once."""
        self._most = most
        self._running: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, network: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, in the order in which it was asked for; None needs none."""
        if network is None:
            yield
            return
        await self._take(network)
        try:
            yield
        finally:
            self._pass_on(network)

    async def _take(self, network: Hashable) -> None:
        running = self._running.get(network, 0)
        if running < self._most:
            self._running[network] = running + 1
            return
        turn = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(network, deque())
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on(network)
            else:
                self._forget(network, turn)
            raise

    def _forget(self, network: Hashable, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(network)
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._waiting[network]

    def _pass_on(self, network: Hashable) -> None:
        """Give a turn that is over to whoever waits longest."""
        waiting = self._waiting.get(network)
        while waiting:
            turn = waiting.popleft()
            if not waiting:
                del self._waiting[network]
            if not turn.done():
                turn.set_result(None)
                return
        self._running[network] -= 1
        if not self._running[network]:
            del self._running[network]
