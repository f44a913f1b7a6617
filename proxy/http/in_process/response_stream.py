"""What an app in this process says, handed on piece by piece: it never runs ahead by more than one.

It is checked first: against what its head says, and for what can't be sent at all.

Once nobody listens any more, an app that goes on is told so; what it raises then is no mistake.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.types import Message

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields, refuse_malformed, values_of
from proxy.core.http1.framing import bodiless
from proxy.http.upstream import UpstreamFailed

log = logging.getLogger("proxy.upstream")

_FINAL = range(200, 600)


@dataclass(frozen=True)
class Head:
    """The head of a response; names in lower case."""

    status: int
    fields: tuple[Field, ...]


class Body:
    """The body behind a head; what isn't the length that was announced raises ``ValueError``."""

    def __init__(self, method: bytes, head: Head) -> None:
        lengths = values_of(head.fields, b"content-length")
        if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
            raise ValueError("the app's Content-Length isn't one number")
        self._is_bodiless = bodiless(method, head.status)
        self._left = int(lengths[0]) if lengths and not self._is_bodiless else None

    def take(self, message: Message) -> bytes:
        """Return what the message brings of the body: nothing where the response has none."""
        if self._is_bodiless:
            return b""
        piece = bytes(message.get("body", b""))
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise ValueError("the app's body is longer than it said")
            if self._left and not message.get("more_body", False):
                raise ValueError(f"the app's body is {self._left} bytes short")
        return piece


def read_head(message: Message) -> Head:
    """Return the head of a response; raises ``ValueError`` for one that can't be sent."""
    status = message["status"]
    if status not in _FINAL:
        raise ValueError(f"{status!r} is no final status")
    return Head(status, read_fields(message))


def read_fields(message: Message) -> tuple[Field, ...]:
    """Return the fields of an app's message; raises ``ValueError`` for what is none."""
    fields: Fields = tuple(
        (bytes(name).lower(), bytes(value).strip(b" \t"))
        for name, value in message.get("headers", ())
    )
    try:
        refuse_malformed(fields)
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None
    return tuple(fields)


class ClientGone(OSError):
    """Nobody waits for the response any more; for an app that goes on sending it."""


class ResponseStream:
    """A head, then the pieces behind it; whoever waits for one may be cancelled.

    ``moved_at`` tells when the app last took something, in the loop's time: an upload that takes
    minutes isn't a slow response.
    """

    def __init__(self, patience: float, moved_at: Callable[[], float] = lambda: 0.0) -> None:
        self._patience = patience
        self._moved_at = moved_at
        self._queue: asyncio.Queue[Head | bytes | Exception | None] = asyncio.Queue()
        self._is_whole = False
        self.is_gone = False
        """Whether nobody listens any more."""

    # Our side.

    async def head(self) -> Head:
        """Return the response's head; raises ``UpstreamFailed``, or what its request raised."""
        head = await self._next()
        if not isinstance(head, Head):
            raise TypeError("a body before its head")
        return head

    def disable_timeouts(self) -> None:
        """Take silence for no failure."""
        self._patience = math.inf

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_whole:
            raise StopAsyncIteration
        if self.is_gone:
            raise UpstreamFailed("the exchange is over")
        piece = await self._next()
        if isinstance(piece, bytes):
            return piece
        self._is_whole = True
        raise StopAsyncIteration

    def leave(self) -> None:
        """Listen no longer."""
        self.is_gone = True
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    async def _next(self) -> Head | bytes | None:
        since = asyncio.get_running_loop().time()
        while True:
            until = max(since, self._moved_at()) + self._patience
            try:
                async with asyncio.timeout_at(None if math.isinf(until) else until):
                    said = await self._queue.get()
            except TimeoutError:
                if self._moved_at() + self._patience > until:
                    continue
                detail = f"the app says nothing for {self._patience:g} s"
                raise UpstreamFailed(detail, timeout=True) from None
            self._queue.task_done()
            if isinstance(said, Exception):
                raise said
            return said

    # The app's side.

    async def say(self, said: Head | bytes | None) -> None:
        """Say it, once what was said before is taken; None is the end. Raises ``ClientGone``."""
        await self._queue.join()
        if self.is_gone:
            raise ClientGone
        self._queue.put_nowait(said)

    def break_off(self, error: Exception) -> None:
        """Let whoever listens run into ``error``, behind what was said."""
        self._queue.put_nowait(error)

    def failure(self, error: Exception, *, has_left: bool = False) -> UpstreamFailed:
        """Return what is told of an app that raised ``error``, which is logged if it is its own.

        ``has_left``: the app was told that the client is gone, though we still listen.
        """
        if not ((self.is_gone or has_left) and _tells_of_leaving(error)):
            log.error("the app raised", exc_info=error)
        return UpstreamFailed(f"the app raised {type(error).__name__}")


def _tells_of_leaving(error: Exception) -> bool:
    """Tell whether an app raised nothing but what it was told: that the client is gone."""
    if isinstance(error, ExceptionGroup):
        return error.split(OSError)[1] is None
    return isinstance(error, OSError)
