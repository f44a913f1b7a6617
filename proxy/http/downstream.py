"""The one interface between a client's connection and what serves its requests.

``Downstream`` is the client's end of one request, and ``RequestHandler`` what serves it: each calls
the other from the event loop's callbacks, and neither waits. Whoever can't take more pauses the
other one. Our own connections are one end of this kind (``proxy.http.server``), an ASGI server's
``receive`` and ``send`` another.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Fields
from proxy.core.http1.grammar import RequestHead


class RequestHandler(Protocol):
    """What serves one request. It raises nothing, and is told nothing behind its ``finish``."""

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the request's body, b"" where only its end came.

        Behind ``switch_protocols`` they are the stream's bytes. Isn't called while paused.
        """

    def client_left(self) -> None:
        """Take note that the client is gone, or its request broken: nothing reaches it any more.

        The last that is called. ``finish`` is still due.
        """

    def pause_response(self) -> None:
        """Send no more for now; may be called from within ``send``."""

    def resume_response(self) -> None:
        """Go on sending; of a response that was sent to its end: the client's side has it all."""

    def stop(self) -> None:
        """Take note, behind ``switch_protocols`` alone, that the server is about to end."""

    def is_place_short(self) -> bool:
        """Tell whether others wait for the place of this request: then slowness counts."""


class Tunnel(Protocol):
    """What serves the requests in a tunnel that ends here, in the place of who served CONNECT."""

    @property
    def name(self) -> str:
        """Whose it is, and where it leads, for the log."""

    def serve(self, head: RequestHead, remote: RemotePeer, client: "Downstream") -> RequestHandler:
        """Begin to serve a request in it: a ``Serve``."""

    def opened(self, end: Callable[[], None]) -> None:
        """Take note that it is open; ``end`` ends it behind the request that runs, or at once."""

    def closed(self) -> None:
        """Take note that its connection is gone."""


class Downstream(Protocol):
    """The client's end of one request. Nothing of it calls back at once, but ``pause_response``.

    It begins paused: no body is passed on, nor asked for, before ``resume``. Where the client has
    left, what is sent reaches nobody.
    """

    @property
    def is_blocked(self) -> bool:
        """Whether to send on only behind ``resume_response``.

        Behind the response's end: whether the client's side hasn't all of it yet.
        """

    @property
    def bytes_in(self) -> int:
        """How many bytes of the request's body, or of the stream, were passed on."""

    @property
    def bytes_out(self) -> int:
        """How many bytes of the response's body, or of the stream, were sent."""

    @property
    def takes_interim(self) -> bool:
        """Whether interim responses reach the client."""

    @property
    def takes_upgrade(self) -> bool:
        """Whether the connection can leave HTTP."""

    def send_interim(self, status: int, fields: Fields) -> None:
        """Send an interim response (1xx), unless one of HTTP/1.0 waits."""

    def send_head(self, status: int, fields: Fields) -> None:
        """Begin the response; ``fields`` without those of the connection."""

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the response's body; ``ends`` with the last one, which may be b"".

        Behind ``switch_protocols`` it is the stream's bytes, and our end of it. Raises an exception
        where the body isn't what its head announced: then the connection can only be broken off.
        """

    def switch_protocols(self, fields: Fields) -> None:
        """Answer 101: from now on the connection carries a stream, both ways."""

    def pause(self) -> None:
        """Pass no more of the request's body on."""

    def resume(self) -> None:
        """Pass the request's body on."""

    def invite(self) -> None:
        """Send 100 Continue to a client that waits for it."""

    def hand_over(self, handler: RequestHandler) -> None:
        """Tell another handler from now on."""

    def break_off(self) -> None:
        """Reset the client's connection, so that it takes nothing for the whole."""

    def finish(self) -> None:
        """End it: a response that isn't whole breaks the connection. A second call does nothing."""


@runtime_checkable
class BecomesTunnel(Protocol):
    """A client's end whose connection can become a tunnel; not every ``Downstream`` has one."""

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """Answer 200 to CONNECT, all of it: the connection's next requests are the tunnel's."""


Serve = Callable[[RequestHead, RemotePeer, Downstream], RequestHandler]
"""Begins to serve a request. Its body, and whatever else is told, comes after that."""
