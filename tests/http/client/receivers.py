"""Who is told of an exchange in tests: notes all of it, and may act from within a callback."""

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.core.errors import Refusal
from proxy.core.http.headers import Fields
from proxy.http.upstream import (
    ResponseReceiver,
    Upstream,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
)
from tests.patience import PATIENCE


class Recorder(ResponseReceiver):
    """Notes what it is told; ``acts`` holds what it does when it is told something, by name."""

    def __init__(self, **acts: Callable[["Recorder"], object]) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.acts = acts
        self.is_over = asyncio.Event()
        """Set by the response's end, or a failure."""
        self.exchange: UpstreamExchange

    def begin(self, engine: Upstream, request: UpstreamRequest) -> UpstreamExchange:
        """Send ``request``; nothing may be told meanwhile."""
        self.exchange = engine.begin(request, self)
        assert self.told == []
        return self.exchange

    async def over(self) -> list[tuple[Any, ...]]:
        """Wait for the end; return all that was told."""
        async with asyncio.timeout(PATIENCE):
            await self.is_over.wait()
        return self.told

    async def heard(self, name: str) -> None:
        """Wait until it was told ``name``."""
        async with asyncio.timeout(PATIENCE):
            while name not in self.names:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)

    @property
    def names(self) -> list[str]:
        """What it was told, without what came along."""
        return [name for name, *_ in self.told]

    @property
    def content(self) -> bytes:
        """All content that came."""
        return b"".join(what[0] for name, *what in self.told if name == "content")

    @property
    def has_ended(self) -> bool:
        """Whether the content's end came."""
        return any(name == "content" and what[1] for name, *what in self.told)

    @property
    def failure(self) -> UpstreamFailed:
        """The one failure that it was told of."""
        (failure,) = (what[0] for name, *what in self.told if name == "failed")
        assert isinstance(failure, UpstreamFailed)
        return failure

    def _note(self, name: str, *what: object) -> None:
        self.told.append((name, *what))
        if name == "failed" or (name == "content" and what[1]):
            self.is_over.set()
        if name in self.acts:
            self.acts[name](self)

    def interim_received(self, status: int, fields: Fields) -> None:
        self._note("interim", status, tuple(fields))

    def head_received(self, status: int, fields: Fields) -> None:
        self._note("head", status, tuple(fields))

    def content_received(self, piece: bytes, *, ends: bool) -> None:
        self._note("content", piece, ends)

    def exchange_failed(self, failure: UpstreamFailed | Refusal) -> None:
        self._note("failed", failure)

    def body_invited(self) -> None:
        self._note("invited")

    def pause_body(self) -> None:
        self._note("pause")

    def resume_body(self) -> None:
        self._note("resume")


def finish(recorder: Recorder) -> None:
    """End the exchange, from within a callback."""
    recorder.exchange.finish()
