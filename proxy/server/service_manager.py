"""What systemd is told of a service with ``Type=notify``: sd_notify(3), a datagram for each word.

Without a manager that asks for it, nothing is told. Nothing here waits, and nothing that goes wrong
with it ends anything: a manager that hears nothing does what its unit says.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("proxy.service")

_MICROSECONDS = 1_000_000


class ServiceManager:
    """Who started this process, where that is one who wants to hear how it is."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._is_ending = False
        self._is_serving = False
        """From the first READY until the end: only then it may hear of reloads."""
        self._last_sign = 0.0
        self.sign_every = _watchdog(environ) / 2 if self._address else 0.0
        """Seconds between two signs of life; 0 where nobody waits for one."""

    def serves(self, what: str) -> None:
        """Tell that connections are taken; ``what`` is shown by ``systemctl status``."""
        self._is_serving = not self._is_ending
        self._tell(f"READY=1\nSTATUS={what}\nMAINPID={os.getpid()}")

    def reloads(self) -> None:
        """Tell that the settings are being read again: until ``has_reloaded``."""
        if not self._is_serving:
            return
        # When it began, so that nobody takes an earlier READY for the end of this one.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def has_reloaded(self) -> None:
        """Tell that the settings hold."""
        if self._is_serving:
            self._tell("READY=1")

    def ends(self) -> None:
        """Tell that the end has begun; once."""
        if not self._is_ending:
            self._is_ending, self._is_serving = True, False
            self._tell("STOPPING=1\nSTATUS=Ending")

    def lives(self) -> None:
        """Give a sign of life, where one is due."""
        now = time.monotonic()
        if self.sign_every and now - self._last_sign >= self.sign_every / 2:
            self._last_sign = now
            self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                sender.sendto(words.encode(), self._address)
        except OSError as error:
            log.warning("the service manager can't be told %s: %s", words.partition("\n")[0], error)


def _address(name: str) -> str:
    """Return the socket's address: a path, or an abstract name; "" where there is none of these."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _watchdog(environ: Mapping[str, str]) -> float:
    """Return the seconds within which a sign of life is due; 0 where none is."""
    text, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not text.isdecimal() or (whose and whose != str(os.getpid())):
        return 0.0
    return int(text) / _MICROSECONDS
