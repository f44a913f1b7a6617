"""A response that streams: its end goes with its last piece where that is known, else by itself."""

from collections.abc import AsyncIterator
from typing import Self

import pytest
from starlette.types import Message

from proxy.http.upstream import Ending
from proxy.transfer.response import send_stream


class _Known(Ending):
    """Pieces that tell of their end as soon as the last of them is taken."""

    def __init__(self, *pieces: bytes) -> None:
        self._left = list(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    def is_over(self) -> bool:
        return not self._left


async def _unknown(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("pieces", "parts"),
    [
        (_Known(b"a", b"b"), [(b"a", True), (b"b", False)]),
        (_Known(), [(b"", False)]),
        (_unknown(b"a", b"b"), [(b"a", True), (b"b", True), (b"", False)]),
        (_unknown(), [(b"", False)]),
    ],
)
async def test_the_end_comes_once_and_with_the_last_piece_where_that_is_known(
    pieces: AsyncIterator[bytes], parts: list[tuple[bytes, bool]]
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_stream(send, 200, [], pieces)
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert [(body["body"], body["more_body"]) for body in bodies] == parts
