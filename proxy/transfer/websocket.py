"""A WebSocket between a client and an app: frames both ways, until both sides have ended.

- What passes is what came, checked by ``proxy.core.websocket.frames``; no message is buffered.
- A side that takes nothing makes the other one wait: each direction hands on before it reads more.
- A side that ends, or breaks off, is seen to by the other.
- Silence is no failure: the kernel looks whether both sides are there.

Where we close it ourselves, for a frame that may not pass or at the end of the proxy, the other
side hears it first, and may finish what it was saying; in the place of its own Close goes ours.

Both sides call, and nothing here waits. Each direction is for itself in one of three states:

    state    what is told                     what follows                                next state
    OPEN     bytes                            what may pass of them goes on               OPEN
    OPEN     the end, while bytes wait        -                                           ENDING
    OPEN     the end, or the app's failure    our end where the direction leads           ENDED
    ENDING   (all that waited has gone on)    the same                                    ENDED
    ENDED    anything                         -                                           ENDED

Bytes wait for their turn behind many others, or where the side that they are for takes none; the
one from which they came is paused meanwhile. It is over when the app's direction has ended, and the
client's too, or both sides were told a Close of ours; at the latest when the time for that is up.
Source: RFC 6455, sections 5 and 7.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from proxy.config.limits import DEFAULT_LIMITS
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.websocket.frames import Close, FrameFilter
from proxy.core.websocket.frames import State as Passing
from proxy.core.websocket.handshake import Handshake, NotAgreed, fields_for_client, read_response
from proxy.http.downstream import Downstream
from proxy.http.upstream import UpstreamExchange, UpstreamFailed
from proxy.transfer.response import passing_fields
from proxy.transfer.websocket_direction import GONE, Direction, State

log = logging.getLogger("proxy.websocket")

EVICTED = Refusal(Code.APP_BUSY, "places are short, and it was quiet for longest")
"""Why a WebSocket is revoked that makes room for another request."""
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


def close_for(code: Code) -> Close:
    """Return how a revocation for ``code`` is told."""
    return Close.TRY_AGAIN_LATER if code is Code.APP_BUSY else Close.NOT_ALLOWED


class WebSocketRelay:
    """One WebSocket; ``begin`` it once the app has answered 101.

    When it is over, what ``begin`` was given is called, once: with None, or why the app's side
    broke off. Not where ``client_left`` or ``revoke`` ended it; who calls these knows. Afterwards
    nothing is sent, and nothing that is told has any effect. Neither side is finished here.
    """

    __slots__ = (
        "_app", "_client", "_closing", "_down", "_failure", "_limits", "_loop",
        "_on_over", "_timer", "_up", "fields", "last_moved",
    )  # fmt: skip

    def __init__(
        self,
        asked: Handshake,
        fields: Fields,
        client: Downstream,
        exchange: UpstreamExchange,
        app: str,
        limits: RelayLimits = _LIMITS,
        own: Collection[bytes] = (),
    ) -> None:
        """Check the app's 101, whose ``fields`` these are; raises ``UpstreamFailed`` if it's false.

        Nothing has been sent then. ``app`` names the app for the log, ``own`` are the hosts by
        which it is reached.
        """
        try:
            deflate = read_response(asked, fields).deflate
        except NotAgreed as error:
            raise UpstreamFailed(str(error)) from None
        passing = passing_fields(b"GET", SWITCHING_PROTOCOLS, fields, own=own)
        self.fields: Fields = fields_for_client(passing)
        """Those that the client gets with its 101."""
        self._client: Downstream | None = client
        """Who gets the 101; None behind it."""
        self._app = app
        self._limits = limits
        self._on_over: Callable[[Exception | None], None] | None = None
        """None before it begins, and once it is over."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: Close | None = None
        self._failure: Exception | None = None
        self.last_moved = self._loop.time()
        """When bytes last came, from either side."""
        up, down = (
            FrameFilter(sends_masked=masked, deflate=deflate, limit=limits.message)
            for masked in (True, False)
        )
        self._up = Direction(client, exchange, up, masks=True)
        self._down = Direction(exchange, client, down, masks=False)

    def begin(self, on_over: Callable[[Exception | None], None]) -> None:
        """Pass the 101 on, and frames from then on."""
        client, self._client = self._client, None
        fields, self.fields = self.fields, ()
        if client is None:
            return
        self._on_over = on_over
        client.switch_protocols(fields)
        for direction in (self._up, self._down):
            direction.is_held = direction.to.is_blocked
            direction.is_paused = not direction.is_held  # so that either of both is said
            direction.steer()

    # What either side tells.

    def from_client(self, piece: bytes, *, ends: bool) -> None:
        """Take what the client sends; ``ends`` with the last of it."""
        self._take(self._up, piece, ends=ends)

    def from_app(self, piece: bytes, *, ends: bool) -> None:
        """Take what the app sends, likewise."""
        self._take(self._down, piece, ends=ends)

    def app_failed(self, failure: Exception) -> None:
        """Take note that nothing more comes from the app, nor reaches it, and why.

        Behind its end too: it may have been listening until then.
        """
        self._up.to = GONE
        if self._down.state is State.OPEN:
            self._failure = failure
            self._take(self._down, b"", ends=True)
        self._go_on(self._up)  # or the client's end would never be seen

    def client_left(self) -> None:
        """Take note that nothing reaches the client any more: it is over."""
        self._let_go()

    def close(self) -> None:
        """Let go of both sides, however it ended; nothing is called any more."""
        self._let_go()

    def pause_to_client(self) -> None:
        """Send the client no more for now."""
        self._hold(self._down)

    def resume_to_client(self) -> None:
        """Go on sending to the client."""
        self._go_on(self._down)

    def pause_to_app(self) -> None:
        """Send the app no more for now."""
        self._hold(self._up)

    def resume_to_app(self) -> None:
        """Go on sending to the app."""
        self._go_on(self._up)

    # What the proxy wants.

    def stop(self) -> None:
        """Close it: the proxy is about to end."""
        if not self._is_over:
            self._close(Close.GOING_AWAY, self._up, self._down)

    def revoke(self, code: Close = Close.NOT_ALLOWED) -> bool:
        """Say at once that it may not go on, to each side that can hear it; it is over then.

        Tells whether the client was told, and has our end. A side that is in the middle of a frame,
        or takes nothing, can't be told: its connection is to be broken off.
        """
        if self._is_over:
            return False
        self._on_over = None  # whatever else ends it while it is told: who calls this knows
        if self._closing is None:
            self._closing = code
        for direction in (self._up, self._down):
            is_told = self._tell_at_once(direction)
            if is_told:
                self._send_end(direction)
        self._let_go()
        return is_told

    # What passes.

    def _take(self, direction: Direction, piece: bytes, *, ends: bool) -> None:
        if direction.state is not State.OPEN:
            return
        self.last_moved = self._loop.time()
        if ends:
            direction.state = State.ENDING
        is_first = not direction.rest
        if piece:
            direction.put(piece)
        if is_first:
            self._pass_on(direction)

    def _pass_on(self, direction: Direction) -> None:
        """Hand on what waits, as far as it can be taken, and as much as one turn may cost.

        Only headers cost time: a payload passes however long it is.
        """
        is_spent = False
        while direction.rest and not direction.is_held:
            size = direction.frame_filter.left if is_spent else direction.frame_filter.left + _SLICE
            if not size:
                break
            is_spent = True
            self._hand_on(direction, direction.take(size))
        direction.steer()
        if direction.rest:
            self._see_to_turn(direction)
        elif direction.state is State.ENDING:
            self._end(direction)

    def _hand_on(self, direction: Direction, part: bytes) -> None:
        # What the filter passes on goes out even where it is the last before a violation: the
        # other side gets whole frames up to there, then our Close.
        self._send(direction, direction.frame_filter.feed(part))
        if self._is_over:
            return
        if direction.frame_filter.state is Passing.OVER:
            self._end_if_told()
        elif direction.frame_filter.violation is not None:
            self._refuse(direction)
        if direction.frame_filter.state is Passing.OVER:
            direction.drop()

    def _send(self, direction: Direction, data: bytes) -> None:
        if data:
            direction.to.send(data)
            if direction.to.is_blocked:
                self._hold(direction)

    def _hold(self, direction: Direction) -> None:
        direction.is_held = True
        direction.steer()

    def _go_on(self, direction: Direction) -> None:
        direction.is_held = False
        self._see_to_turn(direction)
        direction.steer()

    def _see_to_turn(self, direction: Direction) -> None:
        """Let what waits have its turn, unless it has to wait for longer."""
        if direction.rest and not direction.is_held and not direction.is_turn_due:
            direction.is_turn_due = True
            self._loop.call_soon(self._have_turn, direction)

    def _have_turn(self, direction: Direction) -> None:
        direction.is_turn_due = False
        try:
            self._pass_on(direction)
        except Exception as error:  # noqa: BLE001 - whoever carries the relay tells and logs it
            self._be_over(error)

    # How it ends by itself.

    def _end(self, direction: Direction) -> None:
        """See to it that the side to which ``direction`` leads learns of the other one's end."""
        if self._failure is not None and direction is self._down and not self._may_break_off:
            self._be_over(self._failure)
            return
        # Where no Close came for ours to replace, ours goes out now.
        self._close_now(direction)
        self._send_end(direction)
        direction.state = State.ENDED  # not before, for what is sent may call us
        self._end_within(self._limits.ending)
        self._end_if_told()
        self._look()

    @property
    def _may_break_off(self) -> bool:
        """Whether a reset is the app's end: many an app resets behind its Close, or the client."""
        is_closed = self._down.frame_filter.state is Passing.OVER
        return is_closed or self._up.state is State.ENDED

    def _send_end(self, direction: Direction) -> None:
        """Send our end where ``direction`` leads, once; nothing is sent there behind it."""
        to, direction.to = direction.to, GONE
        if to is not GONE:
            to.send(b"", ends=True)
            self._go_on(direction)  # so that we hear of the source's end

    def _look(self) -> None:
        if self._down.state is State.ENDED and (self._up.state is State.ENDED or self._is_told):
            # What the client was told it has a moment to read; for its own end nobody waits.
            self._be_over(None)

    def _be_over(self, failure: Exception | None) -> None:
        on_over = self._on_over
        self._let_go()
        if on_over is not None:
            on_over(failure)

    def _let_go(self) -> None:
        self._on_over = self._client = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._up.let_go()
        self._down.let_go()

    @property
    def _is_over(self) -> bool:
        return self._on_over is None

    # Our own end of it.

    def _refuse(self, direction: Direction) -> None:
        violation = direction.frame_filter.violation
        if violation is None:
            return
        log.warning("a WebSocket of %s is closed: %s", self._app, violation.detail)
        if self._closing is None:
            back = self._down if direction is self._up else self._up
            self._close(violation.code, direction, back)
        else:
            self._close_now(direction)
            self._end_if_told()

    def _close(self, code: Close, direction: Direction, back: Direction) -> None:
        """Say Close where ``direction`` leads; ``back`` ends with ours in place of the other's."""
        if self._closing is not None:
            return
        # From here ours replaces whatever Close the other side sends, so that both hear one reason.
        self._closing = code
        self._end_within(self._limits.closing)
        back.frame_filter.close_with(back.close(code))
        self._close_now(direction)

    def _close_now(self, direction: Direction) -> None:
        """Say Close where ``direction`` leads, if we close; a payload that has begun ends first."""
        if self._closing is not None:
            frame = direction.close(self._closing)
            self._send(direction, direction.frame_filter.close_now(frame))

    @property
    def _is_told(self) -> bool:
        """Whether both sides got a Close of ours."""
        return self._up.frame_filter.is_closed_by_us and self._down.frame_filter.is_closed_by_us

    def _end_if_told(self) -> None:
        """Send our end to both sides once both have been told that it is over."""
        if self._is_told:
            self._send_end(self._up)
            self._send_end(self._down)
            self._look()

    def _end_within(self, seconds: float) -> None:
        """Limit the time until both sides have ended; the first limit stays if it is earlier."""
        end = self._loop.time() + seconds
        if self._is_over or (self._timer is not None and self._timer.when() <= end):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(end, self._cut_short)

    def _cut_short(self) -> None:
        """Say what can be said at once to sides that took too long."""
        self._timer = None
        failure: Exception | None = None
        try:
            for direction in (self._down, self._up):
                if not direction.to.is_blocked:
                    self._close_now(direction)
            self._send_end(self._down)
        except Exception as error:  # noqa: BLE001 - as in _have_turn
            failure = error
        self._be_over(failure)

    def _tell_at_once(self, direction: Direction) -> bool:
        """Tell the side to which ``direction`` leads; part of a frame may wait for it for ever."""
        if direction.to.is_blocked:
            return False
        has_end = direction.to is GONE
        self._close_now(direction)
        is_closed = direction.frame_filter.state is Passing.OVER
        return has_end or (is_closed and not direction.to.is_blocked)
