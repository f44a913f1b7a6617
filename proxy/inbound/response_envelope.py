"""The response to a request from an envelope, sealed as it is sent.

What is sealed together goes out together: a head waits for the body where a length is announced,
and a body's last piece goes with the end.
"""

from collections.abc import Iterator

from proxy.core.binary_http.message import ResponseHead
from proxy.core.binary_http.writer import response_head
from proxy.core.http.headers import content_length
from proxy.core.http1.framing import bodiless
from proxy.core.sealing.envelope import CHUNKED_RESPONSE, INCREMENTAL
from proxy.core.sealing.message import MessageSealer, Sealer
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamFailed

_FIELDS = (CHUNKED_RESPONSE, INCREMENTAL, (b"cache-control", b"no-store"))


class ResponseEnvelope:
    """Seals one response to a request with ``method``, and sends it to ``outer``."""

    __slots__ = (
        "_is_bodiless",
        "_is_dropped",
        "_message",
        "_next_part",
        "_outer",
        "_parts",
        "_sent",
        "_size",
    )

    def __init__(
        self, outer: Downstream, sealer: Sealer, method: bytes, head: ResponseHead
    ) -> None:
        self._outer = outer
        self._message = MessageSealer(sealer, response_head(head))
        self._is_bodiless = bodiless(method, head.status)
        self._size = 0 if self._is_bodiless else content_length(head.fields)
        self._sent = 0
        self._is_dropped = False
        self._parts: Iterator[bytes] | None = None
        """What ends the message, as far as it wasn't taken yet."""
        self._next_part: bytes | None = None

    @property
    def is_ending(self) -> bool:
        """Whether a part of the message's end waits for ``send_on``."""
        return self._next_part is not None

    def begin(self) -> None:
        """Begin the outer response, and send the head unless it waits for the body."""
        self._outer.send_head(200, _FIELDS)
        if self._size is None and not self._is_dropped:
            self._flush()

    def send(self, piece: bytes, *, ends: bool) -> None:
        """Seal a piece of the body, and send it; raises ``UpstreamFailed`` for a wrong length.

        Then the outer response isn't ended.
        """
        if not (ends and self._is_bodiless):
            self._sent += len(piece)
            if self._size is not None and self._sent > self._size:
                raise UpstreamFailed("the response is longer than it said")
            self._message.add(piece)
        if not ends:
            if self._sent != self._size:
                self._flush()
            return
        if self._size is not None and self._sent != self._size:
            raise UpstreamFailed(f"the response is {self._size - self._sent} bytes short")
        self._parts = self._message.ending()
        self._next_part = next(self._parts)
        self.send_on()

    def send_on(self) -> None:
        """Send what is left of the message's end, as far as the client takes it.

        The first part goes at once, as any piece does; there are others where there is much
        padding.
        """
        while (part := self._next_part) is not None and self._parts is not None:
            self._next_part = next(self._parts, None)
            self._outer.send(part, ends=self._next_part is None)
            if self._next_part is None or self._outer.is_blocked:
                return

    def drop(self) -> None:
        """Send nothing more, not even what was begun."""
        self._is_dropped = True
        self._parts = self._next_part = None

    def _flush(self) -> None:
        if sealed := self._message.flush():
            self._outer.send(sealed)
