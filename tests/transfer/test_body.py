"""Bodies on their way: piece by piece, once more from the beginning, or coalesced where small."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Self

import pytest

from proxy.transfer.body import (
    COALESCING,
    REPLAYABLE,
    SMALL,
    ClientLeft,
    ReplayableBody,
    RequestPieces,
    coalesced,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message


class Source:
    """Pieces that come when the test says so; whoever waits for one may be cancelled."""

    def __init__(self, *pieces: bytes, ended: bool = True) -> None:
        self._pieces = deque(pieces)
        self._ended = ended
        self._news = asyncio.Event()
        self.taken = 0

    def add(self, *pieces: bytes, ended: bool = False) -> None:
        self._pieces.extend(pieces)
        self._ended = ended
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self.taken += 1
        return self._pieces.popleft()


async def whole(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


# --- the pieces of a request's body --------------------------------------------------------


class Client:
    """An ASGI ``receive`` whose messages the test puts in."""

    def __init__(self, *messages: Message) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self._queue.put_nowait(message)

    async def __call__(self) -> Message:
        return await self._queue.get()

    def says(self, body: bytes, *, more: bool = True) -> None:
        self._queue.put_nowait({"type": "http.request", "body": body, "more_body": more})


def sent(body: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("messages", "pieces"),
    [
        ([sent()], []),
        ([sent(b"all")], [b"all"]),
        ([sent(b"a", more=True), sent(b"b")], [b"a", b"b"]),
        ([sent(b"a", more=True), sent()], [b"a"]),
        ([sent(more=True), sent(more=True), sent(b"b", more=True), sent()], [b"b"]),
        ([{"type": "http.request"}], []),
    ],
)
async def test_a_request_has_the_pieces_that_came_and_no_empty_one(
    messages: list[Message], pieces: list[bytes]
) -> None:
    assert await whole(RequestPieces(Client(*messages))) == pieces


async def test_the_end_stays_the_end() -> None:
    pieces = RequestPieces(Client(sent(b"a")))
    assert await whole(pieces) == [b"a"]
    assert await whole(pieces) == []


async def test_a_client_that_leaves_is_no_end() -> None:
    pieces = RequestPieces(Client(sent(b"a", more=True), {"type": "http.disconnect"}))
    assert await anext(pieces) == b"a"
    with pytest.raises(ClientLeft):
        await anext(pieces)


async def test_a_wait_that_was_cancelled_loses_no_piece() -> None:
    client = Client()
    pieces = RequestPieces(client)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(pieces), 0.01)
    client.says(b"late")
    client.says(b"", more=False)
    assert await whole(pieces) == [b"late"]


# --- once more -----------------------------------------------------------------------------


async def test_a_body_can_be_sent_again_from_its_beginning() -> None:
    body = ReplayableBody(Source(b"a", b"b", b"c"))
    for _ in range(3):
        assert await whole(body.pieces()) == [b"a", b"b", b"c"]
    assert body.is_whole


async def test_a_second_try_goes_on_where_the_first_one_stopped() -> None:
    source = Source(b"a", b"b", b"c")
    body = ReplayableBody(source)
    first = body.pieces()
    assert [await anext(first), await anext(first)] == [b"a", b"b"]
    assert source.taken == 2
    assert await whole(body.pieces()) == [b"a", b"b", b"c"]
    assert source.taken == 3


async def test_a_try_that_was_given_up_while_it_waited_loses_no_piece() -> None:
    source = Source(b"a", ended=False)
    body = ReplayableBody(source)
    first = body.pieces()
    assert await anext(first) == b"a"
    waiting = asyncio.ensure_future(anext(first))
    await asyncio.sleep(0)
    source.add(b"b", ended=True)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await whole(body.pieces()) == [b"a", b"b"]


async def test_a_third_try_begins_at_the_beginning_too() -> None:
    body = ReplayableBody(Source(b"a", b"b", b"c"))
    for count in (1, 2):
        pieces = body.pieces()
        assert [await anext(pieces) for _ in range(count)] == [b"a", b"b"][:count]
    assert await whole(body.pieces()) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(("pieces", "fits"), [((10, 6), True), ((10, 7), False), ((17,), False)])
async def test_no_more_than_the_limit_is_replayable(pieces: tuple[int, ...], *, fits: bool) -> None:
    body = ReplayableBody(Source(*(bytes(size) for size in pieces)), limit=16)
    assert len(b"".join(await whole(body.pieces()))) == sum(pieces)
    assert body.is_whole is fits
    if fits:
        assert len(b"".join(await whole(body.pieces()))) == sum(pieces)
    else:
        with pytest.raises(RuntimeError):
            body.pieces()


async def test_what_is_too_large_is_let_go_at_once_and_passes_on() -> None:
    piece = bytes(REPLAYABLE // 2)
    body = ReplayableBody(Source(*[piece] * 5))
    pieces = body.pieces()
    replayable = [(body.is_whole, len(body._gone)) async for _ in pieces]
    assert replayable == [(True, 1), (True, 2), (False, 0), (False, 0), (False, 0)]


async def test_what_breaks_off_breaks_off_in_every_try() -> None:
    client = Client(sent(b"a", more=True), {"type": "http.disconnect"}, {"type": "http.disconnect"})
    body = ReplayableBody(RequestPieces(client))
    for _ in range(2):
        pieces = body.pieces()
        assert await anext(pieces) == b"a"
        with pytest.raises(ClientLeft):
            await anext(pieces)


# --- coalesced ------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"a", b"bc", b"def"], [b"a"] * 6])
async def test_a_small_body_comes_as_one_piece(pieces: list[bytes]) -> None:
    size = len(b"".join(pieces))
    assert await whole(coalesced(Source(*pieces), size)) == [b"".join(pieces)]


async def test_a_large_one_or_one_of_unknown_length_comes_in_its_own_pieces() -> None:
    pieces = [bytes(SMALL), b"a"]
    assert await whole(coalesced(Source(*pieces), SMALL + 1)) == pieces
    assert await whole(coalesced(Source(b"a", b"b"), None)) == [b"a", b"b"]


async def test_a_body_of_no_bytes_lets_itself_be_waited_for() -> None:
    assert await whole(coalesced(Source(), 0)) == [b""]
    assert await whole(coalesced(Source(), None)) == []


async def test_a_small_body_that_is_late_comes_in_pieces() -> None:
    source = Source(b"a", ended=False)
    pieces = coalesced(source, 3)
    start = time.monotonic()
    assert await anext(pieces) == b"a"
    assert time.monotonic() - start >= COALESCING * 0.9
    source.add(b"b")
    assert await anext(pieces) == b"b"
    source.add(b"c", ended=True)
    assert await whole(pieces) == [b"c"]


async def test_of_a_body_of_which_nothing_is_there_the_first_piece_is_empty() -> None:
    source = Source(ended=False)
    pieces = coalesced(source, 2)
    assert await anext(pieces) == b""
    source.add(b"ab", ended=True)
    assert await whole(pieces) == [b"ab"]


async def test_a_small_body_that_ends_early_or_goes_on_is_passed_on_as_it_is() -> None:
    assert await whole(coalesced(Source(b"a"), 3)) == [b"a"]
    assert await whole(coalesced(Source(b"abc", b"d"), 3)) == [b"abc", b"d"]


async def test_nothing_of_a_large_body_is_taken_before_it_is_asked_for() -> None:
    source = Source(*[bytes(SMALL)] * 9)
    pieces = coalesced(source, 9 * SMALL)
    await anext(pieces)
    assert source.taken == 1


async def test_a_small_body_that_breaks_off_is_no_body() -> None:
    client = Client(sent(b"a", more=True), {"type": "http.disconnect"})
    with pytest.raises(ClientLeft):
        await whole(coalesced(RequestPieces(client), 2))
