"""Bodies on their way, piece by piece."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.transfer.body import ClientLeft, RequestPieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message


async def whole(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


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
