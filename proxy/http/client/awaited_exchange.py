"""An exchange that is awaited: coroutines on top of the callbacks of ``exchange``.

For what isn't a relay, and needn't be quick: who awaits reads a response like a file. What one read
of the connection brought waits here, and while nobody awaits more, no more is taken; so the other
side's time runs only while somebody waits for it. Behind a 101 there is no such time, and some more
is taken: whoever writes has to hear of a failure too.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from proxy.core.errors import Refusal
from proxy.core.http.headers import Field, Fields, indexed
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.http.client.exchange import Exchange
from proxy.http.upstream import (
    BytesBody,
    Ending,
    ResponseReceiver,
    UpstreamFailed,
    UpstreamRequest,
)

_FULL = 64 * 1024
"""Bytes of a raw stream that wait here above which the other side is made to wait."""

_Begin = Callable[[UpstreamRequest, ResponseReceiver], Exchange]


class _Head:
    """A response's head, interim ones too."""

    __slots__ = ("fields", "status")

    def __init__(self, status: int, fields: Fields) -> None:
        self.status = status
        self.fields = fields


class AwaitedExchange(Ending):
    """One request on its way; inside the context it is its response, whose head has arrived."""

    def __init__(self, begin: _Begin, request: UpstreamRequest) -> None:
        self.status = 0
        self.fields: tuple[Field, ...] = ()
        self._begin = begin
        self._request = request
        self._exchange: Exchange | None = None
        self._events: deque[_Head | bytes | None] = deque()
        """What came and wasn't taken; None is the end."""
        self._waiting = 0
        """Bytes among it."""
        self._failure: Exception | None = None
        self._is_whole = False
        self._is_body_sent = False
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._invitation: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        request = self._request
        body = request.body
        if body is not None and not isinstance(body, BytesBody):
            request = replace(request, body=None, streams=True)
            self._invitation = asyncio.get_running_loop().create_future()
        self._exchange = exchange = self._begin(request, self)
        if request.streams and body is not None:
            self._pump = asyncio.create_task(self._send_body(exchange, body))
        try:
            await self._await_head()
        except BaseException:
            await self._finish()
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._finish()

    async def _await_head(self) -> None:
        while True:
            head = await self._next()
            if not isinstance(head, _Head):
                raise TypeError("a body before its head")
            if head.status == SWITCHING_PROTOCOLS or head.status >= 200:  # noqa: PLR2004 - final
                self.status, self.fields = head.status, indexed(head.fields)
                if head.status == SWITCHING_PROTOCOLS:
                    self._resume()
                return
            if self._request.on_interim is not None:
                await self._request.on_interim(head.status, list(head.fields))

    async def _finish(self) -> None:
        """Stop whatever still runs."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._is_whole or self._takes_end():
            exchange.finish()
        else:
            exchange.give_up()
        if self._pump is not None and not self._pump.done() and not self._is_body_sent:
            self._pump.cancel()
            await asyncio.wait((self._pump,))

    # The response.

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, which is read once."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_whole:
            raise StopAsyncIteration
        if self._exchange is None:
            raise UpstreamFailed("the exchange is over")
        piece = await self._next()
        if isinstance(piece, bytes):
            return piece
        self._is_whole = True
        raise StopAsyncIteration

    def is_over(self) -> bool:
        """Tell whether the response's end is there."""
        return self._is_whole or (self._exchange is not None and self._takes_end())

    def _takes_end(self) -> bool:
        self._is_whole = bool(self._events) and self._events[0] is None
        return self._is_whole

    async def _next(self) -> _Head | bytes | None:
        """Return what comes next; raises what the exchange failed with."""
        while not self._events:
            self._raise_failure()
            self._resume()
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        event = self._events.popleft()
        if isinstance(event, bytes):
            self._waiting -= len(event)
        if self.status != SWITCHING_PROTOCOLS:
            if self._exchange is not None:
                self._exchange.pause()
        elif self._waiting <= _FULL // 2:
            self._resume()
        return event

    def _resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    def _raise_failure(self) -> None:
        failure = self._failure
        if isinstance(failure, UpstreamFailed):
            # A new one each time: what is kept must not refer to who it was raised to.
            raise UpstreamFailed(failure.detail, timeout=failure.timeout, sent=failure.sent)
        if failure is not None:
            self._failure = UpstreamFailed("the request's body was given up")
            try:
                raise failure
            finally:
                del failure

    # A raw stream.

    async def write(self, data: bytes) -> None:
        """Send bytes on the raw stream that a 101 has made of the connection."""
        exchange = self._raw()
        self._raise_failure()
        exchange.send(data)
        await self._drained(exchange)
        self._raise_failure()

    def write_end(self) -> None:
        """Send our end on that stream."""
        self._raw().send(b"", ends=True)

    def _raw(self) -> Exchange:
        if self._exchange is None or self.status != SWITCHING_PROTOCOLS:
            raise UpstreamFailed("no raw stream")
        return self._exchange

    # The request's body.

    async def _drained(self, exchange: Exchange) -> None:
        """Wait until more of it can be sent, or never."""
        while exchange.is_blocked and self._failure is None:
            if self._writable is None or self._writable.done():
                self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    async def _send_body(self, exchange: Exchange, pieces: AsyncIterator[bytes]) -> None:
        """Send the request's body as it comes.

        Whatever goes wrong ends the exchange; of the response, what came before can still be read.
        """
        try:
            await self._drained(exchange)
            await self._await_invitation()
            async for piece in pieces:
                if piece:
                    exchange.send(piece)
                del piece  # what can't be sent yet is kept by the transport
                await self._drained(exchange)
                if self._failure is not None:
                    return
            exchange.send(b"", ends=True)
            self._is_body_sent = True
        except Exception as error:  # noqa: BLE001 - raised again where the response is awaited
            exchange.give_up()
            self._fail(error)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _await_invitation(self) -> None:
        """Wait until the body is asked for, or comes unasked, or has waited long enough."""
        if self._invitation is None or not any(
            name == b"expect" for name, _ in self._request.fields
        ):
            return
        await self._invitation

    # What the exchange tells.

    def interim_received(self, status: int, fields: Fields) -> None:
        """Keep an interim response that somebody wants."""
        if self._request.on_interim is not None:
            self._put(_Head(status, fields))

    def head_received(self, status: int, fields: Fields) -> None:
        """Keep the head."""
        self._put(_Head(status, fields))

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Keep a piece, and the end."""
        if piece:
            self._put(piece)
            self._waiting += len(piece)
            if self._waiting > _FULL and self._exchange is not None:
                self._exchange.pause()
        if ends:
            self._put(None)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """Let whoever waits run into it, behind what came."""
        self._fail(failure)

    def body_invited(self) -> None:
        """Let the body go."""
        _wake(self._invitation)

    def pause_body(self) -> None:
        """Whoever sends asks after each piece."""

    def resume_body(self) -> None:
        """Let whoever sends go on."""
        _wake(self._writable)

    def _put(self, event: _Head | bytes | None) -> None:
        self._events.append(event)
        _wake(self._arrival)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        _wake(self._arrival)
        _wake(self._writable)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
