"""Sends a call in envelopes, one for each of its tries: the body as it comes, and is taken.

Most bodies come with their head and go in one piece with it. What is to be coalesced waits for
``COALESCING`` seconds at most; then whoever sends is told that it is time to ``hurry``.
"""

import asyncio
from collections.abc import Callable

from proxy.core.sealing.message import MessageSealer
from proxy.http.upstream import UpstreamExchange, UpstreamRequest
from proxy.outbound.call import Call
from proxy.outbound.sealed_body import SealedBody
from proxy.outbound.sealed_request import envelope_of
from proxy.transfer.body import COALESCING


class EnvelopeSender:
    """The sending half of a sealed call; ``start`` begins a try, ``stop`` ends it; ``close`` it."""

    __slots__ = ("_begin", "_body", "_call", "_is_sealing", "_lower", "_on_time", "_timer")

    def __init__(
        self,
        call: Call,
        begin: Callable[[UpstreamRequest], UpstreamExchange],
        on_time: Callable[[], None],
    ) -> None:
        """``begin`` sends an envelope's request; ``on_time`` is called to have it hurried."""
        self._call = call
        self._begin: Callable[[UpstreamRequest], UpstreamExchange] | None = begin
        self._on_time: Callable[[], None] | None = on_time
        self._body = SealedBody(call.size, has_body=call.has_body)
        self._is_sealing = False
        """Whether there is a try, whose message the body goes into."""
        self._lower: UpstreamExchange | None = None
        """What the envelope of this try is sent with, once it is begun."""
        self._timer: asyncio.Handle | None = None

    @property
    def has_ended(self) -> bool:
        """Whether all of the body has come."""
        return self._body.has_ended

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the body has been forgotten, so that it can be sent once more."""
        return self._body.is_whole

    @property
    def is_blocked(self) -> bool:
        """Whether more of the body can't be taken for now."""
        if self._lower is not None:
            return self._body.has_more or self._lower.is_blocked
        return not self._body.is_coalescing

    def start(self, message: MessageSealer) -> None:
        """Begin a try: seal all of the body into ``message``, and send what there is."""
        self._body.seal_into(message)
        self._is_sealing = True
        self.send_on()

    def add(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece of the body; raises ``UpstreamFailed`` where it isn't what was told."""
        self._body.add(piece, ends=ends)
        self.send_on()

    def send_on(self) -> None:
        """Send of the envelope what there is, as far as it is taken."""
        body, begin = self._body, self._begin
        if not self._is_sealing or begin is None:
            return
        if self._lower is None:
            body.coalesce()
            if body.is_small and body.is_coalescing:
                self._wait_for_beginning()
                return
            self._lower = begin(envelope_of(self._call, body.whole_message()))
        lower = self._lower
        while lower is not None and lower is self._lower and not lower.is_blocked:
            part = body.next_part()
            if part is None:
                if body.is_coalescing:
                    self._wait_for_beginning()
                return
            piece, ends = part
            del part  # while it is sent, nothing else is kept of it
            lower.send(piece, ends=ends)

    def hurry(self) -> None:
        """Send the beginning without what has not come of it."""
        self._body.hurry()
        self.send_on()

    def stop(self) -> None:
        """End the try. A second call does nothing."""
        self._is_sealing = False
        self._lower = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._body.stop()

    def close(self) -> None:
        """End the try, and refer to nobody any more."""
        self.stop()
        self._begin = self._on_time = None

    def _wait_for_beginning(self) -> None:
        if self._timer is None:
            # Most bodies come with their head: no timer is set before the loop's next turn.
            self._timer = asyncio.get_running_loop().call_soon(self._set_timer)

    def _set_timer(self) -> None:
        self._timer = None
        if self._body.is_coalescing:
            self._timer = asyncio.get_running_loop().call_later(COALESCING, self._be_on_time)

    def _be_on_time(self) -> None:
        self._timer = None
        if self._on_time is not None:
            self._on_time()
