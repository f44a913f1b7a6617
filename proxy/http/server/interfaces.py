"""What a request sees of its connection: the two faces of ``proxy.http.server.protocol``."""

from typing import Protocol

from proxy.http.server.timeouts import ConnectionTimeouts


class ResponseWriter(Protocol):
    """The connection as a cycle or a stream sees it."""

    @property
    def is_stopping(self) -> bool:
        """Whether no request may follow this one."""

    def write(self, data: bytes) -> None:
        """Send ``data``; follow it with ``drained``."""

    def write_end(self) -> None:
        """Send our end behind what was written; the client's may still be to come."""

    async def drained(self) -> None:
        """Wait until the client takes more."""

    def go_on_reading(self) -> None:
        """Read on once enough was taken."""

    def switch(self) -> None:
        """Leave HTTP: what comes from now on, and what has come already, is the cycle's stream."""


class ConnectionControl(ResponseWriter, Protocol):
    """The connection as its turns see it."""

    limits: ConnectionTimeouts

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""

    def await_head(self) -> None:
        """Bound the time until a head that has begun is whole."""

    def await_turn(self) -> None:
        """Bound the time until the next request begins, and let it come."""

    def await_last(self, *, is_new: bool) -> None:
        """End, unless a request has come that wasn't read yet; give a new client a moment."""

    def await_rest(self) -> None:
        """Bound the time until a body that nobody wants has ended, and let it come."""

    def begin_window(self) -> None:
        """Hold both bodies to their pace."""

    def end(self) -> None:
        """End a connection on which nothing is asked any more."""

    def close_gently(self) -> None:
        """Close so that the client can still read its answer."""

    def break_off(self) -> None:
        """Close so that the client can't take what it got for the whole."""
