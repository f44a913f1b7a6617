"""What comes in on a client's connection: stopped while nobody takes it, and held to a rate."""

import asyncio

from proxy.hop.limits import Limits


class Inlet:
    """The way in of one connection."""

    def __init__(self, transport: asyncio.Transport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits
        self._is_open = True
        self._had_to_send = False
        self._came = 0

    def note(self, size: int) -> None:
        """Take note of bytes that came."""
        self._came += size

    def shut(self) -> None:
        """Make the client wait."""
        if self._is_open:
            self._is_open = self._had_to_send = False
            self._transport.pause_reading()

    def open(self) -> None:
        """Let the client go on."""
        if not self._is_open:
            self._is_open = True
            self._transport.resume_reading()

    def begin_window(self, *, wanted: bool) -> None:
        """Begin to measure what comes; ``wanted`` tells whether the client should send."""
        self._had_to_send = wanted and self._is_open
        self._came = 0

    def is_too_slow(self) -> bool:
        """Tell whether the client could have sent more in all of the window, and hasn't."""
        return self._had_to_send and self._came < self._limits.rate * self._limits.window
