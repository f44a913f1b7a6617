"""The body of a request as it goes out: in its framing, and judged as it passes.

A body that isn't what its head announced is never passed on so that it could look whole. One whose
head asks for an invitation (RFC 9110, section 10.1.1) waits for it, but not for long.
"""

import asyncio
from collections.abc import Callable

from proxy.core.http.headers import content_length, values_of
from proxy.core.http1.smuggled_request import SmuggledRequest
from proxy.core.http1.writer import LAST_CHUNK, chunk
from proxy.http.upstream import ANYBODY, NOBODY, BytesBody, UpstreamRequest

_WITH_BODY = frozenset(
    {
        b"POST", b"PUT", b"PATCH", b"QUERY", b"PROPFIND", b"PROPPATCH", b"REPORT", b"SEARCH",
        b"LOCK", b"MKCOL", b"MKCALENDAR", b"ACL",
    }
)  # fmt: skip
"""Methods whose body has a meaning. Behind any other, many servers leave it unread, and take it for
the next request."""
INVITATION = 1.0
"""Seconds that a body waits for the 100 that was asked for; some servers never send one."""


class RequestBody:
    """One request's body, piece by piece."""

    __slots__ = (
        "_left", "_may_be_followed", "_smuggled", "_timer", "caller", "is_uninvited", "is_whole",
        "own", "streams", "unsent", "waits",
    )  # fmt: skip

    def __init__(self, request: UpstreamRequest) -> None:
        self.caller = caller = request.caller
        """Who sent it."""
        self._left = content_length(request.fields)
        self._may_be_followed = caller != NOBODY and request.method in _WITH_BODY
        self._smuggled = SmuggledRequest() if caller not in (ANYBODY, NOBODY) else None
        self.is_whole = False
        """Whether all of it has passed."""
        self.streams = request.streams
        """Whether it comes piece by piece, or is ``own``."""
        self.own: bytes | None = None
        """What is here already, until it is sent."""
        if not request.streams:
            if not isinstance(request.body, BytesBody):
                raise TypeError("a body is there in one piece, or streams")
            self.own = request.body.data
        self.unsent: list[bytes] = []
        """What is to stand behind the head, once there is a connection."""
        self.waits = bool(values_of(request.fields, b"expect"))
        """Whether it waits for its invitation."""
        self._timer: asyncio.TimerHandle | None = None
        self.is_uninvited = False
        """Whether a server that may invite let it wait in vain."""

    def mistake_of(self, piece: bytes, *, ends: bool) -> str:
        """Return what is wrong with it if ``piece`` is the next one; "" is nothing."""
        left = self._left
        if self.is_whole:
            left = 0
        elif left is None:
            return ""
        left -= len(piece)
        if left < 0:
            return "the request's body is longer than it said"
        return f"the request's body is {left} bytes short" if left and ends else ""

    def framed(self, piece: bytes, *, ends: bool) -> bytes:
        """Return the next piece as it goes out; ``mistake_of`` found none."""
        self.is_whole = self.is_whole or ends
        if not piece:
            return LAST_CHUNK if ends and self._left is None else b""
        if self._smuggled is not None:
            self._smuggled.feed(piece)
        if self._left is not None:
            self._left -= len(piece)
            return piece
        return chunk(piece) + LAST_CHUNK if ends else chunk(piece)

    def take_own(self) -> bytes:
        """Return what is here already, once."""
        own, self.own = self.own, None
        return own or b""

    def take_unsent(self) -> list[bytes]:
        """Return what is to stand behind the head."""
        unsent, self.unsent = self.unsent, []
        return unsent

    def wait(
        self, loop: asyncio.AbstractEventLoop, then: Callable[[], None], *, comes: bool
    ) -> None:
        """Call ``then`` when it waited long enough: at once where no invitation ``comes``."""
        self._timer = loop.call_later(INVITATION if comes else 0, self._give_in, then, comes)

    def _give_in(self, then: Callable[[], None], comes: bool) -> None:  # noqa: FBT001 - a timer's
        self._timer, self.is_uninvited = None, comes
        then()

    def wait_no_more(self) -> None:
        """Wait for no invitation any more."""
        self.waits = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def may_be_followed(self) -> bool:
        """Whether its sender's next request may stand behind it, if that server reads bodies.

        A server that answers without having read the body takes it for the next request. Whoever
        sent it may mean that: nobody else may come behind it; nor may the sender, who would get
        the response to what no rule has judged, where the body could be a request.
        """
        return self._may_be_followed and not (
            self._smuggled is not None and self._smuggled.is_likely
        )

    @property
    def is_somebodys(self) -> bool:
        """Whether its sender alone may stand behind it."""
        return self._smuggled is not None
