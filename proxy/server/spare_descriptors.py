"""Descriptors that are kept free for the follower: a removal must be followed when all are used.

Whoever holds idle connections enough takes every descriptor that the process may open. They are
closed for it in the event loop, which takes no connection until they are back: what the follower's
threads open meanwhile can't be taken from them by the next one who waits to be let in. A request of
somebody who is in may still take one, to connect to an app; then the next look has another chance.
"""

import errno
import logging
import os

from proxy.core.errors import Problem

COUNT = 8
"""How many are kept: a lock, a folder's listing and a file at once, for those lists that matter
most, and their siblings."""

_NONE_LEFT = {errno.EMFILE, errno.ENFILE}
_NO_MORE = Problem(
    "descriptors",
    "",
    "no more files or connections can be opened: give the proxy more of them (ulimit -n, "
    "LimitNOFILE=), or lower limits.connections",
)
_log = logging.getLogger("proxy.follower")


class SpareDescriptors:
    """``count`` of them, open from the first ``take_back`` on until they are released."""

    def __init__(self, count: int = COUNT) -> None:
        self._count = count
        self._held: list[int] = []
        self._is_told = False
        self.are_released = False
        """Whether whoever opens something now would take what the follower needs."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """That no further ones could be opened at the last look."""
        return (_NO_MORE,) if self._is_told else ()

    def release(self) -> bool:
        """Close them where no further one can be opened; tells whether they are released."""
        try:
            os.close(_open())
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                return False
            if not self._is_told:
                _log.error("%s", _NO_MORE)
            self._is_told = True
        else:
            self._is_told = False
            return False
        self._close()
        self.are_released = True
        return True

    def take_back(self) -> None:
        """Open as many of them as are missing, or as can be opened."""
        self.are_released = False
        while len(self._held) < self._count:
            try:
                self._held.append(_open())
            except OSError:
                return

    def close(self) -> None:
        """Keep none any more."""
        self.are_released = False
        self._close()

    def _close(self) -> None:
        while self._held:
            os.close(self._held.pop())


def _open() -> int:
    # Each is a file of its own: the system counts those, too, and waits for no disk.
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
