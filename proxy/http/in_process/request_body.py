"""A request as an app in this process takes it in, message by message.

Nothing is asked of the client before the app asks: a client that waits for 100 Continue is invited
by that. A body that isn't what its framing says, or breaks, never looks whole.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from starlette.types import Message

from proxy.core.http.headers import content_length
from proxy.http.upstream import UpstreamFailed, UpstreamRequest

_DISCONNECT: Message = {"type": "http.disconnect"}


class RequestBody:
    """The app's side of a request; ``fail`` is told what goes wrong with its body."""

    def __init__(self, request: UpstreamRequest, fail: Callable[[Exception], None]) -> None:
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self.moved_at = self._loop.time()
        """When the app last took something."""
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._wanted = asyncio.Event()
        self._is_whole = False
        self._gone = asyncio.Event()
        self._left = content_length(request.fields)
        self._pump: asyncio.Task[None] | None = None
        if request.body is None:
            self._put(b"", more=False)
        else:
            self._pump = asyncio.create_task(self._carry(request.body))

    async def receive(self) -> Message:
        """Return the next message for the app."""
        if self._is_whole:
            await self._gone.wait()
            return _DISCONNECT
        self._wanted.set()
        message = await self._messages.get()
        self._messages.task_done()
        self.moved_at = self._loop.time()
        self._is_whole = not message.get("more_body", False)
        return message

    async def leave(self) -> None:
        """Tell the app that nobody is there, and take no more of the body."""
        self._gone.set()
        self._messages.put_nowait(_DISCONNECT)
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            await asyncio.wait((self._pump,))

    async def _carry(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            await self._wanted.wait()
            await self._carry_pieces(pieces)
        except Exception as error:  # noqa: BLE001 - raised again where the response is awaited
            self._fail(error)
            self._messages.put_nowait(_DISCONNECT)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _carry_pieces(self, pieces: AsyncIterator[bytes]) -> None:
        async for piece in pieces:
            if self._left is not None:
                self._left -= len(piece)
                if self._left < 0:
                    raise UpstreamFailed("the request's body is longer than it said")
            if piece:
                await self._messages.join()
                self._put(piece, more=True)
        if self._left:
            raise UpstreamFailed(f"the request's body is {self._left} bytes short")
        self._put(b"", more=False)

    def _put(self, piece: bytes, *, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})
