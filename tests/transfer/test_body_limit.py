"""The size of a body that streams."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.transfer.body import limit_body, refuse_large

_CHUNKED: Field = (b"transfer-encoding", b"chunked")


class _Pieces:
    """A body in pieces; None makes whoever waits wait for the event loop."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = list(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        if (piece := self._pieces.pop(0)) is None:
            await asyncio.sleep(3600)
        return piece or b""


def test_a_length_above_the_limit_is_refused_before_anything_has_come() -> None:
    with pytest.raises(Refusal) as caught:
        refuse_large((b"content-length", b"1025"), 1024)
    assert caught.value.code is Code.TOO_LARGE
    assert caught.value.detail == "1025 bytes; 1 KiB are taken"


@pytest.mark.parametrize("framing", [None, (b"content-length", b"1024"), _CHUNKED])
def test_any_other_body_may_begin(framing: Field | None) -> None:
    refuse_large(framing, 1024)


@pytest.mark.parametrize("size", [9, 10, 11])
def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(size: int) -> None:
    async def read() -> bytes:
        pieces = _Pieces(*(b"x" for _ in range(size)))
        return b"".join([piece async for piece in limit_body(pieces, _CHUNKED, 10)])

    if size <= 10:
        assert len(asyncio.run(read())) == size
    else:
        with pytest.raises(Refusal) as caught:
            asyncio.run(read())
        assert caught.value.code is Code.TOO_LARGE


def test_a_body_of_a_length_that_is_told_needs_no_counting() -> None:
    pieces = _Pieces(b"x")
    assert limit_body(pieces, (b"content-length", b"1"), 10) is pieces
    assert limit_body(pieces, None, 10) is pieces


def test_a_wait_for_a_piece_may_be_cancelled_and_gone_on_with() -> None:
    async def read() -> list[bytes]:
        pieces = limit_body(_Pieces(b"a", None, b"b"), _CHUNKED, 10)
        got = [await anext(pieces)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(pieces)
        return [*got, *[piece async for piece in pieces]]

    assert asyncio.run(read()) == [b"a", b"b"]
