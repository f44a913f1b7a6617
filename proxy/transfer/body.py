"""Bodies: streamed in the pieces they came in, or buffered where a signature needs it.

In signed mode a body is buffered up to a limit (``buffered_body``), because nothing of it may reach
an app before its digest was compared.
"""

from typing import Protocol, Self, cast

from starlette.types import Receive

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.text_files.size import show_size

BODY_WAIT = 0.1
"""Seconds that a request without a stated length waits for its body, or its end: sealed, or HTTP/2.

An app should see whether there is a body; a client may want a response before it sends one.
"""
SMALL = 16 * 1024
"""Bytes of a body that are sealed together with its head, if they are there in time."""
COALESCING = 0.02
"""Seconds that the head of such a message waits for its body."""
REPLAYABLE = 128 * 1024
"""Bytes of a sealed call's body that are kept for a second try."""
PIECE = 64 * 1024
"""Bytes of a held body that are sent at once."""


class Stage(Protocol):
    """Takes a piece of a body; ``ends`` with the last one. What it raises ends the request."""

    def __call__(self, piece: bytes, *, ends: bool) -> None: ...


def nowhere(piece: bytes, *, ends: bool) -> None:
    """Take what nobody wants any more."""
    del piece, ends


class ClientLeft(Exception):
    """The client closed its connection before its request was complete."""


class RequestPieces:
    """The pieces of a request's body as they come; raises ``ClientLeft`` where it breaks off.

    No generator: whoever waits for a piece may be cancelled, and another go on from there.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_more = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while self._has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            self._has_more = message.get("more_body", False)
            if piece := message.get("body", b""):
                return cast(bytes, piece)
        raise StopAsyncIteration


def refuse_large(framing: Field | None, limit: int) -> None:
    """Refuse a body whose length is told, before any of it has come, if it is above ``limit``."""
    if framing is not None and framing[0] == b"content-length" and int(framing[1]) > limit:
        raise Refusal(Code.TOO_LARGE, f"{int(framing[1])} bytes; {show_size(limit)} are taken")
