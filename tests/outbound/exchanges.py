"""The two ends of a call's exchange, as a test moves them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.http.upstream import BytesBody
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from proxy.core.errors import Refusal
    from proxy.core.http.headers import Fields
    from proxy.http.upstream import (
        ResponseReceiver,
        UpstreamExchange,
        UpstreamFailed,
        UpstreamRequest,
        UpstreamResponse,
    )


class Lower:
    """An exchange with a peer that the test plays."""

    def __init__(self, request: UpstreamRequest, receiver: ResponseReceiver) -> None:
        self.request = request
        self.receiver = receiver
        self.is_blocked = False
        self.is_paused = False
        self.is_finished = False
        self.pieces: list[bytes] = []
        self.has_body = False
        if isinstance(request.body, BytesBody):
            assert not request.streams
            self.pieces.append(request.body.data)
            self.has_body = True
        self.on_body: Callable[[Lower], None] | None = None
        """Is called once all of the body has come."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        assert self.request.streams
        assert not self.is_blocked
        assert not self.is_finished
        assert not self.has_body
        self.pieces.append(piece)
        self.has_body = ends
        if ends and self.on_body is not None:
            self.on_body(self)

    def block(self) -> None:
        self.is_blocked = True
        self.receiver.pause_body()

    def unblock(self) -> None:
        self.is_blocked = False
        self.receiver.resume_body()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def finish(self) -> None:
        self.is_finished = True
        self.on_body = None

    # What the peer does.

    def answer(self, status: int, fields: Fields, *pieces: bytes, ends: bool = True) -> None:
        """Tell a response; ``pieces`` as long as somebody listens and nobody paused."""
        self.receiver.head_received(status, fields)
        rest = list(pieces or (b"",))
        while rest and not self.is_finished:
            assert not self.is_paused
            piece = rest.pop(0)
            self.receiver.content_received(piece, ends=ends and not rest)

    def fail(self, failure: UpstreamFailed | Refusal) -> None:
        self.receiver.exchange_failed(failure)


class LowerUpstream:
    """An engine whose exchanges are the test's."""

    def __init__(self, *, is_blocked: bool = False) -> None:
        self.exchanges: list[Lower] = []
        self.has_begun = asyncio.Event()
        self._is_blocked = is_blocked

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        exchange = Lower(request, receiver)
        exchange.is_blocked = self._is_blocked
        self.exchanges.append(exchange)
        self.has_begun.set()
        return exchange

    @property
    def last(self) -> Lower:
        return self.exchanges[-1]

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        raise NotImplementedError(request)

    async def close(self) -> None:
        """Nothing is open."""


class Caller:
    """Who makes a call: the receiver of its response, which notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        """``(status, fields)``, pieces, and in the end ``"end"`` or a failure."""
        self.moves: list[str] = []
        self.ended = asyncio.Event()
        self.on_told: Callable[[], None] | None = None
        self.exchange: UpstreamExchange | None = None

    def interim_received(self, status: int, fields: Fields) -> None:
        raise AssertionError((status, fields))

    def head_received(self, status: int, fields: Fields) -> None:
        self._note((status, fields))

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        if piece:
            self._note(piece)
        if ends:
            self._note("end")

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        self._note(failure)

    def body_invited(self) -> None:
        raise AssertionError

    def pause_body(self) -> None:
        self.moves.append("pause")

    def resume_body(self) -> None:
        self.moves.append("resume")

    def _note(self, what: object) -> None:
        assert not self.ended.is_set()
        self.told.append(what)
        if what == "end" or isinstance(what, Exception):
            self.ended.set()
        if self.on_told is not None:
            self.on_told()

    @property
    def body(self) -> bytes:
        return b"".join(piece for piece in self.told if isinstance(piece, bytes))

    @property
    def status(self) -> int | None:
        return self.told[0][0] if self.told and isinstance(self.told[0], tuple) else None

    @property
    def failure(self) -> Exception | None:
        return self.told[-1] if self.told and isinstance(self.told[-1], Exception) else None

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.ended.wait()


async def settle() -> None:
    """Let the loop run what it has to."""
    for _ in range(10):
        await asyncio.sleep(0)
