"""Both ways of a client's connection: how long each has been still, and how slow it is.

``ReadSide`` is what comes in; ``WriteSide`` what leaves. Each waits for whoever takes it, and a
client is judged only while it could go on.
"""

import asyncio
import fcntl
import logging
import select
import socket
import struct
import termios
from contextlib import suppress
from time import monotonic
from typing import Protocol

from proxy.http.server.timeouts import ConnectionTimeouts, Deadline

log = logging.getLogger("proxy.http")

LOOK = 0.5
"""Seconds between two looks whether a client that was made to wait is still there."""
_GONE = select.POLLHUP | select.POLLERR
_ENDED = getattr(select, "POLLRDHUP", 0)
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: discard what is unsent, and reset."""
_UNKNOWN = -(1 << 62)
_COUNT = struct.Struct("i")


class Leavable(Protocol):
    """The connection, as far as it is told that its client left."""

    def be_left(self) -> None:
        """End it."""


class ReadSide:
    """What comes in on one connection."""

    __slots__ = (
        "_came",
        "_connection",
        "_had_to_send",
        "_is_open",
        "_look",
        "_loop",
        "_signs",
        "_timeouts",
        "_transport",
        "moved_at",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        timeouts: ConnectionTimeouts,
        connection: Leavable,
    ) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._connection: Leavable | None = connection
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None
        self._is_open = True
        self._had_to_send = False
        self._came = 0
        self._signs = _GONE | _ENDED
        self.moved_at = monotonic()
        """When the last bytes came, or the client could go on."""

    @property
    def has_more(self) -> bool:
        """Whether something has come that the loop hasn't seen."""
        return bool(self._poll(select.POLLIN))

    def disable_timeouts(self) -> None:
        """Take a client that ended its side for one that is still there."""
        self._signs = _GONE

    def note(self, size: int) -> None:
        """Take note of bytes that came."""
        self._came += size
        self.moved_at = monotonic()

    def shut(self) -> None:
        """Make the client wait."""
        if self._is_open:
            self._is_open = self._had_to_send = False
            self._transport.pause_reading()
            self._look_soon()

    def open(self) -> None:
        """Let the client go on."""
        self.forget()
        if not self._is_open:
            self._is_open = True
            self.moved_at = monotonic()
            self._transport.resume_reading()

    def forget(self) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def lose(self) -> None:
        """Look no more, and hold nobody who would be told: the connection is gone."""
        self.forget()
        self._connection = None

    def _look_soon(self) -> None:
        self._look = self._loop.call_later(LOOK, self._look_for_client)

    def _look_for_client(self) -> None:
        """Tell of a client that left: its end stands behind bytes that nobody reads now."""
        if self._poll(self._signs):
            self._look = None
            if self._connection is not None:
                self._connection.be_left()
        else:
            self._look_soon()

    def _poll(self, signs: int) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), signs)
        return poll.poll(0)

    # The client's pace.

    def patience(self, *, wanted: bool, is_answered: bool) -> float:
        """Return the seconds that are left for the client to send on.

        All of them where it needn't or can't, and while it gets its response meanwhile: who talks
        in both directions at once may listen for long.
        """
        now = monotonic()
        if not wanted or not self._is_open or is_answered:
            self.moved_at = now
        return self.moved_at + self._timeouts.body - now

    def begin_window(self, *, wanted: bool) -> None:
        """Begin to measure what comes; ``wanted`` tells whether the client should send."""
        self._had_to_send = wanted and self._is_open
        self._came = 0

    def is_too_slow(self) -> bool:
        """Tell whether the client could have sent more in all of the window, and hasn't."""
        return self._had_to_send and self._came < self._timeouts.rate * self._timeouts.window


class WriteSide:
    """What leaves on one connection, whose deadline is ``deadline``."""

    __slots__ = (
        "_deadline",
        "_had_to_take",
        "_has_no_rate",
        "_is_delivering",
        "_left_then",
        "_moved_at",
        "_timeouts",
        "_transport",
        "_window_left",
        "_written",
        "_written_then",
        "is_shut",
    )

    def __init__(
        self, transport: asyncio.Transport, deadline: Deadline, timeouts: ConnectionTimeouts
    ) -> None:
        self._transport = transport
        self._deadline = deadline
        self._timeouts = timeouts
        self._written = 0
        self._written_then = 0
        self._left_then = _UNKNOWN
        self._moved_at = monotonic()
        self._window_left = 0
        self._had_to_take = False
        self._has_no_rate = False
        self._is_delivering = False
        self.is_shut = False
        """Whether the client takes nothing more for now."""

    @property
    def is_busy(self) -> bool:
        """Whether something is still on its way out."""
        return bool(self._transport.get_write_buffer_size())

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self._written += len(data)
        self._transport.write(data)

    def write_end(self) -> None:
        """Send our end behind what is written; the client's may still be to come."""
        with suppress(OSError):  # the client reset the connection: the loop tells of it soon
            self._transport.write_eof()

    def shut(self) -> None:
        """Have nothing more written."""
        self.is_shut = True
        if self._has_no_rate:
            self.begin()
            self._watch_stall()

    def open(self) -> None:
        """Let more be written."""
        self.is_shut = False
        self._had_to_take = False
        if self._is_delivering:
            self._is_delivering = False
            self._transport.set_write_buffer_limits()

    def deliver(self) -> None:
        """Be shut until the socket has taken all that was written."""
        if self.is_busy:
            self._is_delivering = True
            self._transport.set_write_buffer_limits(high=0)

    # The client's pace.

    def has_written(self) -> bool:
        """Tell whether anything was written since this was asked last."""
        written, self._written_then = self._written_then, self._written
        return written != self._written

    def begin(self) -> None:
        """Begin to look whether the client takes what waits for it."""
        self._left_then = _UNKNOWN

    def patience(self) -> float:
        """Return the seconds that are left for the client to take something of what waits.

        What it takes shows only when somebody looks: a client may get a little more time.
        """
        now, left = monotonic(), self._left()
        if left != self._left_then or not self.is_busy:
            self._left_then, self._moved_at = left, now
        return self._moved_at + self._timeouts.send - now

    def begin_window(self) -> None:
        """Begin to measure what the client takes."""
        self._had_to_take = self.is_shut
        if self._had_to_take:
            self._window_left = self._left()

    def is_too_slow(self) -> bool:
        """Tell whether the client could have taken more in all of the window, and hasn't."""
        if not self._had_to_take:
            return False
        return self._left() - self._window_left < self._timeouts.rate * self._timeouts.window

    def _left(self) -> int:
        """Return how many bytes the client's machine has."""
        unsent = self._transport.get_write_buffer_size()
        return self._written - unsent - _in_kernel(self._transport)

    def disable_timeouts(self) -> None:
        """Ask for no rate any more: the client only has to take something of what waits for it."""
        self._has_no_rate = True
        if self.is_shut:
            self.begin()
            self._watch_stall()

    def _watch_stall(self) -> None:
        if not self.is_shut:
            return
        if (left := self.patience()) <= 0:
            log.warning("a client takes nothing")
            self.break_off()
        else:
            self._deadline.within(min(left, self._timeouts.send / 4), self._watch_stall)

    # The end.

    def break_off(self) -> None:
        """Reset the connection."""
        with suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
        self._transport.abort()

    def close(self) -> None:
        """Close a connection on which nothing waits."""
        self._transport.close()
        if self.is_busy:  # with TLS's own end, and nobody need take that
            self.begin()
            self.watch_rest()

    def watch_rest(self) -> None:
        """Bound the time in which a client that left takes nothing of the rest of its response."""
        if not self.is_busy:
            self._deadline.within(self._timeouts.ending, self._transport.abort)
        elif (left := self.patience()) <= 0:
            self.break_off()
        else:
            self._deadline.within(min(left, self._timeouts.send / 4), self.watch_rest)


def _in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes wait in the kernel to be taken, 0 where it doesn't tell.

    It may hold megabytes, and then takes nothing from us while a slow client takes a third of them.
    """
    sock = transport.get_extra_info("socket")
    try:
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
    except (OSError, ValueError):
        return 0
    return int(_COUNT.unpack(told)[0])
