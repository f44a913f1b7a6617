"""A call's body on its way into an envelope: a replayable body, coalesced with its head if small.

What comes is kept for another try from the beginning, as long as it is no more than ``REPLAYABLE``.
In one try it is sealed so:

    size            the first part              each piece          the last part
    none            the head alone, at once     sealed as it comes  the end
    up to ``SMALL`` the head with all of it     -                   is the first one
    above           the head with ``SMALL``     sealed as it comes  the last piece with the end

Where a body whose size is told doesn't come in ``COALESCING`` seconds, the head goes with what is
there of it. What is sealed in one chunk with its head shows an observer the fewest numbers, and
costs least.
"""

from collections import deque
from collections.abc import Iterator

from proxy.core.sealing.message import MessageSealer
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.body import REPLAYABLE, SMALL


class SealedBody:
    """The body of one call, through all of its tries; ``seal_into`` begins one."""

    __slots__ = (
        "_added", "_end", "_first", "_gone", "_has_body", "_has_come", "_message", "_next_of_end",
        "_ready", "_size", "_waiting", "has_ended", "is_coalescing", "is_whole",
    )  # fmt: skip

    def __init__(self, size: int | None, *, has_body: bool) -> None:
        """``size`` is in bytes; None where it isn't told."""
        self._size = size
        self._has_body = has_body
        self.has_ended = not has_body
        """Whether all of it has come."""
        self.is_whole = True
        """Whether nothing of it has been forgotten."""
        self.is_coalescing = False
        """Whether more of the beginning is waited for, and nothing can be sent before."""
        self._has_come = 0
        self._gone: list[bytes] = []
        """All of it so far, for another try."""
        self._waiting: deque[bytes] | None = None
        """What came of it and isn't in the message of this try yet; None before anything came."""
        self._message: MessageSealer | None = None
        self._added = 0
        self._first = b""
        self._ready = b""
        """What is sealed already, and goes first."""
        self._end: Iterator[bytes] | None = None
        self._next_of_end: bytes | None = None

    @property
    def is_small(self) -> bool:
        """Whether it may go in one chunk with the head: then nothing need be sent before."""
        return self._size is not None and self._size <= SMALL

    @property
    def has_more(self) -> bool:
        """Whether more can be sent than was."""
        return bool(self._ready or self._waiting)

    def seal_into(self, message: MessageSealer) -> None:
        """Begin a try; the body must be whole, and is sealed into ``message`` from now on."""
        if not self.is_whole:
            raise RuntimeError("a part of the body is forgotten")
        self._message = message
        self._waiting = deque(self._gone) if self._gone else None
        self._forget_large()
        self._added, self._first, self._ready = 0, b"", b""
        self._end = self._next_of_end = None
        self.is_coalescing = bool(self._size)
        if self._size is None and self._has_body:
            self._ready = message.flush()

    def stop(self) -> None:
        """End the try."""
        self._message = self._end = self._next_of_end = None
        self._ready = self._first = b""
        self._waiting = None
        self.is_coalescing = False

    def add(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece; raises ``UpstreamFailed`` where it isn't the body that was told."""
        if self.has_ended:
            return
        self.has_ended = ends
        self._has_come += len(piece)
        if self._size is not None:
            missing = self._size - self._has_come
            if missing < 0:
                raise UpstreamFailed("the call's body is longer than it said", sent=self._added > 0)
            if ends and missing:
                detail = f"the call's body is {missing} bytes short"
                raise UpstreamFailed(detail, sent=self._added > 0)
        if not piece:
            return
        if self.is_whole:
            self._gone.append(piece)
        if self._message is not None:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(piece)
            self._forget_large()

    def _forget_large(self) -> None:
        """Keep no more for another try than is allowed; not before this one has taken it."""
        if self._has_come > REPLAYABLE:
            self.is_whole = False
            self._gone.clear()

    def coalesce(self) -> None:
        """Take in what there is of the beginning."""
        while self.is_coalescing and self._waiting:
            self._ready = self._sealed(self._waiting.popleft())

    def hurry(self) -> None:
        """Wait for the beginning no longer."""
        if self.is_coalescing and self._message is not None:
            self.is_coalescing = False
            self._message.add(self._first)
            self._first = b""
            self._ready = self._message.flush()

    def whole_message(self) -> bytes | None:
        """Return the message where it is small, and all there before any of it has gone."""
        message = self._message
        if message is None or self._end is not None or self.has_more or not self._is_all_there:
            return None
        if self._added and not self.is_small:
            return None
        self._end = iter(())
        return message.end()

    @property
    def _is_all_there(self) -> bool:
        is_complete = self.is_small and self._added == self._size
        return not self.is_coalescing and (self.has_ended or is_complete)

    def next_part(self) -> tuple[bytes, bool] | None:
        """Return what is to be sent next, and whether it is the last; None until there is more."""
        self.coalesce()
        while not self._ready and self._waiting:
            self._ready = self._sealed(self._waiting.popleft())
        if self._ready:
            ready, self._ready = self._ready, b""
            return ready, False
        if self._end is None:
            if self._message is None or not self._is_all_there:
                return None
            self._end = self._message.ending()
            self._next_of_end = next(self._end)
        part = self._next_of_end
        if part is None:
            return None
        self._next_of_end = next(self._end, None)
        return part, self._next_of_end is None

    def _sealed(self, piece: bytes) -> bytes:
        """Add a piece to the message; return what that lets go, b"" where nothing."""
        message, size = self._message, self._size
        if message is None:
            return b""
        self._added += len(piece)
        if self.is_coalescing and size is not None:
            self._first = self._first + piece if self._first else piece
            if len(self._first) < min(size, SMALL):
                return b""
            self.is_coalescing = False
            piece, self._first = self._first, b""
        message.add(piece)
        return b"" if self._added == size else message.flush()
