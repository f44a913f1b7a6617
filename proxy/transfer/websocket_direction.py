"""One direction of a WebSocket between a client and an app: what waits in it, and where it leads.

``proxy.transfer.websocket`` says what happens in which of its states.
"""

import secrets
from enum import Enum, auto
from typing import Protocol

from proxy.core.websocket.frames import Close, FrameFilter, close_frame


class Side(Protocol):
    """Either side: a ``Downstream`` or an ``UpstreamExchange`` behind the 101."""

    @property
    def is_blocked(self) -> bool: ...

    def send(self, piece: bytes, *, ends: bool = False) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Gone:
    """A side that has our end, or that is none of ours any more: nothing reaches it."""

    is_blocked = False

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


GONE = Gone()


class State(Enum):
    """Where a direction is between its beginning and its end."""

    OPEN = auto()
    ENDING = auto()
    ENDED = auto()


class Direction:
    """The frames from ``source`` to ``to``."""

    __slots__ = (
        "_at", "frame_filter", "is_held", "is_paused", "is_turn_due", "masks", "rest", "source",
        "state", "to",
    )  # fmt: skip

    def __init__(self, source: Side, to: Side, frame_filter: FrameFilter, *, masks: bool) -> None:
        """``masks`` tells whether a Close of ours is masked, as those are that an app gets."""
        self.source = source
        self.to = to
        self.frame_filter = frame_filter
        self.masks = masks
        self.state = State.OPEN
        self.rest = b""
        """What came and waits, from ``_at`` on."""
        self._at = 0
        self.is_held = False
        """Whether ``to`` takes nothing for now."""
        self.is_paused = False
        """Whether ``source`` is."""
        self.is_turn_due = False
        """Whether what waits goes on soon."""

    def put(self, piece: bytes) -> None:
        """Let ``piece`` wait behind what waits already."""
        self.rest = self.rest[self._at :] + piece if self.rest else piece
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the first ``size`` bytes that wait, or all."""
        start, rest = self._at, self.rest
        end = start + size
        if end < len(rest):
            self._at = end
            return rest[start:end]
        self.drop()
        return rest[start:] if start else rest

    def drop(self) -> None:
        """Forget what waits."""
        self.rest, self._at = b"", 0

    def steer(self) -> None:
        """Pause ``source`` while anything waits, or would have to; resume it afterwards."""
        wanted = self.is_held or bool(self.rest)
        if self.state is State.OPEN and wanted is not self.is_paused:
            self.is_paused = wanted
            if wanted:
                self.source.pause()
            else:
                self.source.resume()

    def close(self, code: Close) -> bytes:
        """Return a Close of ours, as it looks where this leads."""
        return close_frame(code, mask=secrets.token_bytes(4) if self.masks else b"")

    def let_go(self) -> None:
        """Have nothing to do with either side any more."""
        self.source = self.to = GONE
        self.state = State.ENDED
        self.drop()
