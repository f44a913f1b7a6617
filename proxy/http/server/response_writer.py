"""A client's connection, as the exchange on it uses it."""

from typing import TYPE_CHECKING, Protocol

from proxy.http.downstream import Tunnel
from proxy.http.server.unsent_heads import UnsentHeads

if TYPE_CHECKING:
    from proxy.http.server.exchange import Exchange


class ResponseWriter(Protocol):
    """What an exchange asks of its connection."""

    @property
    def unsent_heads(self) -> UnsentHeads:
        """Where heads wait for their bodies."""

    @property
    def is_stopping(self) -> bool:
        """Whether no request may follow this one."""

    @property
    def is_write_blocked(self) -> bool:
        """Whether the client takes nothing more for now."""

    def write(self, data: bytes) -> None:
        """Send ``data``."""

    def write_end(self) -> None:
        """Send our end behind what was written; the client's may still be to come."""

    def deliver(self) -> None:
        """Be blocked until the client's side of the socket has all of it."""

    @property
    def unread_limit(self) -> int:
        """How many bytes of a body are read past when its request has its response."""

    def resume_reading(self) -> None:
        """Let the client send more, once enough was taken."""

    def switch_protocols(self) -> None:
        """Leave HTTP: what comes from now on, and what has come already, is a stream's."""

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """Have ``tunnel`` serve what is asked from now on."""

    def exchange_finished(self, exchange: "Exchange") -> None:
        """Go on to the next request."""

    def break_off(self) -> None:
        """Close so that the client can't take what it got for the whole."""
