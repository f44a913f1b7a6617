"""The end of a connection whose client may still be sending.

Closing with unread bytes resets the connection, and the reset overtakes what was written: a client
that sends all of its body before it reads would never hear why that was refused. So our end is
sent behind the response, and what comes is read past, for as long as something comes and not
longer than is bearable. Nothing of it is looked at.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from proxy.http.server.pacing import WriteSide
from proxy.http.server.timeouts import ConnectionTimeouts, Deadline


class Lingering:
    """The end of one connection, whose deadline is ``deadline``."""

    def __init__(
        self,
        transport: asyncio.Transport,
        deadline: Deadline,
        timeouts: ConnectionTimeouts,
        write_side: WriteSide,
        is_short: Callable[[], bool],
    ) -> None:
        """``is_short`` tells whether connections are: then nobody lingers for long."""
        self._transport = transport
        self._deadline = deadline
        self._timeouts = timeouts
        self._write_side = write_side
        self._is_short = is_short
        self._left = timeouts.linger_bytes
        self._came_at = 0.0
        self._since: float | None = None
        """When the last byte of the response had left."""
        self._is_hurried = False

    def begin(self, *, is_hurried: bool) -> None:
        """Send our end behind what was written, and read past whatever still comes."""
        self._is_hurried = is_hurried
        self._came_at = monotonic()
        self._write_side.begin()
        self._write_side.write_end()
        self._look()

    def note(self, size: int) -> None:
        """Take note of bytes that came, and nobody wants."""
        self._came_at = monotonic()
        self._left -= size
        if self._left < 0:
            self._transport.abort()

    def hurry(self) -> None:
        """Linger no longer than needed for who reads at once: the listener ends."""
        self._is_hurried = True
        self._look()

    def _look(self) -> None:
        """End it where it is time, or look again then."""
        if self._write_side.is_busy:
            if self._write_side.patience() <= 0:
                self._write_side.break_off()
            else:
                often = min(self._timeouts.ending, self._timeouts.send / 4)
                self._deadline.within(often, self._look)
            return
        now = monotonic()
        if self._since is None:
            self._since = now
        most = self._timeouts.linger_most
        if self._is_hurried or self._is_short():
            most = min(most, self._timeouts.ending)
        left = (
            min(self._since + most, max(self._since, self._came_at) + self._timeouts.linger) - now
        )
        if left <= 0:
            self._transport.abort()
        else:
            self._deadline.within(min(left, self._timeouts.ending), self._look)
