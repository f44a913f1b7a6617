"""How long a client may take, and how much it may leave unread: uvicorn bounds none of it.

A bound on silence alone isn't enough: a byte a second keeps a connection busy for ever. Bodies are
therefore held to a rate, in both directions.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionTimeouts:
    """Seconds and bytes for one connection of a client."""

    head: float = 15.0
    """From a request's first byte to the end of its head."""
    idle: float = 75.0
    """Between two requests."""
    window: float = 20.0
    """In each such stretch a body must move by ``rate`` bytes a second, in or out."""
    rate: int = 500
    unread: int = 256 * 1024
    """Bytes of a refused request's body that are read past, to keep the connection."""
    linger: float = 2.0
    """For a client to read its answer, before a connection with unread bytes is closed."""
    last_call: float = 1.0
    """For a client that has connected and not asked yet, when the listener ends."""
    buffered: int = 128 * 1024
    """Bytes of a request's body, or of pipelined requests, that wait to be taken, at most.

    Above half of it nothing is read: the other half is a read's.
    """
    stall: float = 60.0
    """For a client behind a 101 to take nothing at all of what waits for it."""
