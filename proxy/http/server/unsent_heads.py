"""Heads of responses that wait for the first piece of their body, to be written together with it.

Where none follows at once, a head goes out on its own: in the event loop's next turn, with those of
all other connections. A turn for each of them would cost more than to write it.
"""

import asyncio
import logging
from typing import Protocol
from weakref import WeakKeyDictionary

log = logging.getLogger("proxy.http")

_of_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, UnsentHeads]" = WeakKeyDictionary()


class HasHead(Protocol):
    """A response whose head may wait."""

    def send_unsent_head(self) -> None:
        """Write it, unless it went out or nobody is there any more."""


class UnsentHeads:
    """Those of one loop."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[HasHead] = []

    def add(self, response: HasHead) -> None:
        """Have the head of ``response`` go out soon."""
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(response)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for response in waiting:
            try:
                response.send_unsent_head()
            except Exception:
                log.exception("a response's head couldn't be written")


def unsent_heads_of(loop: asyncio.AbstractEventLoop) -> UnsentHeads:
    """Return those of ``loop``."""
    heads = _of_loops.get(loop)
    if heads is None:
        heads = _of_loops[loop] = UnsentHeads(loop)
    return heads
