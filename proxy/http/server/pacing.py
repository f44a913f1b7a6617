"""Both ways of a client's connection: each has to keep a rate, and waits for whoever takes it.

``ReadSide`` is what comes in; ``WriteSide`` what leaves, and the two ways to end a connection.
"""

import asyncio
import logging
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from proxy.http.server.timeouts import ConnectionTimeouts, Deadline

log = logging.getLogger("proxy.http")

LOOK = 0.5
"""Seconds between two looks whether a client that was made to wait is still there."""
_GONE = select.POLLHUP | select.POLLERR
_ENDED = getattr(select, "POLLRDHUP", 0)
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: discard what is unsent, and reset."""


class ReadSide:
    """What comes in on one connection."""

    def __init__(
        self,
        transport: asyncio.Transport,
        timeouts: ConnectionTimeouts,
        on_gone: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._on_gone = on_gone
        self._look: asyncio.TimerHandle | None = None
        self._is_open = True
        self._had_to_send = False
        self._came = 0
        self._signs = _GONE | _ENDED

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
            self._transport.resume_reading()

    def forget(self) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_soon(self) -> None:
        self._look = asyncio.get_running_loop().call_later(LOOK, self._look_for_client)

    def _look_for_client(self) -> None:
        """Tell of a client that left: its end stands behind bytes that nobody reads now."""
        if self._poll(self._signs):
            self._look = None
            self._on_gone()
        else:
            self._look_soon()

    def _poll(self, signs: int) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), signs)
        return poll.poll(0)

    def begin_window(self, *, wanted: bool) -> None:
        """Begin to measure what comes; ``wanted`` tells whether the client should send."""
        self._had_to_send = wanted and self._is_open
        self._came = 0

    def is_too_slow(self) -> bool:
        """Tell whether the client could have sent more in all of the window, and hasn't."""
        return self._had_to_send and self._came < self._timeouts.rate * self._timeouts.window


class WriteSide:
    """What leaves on one connection; ``deadline`` is the connection's one timer."""

    def __init__(
        self, transport: asyncio.Transport, deadline: Deadline, timeouts: ConnectionTimeouts
    ) -> None:
        self._transport = transport
        self._deadline = deadline
        self._timeouts = timeouts
        self._written = 0
        self._left_then = 0
        self._had_to_take = False
        self._is_lingering = False
        self._has_no_rate = False
        self.writable: asyncio.Future[None] | None = None
        """What to wait for while the client takes nothing more."""

    @property
    def is_busy(self) -> bool:
        """Whether something is still on its way out."""
        return self._is_lingering or bool(self._transport.get_write_buffer_size())

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self._written += len(data)
        self._transport.write(data)

    def write_end(self) -> None:
        """Send our end behind what is written; where only a whole connection can end, end it."""
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client reset the connection: the loop tells of it soon
                self._transport.write_eof()
        else:
            self._transport.close()

    def shut(self) -> None:
        """Make whoever writes wait."""
        self.writable = asyncio.get_running_loop().create_future()
        if self._has_no_rate:
            self._begin_stall()

    def open(self) -> None:
        """Let whoever writes go on."""
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None
        self._had_to_take = False

    # The client's pace.

    def begin_window(self) -> None:
        """Begin to measure what the client takes."""
        self._had_to_take = self.writable is not None
        self._left_then = self._left()

    def is_too_slow(self) -> bool:
        """Tell whether the client could have taken more in all of the window, and hasn't."""
        return self._had_to_take and self._took_too_little()

    def _took_too_little(self) -> bool:
        return self._left() - self._left_then < self._timeouts.rate * self._timeouts.window

    def _left(self) -> int:
        return self._written - self._transport.get_write_buffer_size()

    def disable_timeouts(self) -> None:
        """Ask for no rate any more: the client only has to take something of what waits for it."""
        self._has_no_rate = True
        if self.writable is not None:
            self._begin_stall()

    def _begin_stall(self) -> None:
        self._left_then = self._left()
        self._deadline.within(self._timeouts.stall, self._look_at_stall)

    def _look_at_stall(self) -> None:
        if self.writable is not None and self._left() == self._left_then:
            log.warning("a client takes nothing")
            self.break_off()
        elif self.writable is not None:
            self._begin_stall()

    # The end.

    def break_off(self) -> None:
        """Reset the connection."""
        with suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
        self._transport.abort()

    def close_gently(self) -> None:
        """Send the end behind what is written; whatever comes in meanwhile must be read past."""
        if self._is_lingering or self._transport.is_closing():
            return
        self._is_lingering = True
        self.write_end()
        self.watch()

    def watch(self) -> None:
        """Bound the time that the rest of the response takes to leave, and the client to close."""
        if self._transport.get_write_buffer_size():
            self._left_then = self._left()
            self._deadline.within(self._timeouts.window, self._look_at_rest)
        else:
            self._deadline.within(self._timeouts.linger, self._transport.abort)

    def _look_at_rest(self) -> None:
        if self._transport.get_write_buffer_size() and self._took_too_little():
            self.break_off()
        else:
            self.watch()
