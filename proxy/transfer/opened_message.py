"""A sealed message, opened as it comes: a response at the calling side, a request at the other.

Its head and the pieces of its body were authenticated. That it is whole is only known when the
last piece was followed by the end; whatever else happens is raised, and never looks like an end.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self, TypeVar

from proxy.core.binary_http.message import Malformed, RequestHead, ResponseHead
from proxy.core.http.headers import content_length
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.message import Event, MessageOpener

Head = TypeVar("Head", RequestHead, ResponseHead)


class OpenedMessage:
    """One message; ``begin``, then iterate over its body.

    ``broken`` makes the error that iterating raises where the message can't be opened to its end.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        opener: MessageOpener,
        broken: Callable[[str], Exception],
    ) -> None:
        self._pieces = pieces
        self._opener = opener
        self._broken = broken
        self._head: RequestHead | ResponseHead | None = None
        self._body: deque[bytes] = deque()
        """What came of the body and wasn't given out yet."""
        self._left: int | None = None
        """Bytes of the body that weren't given out yet, where the head says how many there are."""
        self._is_whole = False
        self._failure: CannotOpen | Malformed | None = None

    async def begin(self, kind: type[Head]) -> Head:
        """Return the head; raises ``CannotOpen``, ``Malformed``, and what the pieces raise."""
        while self._head is None and not self._is_whole:
            await self._read_on()
        if not isinstance(self._head, kind):
            raise Malformed("a message without a head")
        self._left = content_length(self._head.fields)
        return self._head

    async def nothing_follows(self) -> None:
        """Wait for the end of a message of which no more content can come; raises as ``begin``."""
        while not self._is_whole:
            await self._read_on()

    @property
    def is_known(self) -> bool:
        """Whether ``has_more`` needn't wait in order to tell."""
        return bool(self._body) or self._is_whole

    async def has_more(self) -> bool:
        """Wait until there is a piece of the body, or its end; raises as iterating does."""
        try:
            while not self._body and not self._is_whole:
                await self._read_on()
        except (CannotOpen, Malformed) as error:
            raise self._broken(str(error)) from None
        return bool(self._body)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece of the body.

        Where its length was told, the last piece is kept back until the message is whole: with it
        whoever counts along would take the body for complete.
        """
        if not await self.has_more():
            raise StopAsyncIteration
        if self._left is not None:
            if len(self._body[0]) >= self._left:
                await self._be_whole()
            self._left -= len(self._body[0])
        return self._body.popleft()

    async def _be_whole(self) -> None:
        try:
            await self.nothing_follows()
        except (CannotOpen, Malformed) as error:
            raise self._broken(str(error)) from None

    async def _read_on(self) -> None:
        """Take in what the next piece opens; what failed once isn't waited for again."""
        if self._failure is not None:
            raise self._failure
        try:
            events = await self._open_next()
        except (CannotOpen, Malformed) as error:
            self._failure = error
            raise
        for event in events:
            if isinstance(event, bytes):
                self._body.append(event)
            elif isinstance(event, RequestHead | ResponseHead):
                self._head = event

    async def _open_next(self) -> list[Event]:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            last = self._opener.end()
            self._is_whole = True
            return last
        return self._opener.feed(piece)
