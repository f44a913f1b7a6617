"""The connections of one listener: how many in all, and from each client's address."""

from collections.abc import Callable

from proxy.config.limits import Bounds
from proxy.core.http.forwarded import NOBODY, Address, Trusted
from proxy.core.http.client_network import neighbourhood


class Full(Exception):
    """A connection that is one too many; its text says why, for the owner's log."""


class Crowd:
    """Counts connections from their acceptance to their end, TLS handshakes included."""

    def __init__(self, bounds: Bounds, trusted: Trusted = NOBODY) -> None:
        """``trusted`` are web servers, whose clients come from one address."""
        self._bounds = bounds
        self._trusted = trusted
        self._size = 0
        self._from: dict[Address, int] = {}

    def __len__(self) -> int:
        return self._size

    def enter(self, address: str) -> Callable[[], None]:
        """Count a connection from ``address``, "" for a unix socket; raises ``Full``.

        Returns what is to be called when it has ended; a second call does nothing.
        """
        if self._size >= self._bounds.connections:
            raise Full(f"{self._size} connections")
        key = neighbourhood(address, self._trusted)
        if key is not None:
            here = self._from.get(key, 0)
            if here >= self._bounds.connections_per_address:
                raise Full(f"{here} connections from {key}")
            self._from[key] = here + 1
        self._size += 1
        return _Once(self, key).leave

    def leave(self, key: Address | None) -> None:
        """Count it no more."""
        self._size -= 1
        if key is not None:
            self._from[key] -= 1
            if not self._from[key]:
                del self._from[key]


class _Once:
    """A connection that leaves once, however often it is told to."""

    __slots__ = ("_crowd", "_key")

    def __init__(self, crowd: Crowd, key: Address | None) -> None:
        self._crowd: Crowd | None = crowd
        self._key = key

    def leave(self) -> None:
        crowd, self._crowd = self._crowd, None
        if crowd is not None:
            crowd.leave(self._key)
