"""A buffered body by callbacks: held as it comes, and sent from what is held.

    BodyHolder   takes   a piece                    (digest, size; refused above the limit)
                 WRITES  too much for the memory    the source is paused until it is on the disk
                 OVER    held, failed, or closed

    HeldSender   WAITS   until ``go_on``
                 SENDS   a block of what is held    until the other end is blocked
                 READS   a block from the disk      goes on by itself with it
                 OVER    sent, failed, or closed

A small body is held, and sent, without a thread and within the call that brings its end. What the
two call may call back at once, and may close them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from enum import Enum, auto
from typing import TypeVar

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.transfer.body import PIECE, Stage, nowhere
from proxy.transfer.buffered_body import BufferedBody

_Result = TypeVar("_Result")


class _Hold(Enum):
    TAKES = auto()
    WRITES = auto()
    OVER = auto()


class _Sending(Enum):
    WAITS = auto()
    SENDS = auto()
    READS = auto()
    OVER = auto()


def _nothing() -> None:
    pass


def _no_failure(_: Exception) -> None:
    pass


class BodyHolder:
    """Fills a body with what a source passes on.

    Ends with ``on_held`` or with ``on_failure``, once, unless it is closed before. It doesn't close
    the body: who made that does.
    """

    __slots__ = (
        "_body", "_digest", "_ends", "_full", "_is_paused", "_limit", "_on_failure", "_on_held",
        "_pause", "_resume", "_state", "_writing",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - two codes, and the two ends of it
        self,
        body: BufferedBody,
        *,
        limit: Code,
        pause: Callable[[], None],
        resume: Callable[[], None],
        on_held: Callable[[], None],
        on_failure: Callable[[Exception], None],
        full: Code = Code.STORAGE_FULL,
        digest: BodyDigest | None = None,
    ) -> None:
        """Refuse with the code ``limit`` above the body's limit, with ``full`` on a full disk.

        ``pause`` and ``resume`` are the source's. It may pass on what it had begun to, for all
        that. ``digest`` is fed along the way.
        """
        self._body = body
        self._limit = limit
        self._full = full
        self._digest = digest
        self._pause = pause
        self._resume = resume
        self._on_held = on_held
        self._on_failure = on_failure
        self._state = _Hold.TAKES
        self._ends = False
        self._is_paused = False
        self._writing: Future[None] | None = None

    def receive(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece, which may be b""; ``ends`` with the last one."""
        if self._state is _Hold.OVER or self._ends:
            return
        self._ends = ends
        if piece:
            try:
                self._body.add(piece, self._limit, self._digest)
            except Refusal as refusal:
                self._fail(refusal.with_traceback(None))  # which would hold who called
                return
        if self._state is _Hold.TAKES:
            self._go_on()

    def close(self) -> None:
        """Take nothing more, and call nothing any more; what a thread writes is left to it."""
        self._state = _Hold.OVER
        self._pause = self._resume = self._on_held = _nothing
        self._on_failure = _no_failure
        self._digest = None
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.cancel()  # it may wait behind others still

    def _go_on(self) -> None:
        """Have written what is too much for the memory; tell of a body that is all there."""
        if self._body.is_spill_due(ends=self._ends):
            self._state = _Hold.WRITES
            self._writing = writing = self._body.spill()
            _when_done(writing, self._written)
            if not self._ends and not self._is_paused:
                self._is_paused = True
                self._pause()
        elif self._ends:
            on_held = self._on_held
            self.close()
            on_held()
        elif self._is_paused:
            self._is_paused = False
            self._resume()

    def _written(self, writing: "Future[None]") -> None:
        if self._state is not _Hold.WRITES:
            return
        self._writing = None
        error = writing.exception()
        if error is None:
            self._state = _Hold.TAKES
            self._go_on()
        elif isinstance(error, OSError):
            self._fail(self._body.cannot_take(error, self._full))
        else:
            self._fail(RuntimeError(repr(error)))

    def _fail(self, error: Exception) -> None:
        on_failure = self._on_failure
        self.close()
        on_failure(error)


class HeldSender:
    """Sends a body that is held, from its beginning, as often as one of these is made.

    Where the disk can't be read any more ``on_failure`` is called, once. It doesn't close the body.
    """

    __slots__ = (
        "_at", "_block", "_block_at", "_body", "_is_blocked", "_on_failure", "_reading", "_send",
        "_state",
    )  # fmt: skip

    def __init__(
        self,
        body: BufferedBody,
        send: Stage,
        is_blocked: Callable[[], bool],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """``is_blocked`` is asked before each piece: not behind the last one."""
        self._body = body
        self._send = send
        self._is_blocked = is_blocked
        self._on_failure = on_failure
        self._state = _Sending.WAITS
        self._reading: Future[bytes] | None = None
        self._at = 0
        """Bytes of the body that have gone."""
        self._block = b""
        """What was read of it, and wasn't sent yet from ``_block_at`` on."""
        self._block_at = 0

    def go_on(self) -> None:
        """Send until the other end is blocked, or the disk is asked."""
        if self._state is not _Sending.WAITS:
            return
        self._state = _Sending.SENDS
        while self._state is _Sending.SENDS:
            if self._is_blocked():
                self._state = _Sending.WAITS
            elif (piece := self._next()) is not None:
                self._at += len(piece)
                send, ends = self._send, self._at >= self._body.size
                if ends:
                    self.close()
                send(piece, ends=ends)

    def close(self) -> None:
        """Send nothing more, and call nothing any more."""
        self._state = _Sending.OVER
        self._send = nowhere
        self._is_blocked = _always
        self._on_failure = _no_failure
        self._block = b""
        if self._reading is not None:
            reading, self._reading = self._reading, None
            reading.cancel()  # it may wait behind others still

    def _next(self) -> bytes | None:
        """Return the next piece, at most ``PIECE`` bytes; None where it isn't there yet."""
        if self._block_at >= len(self._block):
            block = self._body.block(self._at)
            if not isinstance(block, bytes):
                self._state = _Sending.READS
                self._reading = block
                self._block = b""
                _when_done(block, self._read)
                return None
            if block or not self._body.size:
                return block
            self._fail(RuntimeError("the body was closed before it was sent"))
            return None
        start = self._block_at
        self._block_at = start + PIECE
        return self._block[start : self._block_at]

    def _read(self, reading: "Future[bytes]") -> None:
        if self._state is not _Sending.READS:
            return
        self._reading = None
        error = reading.exception()
        if error is None:
            self._block, self._block_at = reading.result(), 0
            self._state = _Sending.WAITS
            self.go_on()
        else:
            self._fail(error if isinstance(error, OSError) else RuntimeError(repr(error)))

    def _fail(self, error: Exception) -> None:
        on_failure = self._on_failure
        self.close()
        on_failure(error)


def _always() -> bool:
    return True


def _when_done(work: "Future[_Result]", then: "Callable[[Future[_Result]], None]") -> None:
    """Call ``then`` in this event loop, later, once the thread is done with ``work``.

    In the context of now, as with any callback: what an app in this process is told of its server
    stands there.
    """
    loop, context = asyncio.get_running_loop(), copy_context()

    def tell(done: "Future[_Result]") -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(then, done, context=context)

    work.add_done_callback(tell)
