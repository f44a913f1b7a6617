"""A call as a coroutine makes one: around the exchange that carries it out."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from proxy.core.errors import Refusal
from proxy.core.http.headers import Fields
from proxy.http.upstream import ResponseReceiver, UpstreamFailed
from proxy.outbound.call import Call, CallExchange, CallResponse


class CarriesOut(ABC):
    """A transport for coroutines, too."""

    @abstractmethod
    def begin(self, call: Call, receiver: ResponseReceiver) -> CallExchange:
        """Send ``call``; as ``CallTransport`` says."""

    def carry_out(self, call: Call, body: AsyncIterator[bytes]) -> "_CarriedOut":
        """Send ``call`` with ``body``; inside the context is the response. Raises ``Refusal``.

        ``body`` may raise whatever it likes: then that is raised where the response is awaited.
        """
        return _CarriedOut(self, call, body)


class _CarriedOut:
    """One call: a context manager, an iterator over the response's body, and its receiver."""

    def __init__(self, transport: CarriesOut, call: Call, body: AsyncIterator[bytes]) -> None:
        self._transport = transport
        self._call = call
        self._body = body
        self._exchange: CallExchange | None = None
        self._sending: asyncio.Task[None] | None = None
        self._head: tuple[int, Fields] | None = None
        self._pieces: deque[bytes] = deque()
        self._is_whole = False
        self._failure: Exception | None = None
        self._arrived = asyncio.Event()
        self._may_send = asyncio.Event()

    async def __aenter__(self) -> CallResponse:
        self._exchange = exchange = self._transport.begin(self._call, self)
        if self._call.has_body:
            self._sending = asyncio.create_task(self._send(exchange))
        try:
            while self._head is None:
                await self._arrival()
        except BaseException:
            await self._finish()
            raise
        status, fields = self._head
        return CallResponse(status, tuple(fields), self, exchange.refusal)

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._finish()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._is_whole:
                raise StopAsyncIteration
            if self._exchange is not None:
                self._exchange.resume()
            await self._arrival()
        return self._pieces.popleft()

    async def _arrival(self) -> None:
        """Wait until something more was told; raises what went wrong."""
        if self._failure is not None:
            raise self._failure
        self._arrived.clear()
        await self._arrived.wait()

    async def _finish(self) -> None:
        exchange, sending = self._exchange, self._sending
        self._exchange = self._sending = None
        if exchange is not None:
            exchange.finish()
        if sending is not None and not sending.done():
            sending.cancel()
            await asyncio.wait((sending,))

    async def _send(self, exchange: CallExchange) -> None:
        """Send the body as it comes, and as it is taken."""
        try:
            await self._taken(exchange)
            async for piece in self._body:
                exchange.send(piece)
                await self._taken(exchange)
            exchange.send(b"", ends=True)
        except Exception as error:  # noqa: BLE001 - raised again where the response is awaited
            exchange.finish()
            self._fail(error)

    async def _taken(self, exchange: CallExchange) -> None:
        while exchange.is_blocked:
            self._may_send.clear()
            await self._may_send.wait()

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._arrived.set()

    # What the exchange calls.

    def interim_received(self, status: int, fields: Fields) -> None:
        """Drop it."""

    def head_received(self, status: int, fields: Fields) -> None:
        """Take the head, and the body only as it is asked for."""
        self._head = status, fields
        if self._exchange is not None:
            self._exchange.pause()
        self._arrived.set()

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        """Take a piece."""
        if piece:
            self._pieces.append(piece)
        self._is_whole = ends
        if self._exchange is not None and not ends:
            self._exchange.pause()
        self._arrived.set()

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        """Raise it where the response is awaited."""
        self._fail(failure)

    def body_invited(self) -> None:
        """Nothing waits for it."""

    def pause_body(self) -> None:
        """Send no more for now: that is asked behind each piece."""

    def resume_body(self) -> None:
        """Go on sending."""
        self._may_send.set()
