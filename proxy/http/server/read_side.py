"""What comes in on a client's connection: stopped while nobody takes it, and held to a rate."""

import asyncio
import select
from collections.abc import Callable

from proxy.http.server.limits import Limits

LOOK = 0.5
"""Seconds between two looks whether a client that was made to wait is still there."""
_GONE = select.POLLHUP | select.POLLERR
_ENDED = getattr(select, "POLLRDHUP", 0)


class Inlet:
    """The way in of one connection."""

    def __init__(
        self, transport: asyncio.Transport, limits: Limits, on_gone: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._limits = limits
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

    def endure(self) -> None:
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
        return self._had_to_send and self._came < self._limits.rate * self._limits.window
