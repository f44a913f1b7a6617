"""The 100 that a body waits for, where its head asked for one (RFC 9110, section 10.1.1)."""

import asyncio
from collections.abc import Callable

INVITATION = 1.0
"""Seconds that a body waits for the 100 that was asked for; some servers never send one."""


class Invitation:
    """Calls ``then`` where the server keeps the body waiting, unless it is cancelled before."""

    __slots__ = ("_then", "_timer", "is_late")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, then: Callable[[], None], *, comes: bool
    ) -> None:
        """Wait for no more than a turn of the loop where no invitation ``comes``."""
        self._then = then
        self.is_late = False
        """Whether a server that may invite didn't."""
        self._timer = loop.call_later(INVITATION if comes else 0, self._expire, comes)

    def _expire(self, comes: bool) -> None:  # noqa: FBT001 - a timer's argument
        self.is_late = comes
        self._then()

    def cancel(self) -> None:
        """Wait for nothing any more."""
        self._timer.cancel()
