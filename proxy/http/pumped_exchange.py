"""An exchange by callbacks on top of an engine that is awaited: a task pumps what it gives.

For engines that aren't quick anyhow: an app in this very process, the command line's own HTTP. The
engine is asked for a piece only while the receiver takes it, and the receiver for a piece of the
request's body only when the engine asks for it. Behind a 101 a second task does the writing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, values_of
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.http.futures import wake
from proxy.http.upstream import (
    Ending,
    ResponseReceiver,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)

log = logging.getLogger("proxy.upstream")

Send = Callable[[UpstreamRequest], AbstractAsyncContextManager[UpstreamResponse]]
"""How such an engine sends a request."""


class PumpedExchange:
    """One request on its way, and its response; an ``UpstreamExchange``."""

    def __init__(self, send: Send, request: UpstreamRequest, receiver: ResponseReceiver) -> None:
        self._receiver: ResponseReceiver | None = receiver
        self._unsent: deque[tuple[bytes, bool]] = deque()
        """What was sent of the body, or of the raw stream, and wasn't taken yet."""
        self._is_asked = False
        """Whether the next piece of that is waited for."""
        self._has_said_end = not request.streams
        self._is_raw = self._is_paused = False
        self._expects = bool(values_of(request.fields, b"expect"))
        self._mistake: UpstreamFailed | None = None
        """What is wrong with the body, where that isn't the engine's to find."""
        self._sent: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        body = self._body() if request.streams else request.body
        carried = replace(request, body=body, streams=False, on_interim=self._pass_interim_on)
        self._pumping: asyncio.Task[None] | None = asyncio.create_task(self._pump(send, carried))

    # What the receiver calls.

    @property
    def is_blocked(self) -> bool:
        """Whether to send of the body only behind ``resume_body``: until the engine asks for it."""
        return bool(self._unsent) or not self._is_asked

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the request's body, or behind a 101 of the raw stream.

        What isn't as long as it was announced is the engine's to refuse.
        """
        receiver = self._receiver
        if receiver is None or not (piece or ends):
            return
        if not self._has_said_end:
            self._has_said_end = ends
            self._unsent.append((piece, ends))
            wake(self._sent)
            if not ends:
                receiver.pause_body()
        elif piece and not self._is_raw and self._mistake is None:
            self._mistake = UpstreamFailed("the request's body is longer than it said")
            # By then the task has begun: one that hasn't would never get to tell.
            asyncio.get_running_loop().call_soon(self._break_off)

    def pause(self) -> None:
        """Take no more of the response; what has come waits, and so does a failure behind it."""
        self._is_paused = True

    def resume(self) -> None:
        """Take the response again."""
        self._is_paused = False
        wake(self._resumed)

    def finish(self) -> None:
        """End it: the engine hears of it as it does when whoever awaits it is cancelled."""
        self._receiver = None
        self._unsent.clear()
        for task in (self._writing, self._pumping):
            # One that runs just now calls the receiver, and ends by itself.
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._writing = self._pumping = None

    # The tasks.

    async def _pump(self, send: Send, request: UpstreamRequest) -> None:
        last = b""
        failure: UpstreamFailed | Refusal | None = None
        try:
            last = await self._carry(send, request)
        except asyncio.CancelledError:
            if self._mistake is None:
                raise
            failure = self._mistake
        except (UpstreamFailed, Refusal) as error:
            failure = error.with_traceback(None)
        except Exception as error:
            log.exception("an engine raised")
            failure = UpstreamFailed(f"the engine raised {type(error).__name__}")
        await self._is_taken()
        receiver = self._receiver
        self.finish()
        if receiver is not None and failure is not None:
            receiver.exchange_failed(failure)
        elif receiver is not None:
            receiver.content_received(last, ends=True)

    async def _carry(self, send: Send, request: UpstreamRequest) -> bytes:
        """Pass on all but the last piece, which is returned; behind a 101 never return."""
        async with send(request) as response:
            if not await self._is_taken() or self._receiver is None:
                return b""
            if response.status == SWITCHING_PROTOCOLS:
                self._is_raw = self._is_asked = True
                self._has_said_end = False
                self._writing = asyncio.create_task(self._write(response))
            self._receiver.head_received(response.status, response.fields)
            last = await self._pass_pieces_on(response.pieces())
            if self._receiver is not None and self._is_raw:
                self._receiver.content_received(last, ends=True)
                if self._receiver is not None:
                    await asyncio.get_running_loop().create_future()  # until it is finished
            return last

    async def _pass_pieces_on(self, pieces: AsyncIterator[bytes]) -> bytes:
        while await self._is_taken():
            piece = await anext(pieces, None)
            if piece is None or not await self._is_taken() or self._receiver is None:
                break
            if isinstance(pieces, Ending) and not self._is_raw and pieces.is_over():
                return piece
            self._receiver.content_received(piece, ends=False)
        await self._is_taken()
        return b""

    async def _pass_interim_on(self, status: int, fields: list[Field]) -> None:
        if await self._is_taken() and self._receiver is not None:
            self._receiver.interim_received(status, fields)
        if self._receiver is None:
            raise UpstreamFailed("the exchange was given up")

    async def _is_taken(self) -> bool:
        """Wait until the receiver takes more; tell whether it is still there."""
        while self._is_paused and self._receiver is not None:
            self._resumed = asyncio.get_running_loop().create_future()
            await self._resumed
        return self._receiver is not None

    async def _next_unsent(self) -> tuple[bytes, bool]:
        """Ask for the next piece, and wait for it."""
        while not self._unsent:
            self._is_asked = True
            self._sent = asyncio.get_running_loop().create_future()
            if self._receiver is not None:
                self._receiver.resume_body()
            if self._receiver is None:
                raise UpstreamFailed("the exchange was given up")
            await self._sent
        self._is_asked = False
        return self._unsent.popleft()

    async def _body(self) -> AsyncIterator[bytes]:
        """Yield the request's body; an engine that asks for it invites it by that."""
        if self._expects and self._receiver is not None:
            self._receiver.body_invited()
        ends = False
        while not ends:
            piece, ends = await self._next_unsent()
            if piece:
                yield piece

    async def _write(self, response: UpstreamResponse) -> None:
        """Write the raw stream."""
        ends = False
        try:
            while not ends:
                piece, ends = await self._next_unsent()
                if piece:
                    await response.write(piece)
            response.write_end()
        except UpstreamFailed as failure:
            self._mistake = failure.with_traceback(None)
            self._break_off()

    def _break_off(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
