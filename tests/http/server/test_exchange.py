"""What is held of a request while whoever serves it takes nothing."""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from proxy.core.http1.framing import persistence
from proxy.core.http1.grammar import RequestHead
from proxy.http.server.exchange import Exchange

if TYPE_CHECKING:
    from proxy.http.downstream import RequestHandler

_HEAD = RequestHead(b"POST", b"/x", 1, ((b"host", b"a.example"), (b"content-length", b"131072")))
_SIZE = 128 * 1024
_FEW = 64


class _Connection:
    """A connection on which the client sends what it likes."""

    def resume_reading(self) -> None:
        pass


class _Handler:
    """What serves a request, and takes all or nothing."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.has_end = False

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        assert not self.has_end
        self.pieces.append(piece)
        self.has_end = ends


async def test_bytes_that_come_one_by_one_are_held_as_few_pieces() -> None:
    """Each on its own would take a hundred times as much, and as many calls in one turn."""
    sent = memoryview(bytes(range(256)) * (_SIZE // 256))
    handler = _Handler()
    exchange = Exchange(cast("Any", _Connection()), _HEAD, persistence(_HEAD.fields, _HEAD.minor))
    exchange.served_by(cast("RequestHandler", handler))
    tracemalloc.start()
    try:
        for at in range(_SIZE):
            exchange.take(bytes(sent[at : at + 1]), ends=False)
        exchange.take(b"", ends=True)
        assert tracemalloc.get_traced_memory()[0] < 2 * _SIZE
    finally:
        tracemalloc.stop()
    assert exchange.buffered == _SIZE
    exchange.resume()
    await asyncio.sleep(0)
    assert b"".join(handler.pieces) == sent
    assert handler.has_end
    assert len(handler.pieces) <= _FEW
    assert (exchange.buffered, exchange.bytes_in) == (0, _SIZE)


async def test_a_head_isn_t_kept_while_the_response_s_body_runs() -> None:
    fields = (*_HEAD.fields, (b"cookie", b"a" * 1000))
    head = RequestHead(b"GET", b"/x", 1, fields)
    before = sys.getrefcount(head)
    connection = SimpleNamespace(unsent_heads=set(), is_stopping=False, write=lambda _: None)
    exchange = Exchange(cast("Any", connection), head, persistence(fields, 1))
    exchange.is_received = True
    exchange.send_head(200, ())
    assert sys.getrefcount(head) == before + 1
    exchange.send(b"some", ends=False)
    assert sys.getrefcount(head) == before
    assert exchange.takes_interim  # as one of HTTP/1.1 still
