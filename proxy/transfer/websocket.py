"""A WebSocket between a client and an app: frames both ways, until both sides have ended.

- What passes is what came, checked by ``proxy.core.websocket.frames``; no message is buffered.
- A side that takes nothing makes the other one wait: each direction hands on before it reads more.
- A side that ends, or breaks off, is seen to by the other.
- Silence is no failure: the kernel looks whether both sides are there.

Where we close it ourselves, for a frame that may not pass or at the end of the proxy, the other
side hears it first, and may finish what it was saying; in the place of its own Close goes ours.
Source: RFC 6455, sections 5 and 7.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from starlette.types import Receive, Send

from proxy.config.limits import DEFAULT_LIMITS
from proxy.core.errors import Code, Refusal
from proxy.core.websocket.frames import Close, FrameFilter, State, close_frame
from proxy.core.websocket.handshake import Handshake, NotAgreed, fields_for_client, read_response
from proxy.http.scope import RAW, STOP, UPGRADE
from proxy.http.upstream import UpstreamFailed, UpstreamResponse
from proxy.transfer.active_requests import ActiveRequest
from proxy.transfer.places import Place
from proxy.transfer.response import passing_fields

log = logging.getLogger("proxy.websocket")

_EVICTED = Refusal(Code.APP_BUSY, "places are short, and it was quiet for longest")
_SLICE = 32 * 1024
"""Bytes that are looked at in one go: a flood of empty frames must not keep the others waiting."""


@dataclass(frozen=True)
class RelayLimits:
    """The limits of one WebSocket."""

    message: int = DEFAULT_LIMITS.websocket_message
    """Bytes of one message over all its frames, as they pass."""
    ending: float = 10.0
    """Seconds that one side has to end when the other one has."""
    closing: float = 3.0
    """Seconds that both sides have to end when we close; less than the proxy has to end itself."""


_LIMITS = RelayLimits()


@dataclass(frozen=True, slots=True)
class _Direction:
    """One direction: what may pass, where to, and what our own Close looks like there."""

    frame_filter: FrameFilter
    write: Callable[[bytes], Awaitable[None]]
    close: Callable[[Close], bytes]


class WebSocketRelay:
    """One WebSocket; ``run`` it once the app has answered 101."""

    def __init__(
        self,
        asked: Handshake,
        response: UpstreamResponse,
        receive: Receive,
        send: Send,
        app: str,
        limits: RelayLimits = _LIMITS,
        own: Collection[bytes] = (),
    ) -> None:
        """Check the app's 101; raises ``UpstreamFailed`` for a false one.

        ``receive`` and ``send`` are the client's; ``app`` names the app for the log, ``own`` are
        the hosts by which it is reached.
        """
        try:
            deflate = read_response(asked, response.fields).deflate
        except NotAgreed as error:
            raise UpstreamFailed(str(error)) from None
        self._response = response
        self._receive = receive
        self._send = send
        self._app = app
        self._limits = limits
        self._own = own
        self._clock = asyncio.timeout(None)
        self._closing: Close | None = None
        self._is_app_deaf = False
        self._has_client_ended = False
        self._has_client_our_end = False
        self._now = asyncio.get_running_loop().time
        self.last_moved = self._now()
        """When bytes last came, from either side."""
        up, down = (
            FrameFilter(sends_masked=masked, deflate=deflate, limit=limits.message)
            for masked in (True, False)
        )
        self._up = _Direction(up, self._to_app, _masked_close)
        self._down = _Direction(down, self._to_client, close_frame)

    async def run(self) -> None:
        """Carry frames until both sides have ended; raises ``UpstreamFailed`` if the app broke off.

        A client that breaks off has this cancelled by its listener.
        """
        response = self._response
        fields = passing_fields(b"GET", response.status, response.fields, own=self._own)
        await self._send({"type": UPGRADE, "headers": list(fields_for_client(fields))})
        try:
            async with self._clock, asyncio.TaskGroup() as directions:
                up = directions.create_task(self._carry_up())
                await self._carry_down()
                if self._is_told:
                    up.cancel()  # the client has its Close and our end, and a moment to read them
        except TimeoutError:
            await self._cut_short()
        except ExceptionGroup as group:
            # Only one of them is told: the other direction failed because of it, or beside it.
            raise group.exceptions[0] from None

    async def _carry_up(self) -> None:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == STOP:
                await self._close(Close.GOING_AWAY, self._up, self._down)
                continue
            more = message["more"]
            # Handed on before the next is received: so a slow app makes its client wait.
            await self._hand_on(message["data"], self._up, self._down)
        self._has_client_ended = True
        if self._closing is not None:
            # The client ended without the Close that ours waits behind: it goes out now.
            await self._close_now(self._up)
        self._response.write_end()
        self._end_within(self._limits.ending)

    async def _carry_down(self) -> None:
        try:
            async for piece in self._response.pieces():
                await self._hand_on(piece, self._down, self._up)
        except UpstreamFailed:
            # Behind the app's Close, or the client's end, many an app resets: that is its end too.
            if self._down.frame_filter.state is not State.OVER and not self._has_client_ended:
                raise
        if self._closing is not None:
            await self._close_now(self._down)
        await self._end_client()
        self._end_within(self._limits.ending)

    async def _hand_on(self, data: bytes, direction: _Direction, back: _Direction) -> None:
        self.last_moved = self._now()
        is_first = True
        for part in _slices(data):
            if not is_first:
                await asyncio.sleep(0)
            is_first = False
            # What the filter passes on goes out even where it is the last before a violation: the
            # other side gets whole frames up to there, then our Close.
            passing = direction.frame_filter.feed(part)
            if passing:
                await direction.write(passing)
            if direction.frame_filter.state is State.OVER:
                await self._end_if_closed()
            elif direction.frame_filter.violation is not None:
                await self._refuse(direction, back)

    # Our own end of it.

    async def _refuse(self, direction: _Direction, back: _Direction) -> None:
        violation = direction.frame_filter.violation
        if violation is None:
            return
        log.warning("a WebSocket of %s is closed: %s", self._app, violation.detail)
        if self._closing is None:
            await self._close(violation.code, direction, back)
        else:
            await self._close_now(direction)
            await self._end_if_closed()

    async def _close(self, code: Close, direction: _Direction, back: _Direction) -> None:
        """Say Close where ``direction`` leads; ``back`` ends with ours in place of the other's."""
        if self._closing is not None:
            return
        # From here ours replaces whatever Close the other side sends, so that both hear one reason.
        self._closing = code
        self._end_within(self._limits.closing)
        back.frame_filter.close_with(back.close(code))
        await self._close_now(direction)

    async def _close_now(self, direction: _Direction) -> None:
        if self._closing is None:
            return
        if frame := direction.frame_filter.close_now(direction.close(self._closing)):
            await direction.write(frame)

    @property
    def _is_told(self) -> bool:
        """Whether both sides got a Close of ours."""
        return self._up.frame_filter.is_closed_by_us and self._down.frame_filter.is_closed_by_us

    async def _end_if_closed(self) -> None:
        """Send our end to both sides once both have been told that it is over."""
        if self._is_told:
            self._response.write_end()
            await self._end_client()

    async def _cut_short(self) -> None:
        """Say what can be said at once to sides that took too long."""
        for direction in (self._down, self._up):
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await self._close_now(direction)
        await self._end_client()

    def _end_within(self, seconds: float) -> None:
        """Limit the time until both sides have ended."""
        end = asyncio.get_running_loop().time() + seconds
        if not self._clock.expired() and end < (self._clock.when() or end + 1):
            self._clock.reschedule(end)

    async def revoke(self, code: Close = Close.NOT_ALLOWED) -> bool:
        """Say at once that it may not go on, to each side that can hear it; ``run`` is cancelled.

        Tells whether the client was told, and has our end. A side that is in the middle of a frame,
        or takes nothing, can't be told: its connection is to be broken off.
        """
        if self._closing is None:
            self._closing = code
        if await self._tell_at_once(self._up):
            self._response.write_end()
        is_told = await self._tell_at_once(self._down)
        if is_told:
            await self._end_client()
        return is_told

    async def _tell_at_once(self, direction: _Direction) -> bool:
        try:
            async with asyncio.timeout(0):
                await self._close_now(direction)
        except TimeoutError:
            return False  # it takes nothing: part of our frame may wait for it for ever
        return direction.frame_filter.state is State.OVER

    # The two sides.

    async def _to_app(self, data: bytes) -> None:
        if not self._is_app_deaf:
            try:
                await self._response.write(data)
            except UpstreamFailed:
                self._is_app_deaf = True  # what it still said is read first, then why it failed

    async def _to_client(self, data: bytes) -> None:
        await self._send({"type": RAW, "data": data, "more": True})

    async def _end_client(self) -> None:
        if not self._has_client_our_end:
            self._has_client_our_end = True
            await self._send({"type": RAW, "data": b"", "more": False})


def _masked_close(code: Close) -> bytes:
    return close_frame(code, mask=secrets.token_bytes(4))


def _slices(data: bytes) -> Iterator[bytes]:
    if len(data) <= _SLICE:
        yield data
    else:
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            yield bytes(view[start : start + _SLICE])


async def run_until_revoked(relay: WebSocketRelay, active: ActiveRequest, place: Place) -> None:
    """Run a WebSocket to its end; if it is revoked, both sides that can be told hear so."""
    place.hold_socket(relay, partial(active.revoke, _EVICTED))
    try:
        await relay.run()
    except asyncio.CancelledError:
        # Told in WebSocket's own words, the end is a proper one, and nothing need be broken off.
        # Who cancels for any other reason (the client left, the server ends) wants it over.
        code = Close.TRY_AGAIN_LATER if active.revoked_for is Code.APP_BUSY else Close.NOT_ALLOWED
        if active.revoked_for is None or not await relay.revoke(code):
            raise
