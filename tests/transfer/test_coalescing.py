"""A body's beginning, held back until it is worth to be sent: everything leaves once, in order."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from proxy.transfer import coalescing
from proxy.transfer.body import COALESCING, SMALL
from proxy.transfer.coalescing import Coalescing
from tests.patience import PATIENCE


class Released:
    """What came out, and when."""

    def __init__(self, size: int, *, to_end: bool = False) -> None:
        self.all: list[tuple[bytes, bool]] = []
        self.began = time.monotonic()
        self.coalescing = Coalescing(size, self._take, to_end=to_end)

    def _take(self, piece: bytes, ends: bool) -> None:  # noqa: FBT001 - as it is called
        self.all.append((piece, ends))
        self.waited = time.monotonic() - self.began

    async def come(self) -> None:
        """Wait for it."""
        end = time.monotonic() + PATIENCE
        while not self.all:
            assert time.monotonic() < end
            await asyncio.sleep(0.001)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time be over while the test runs."""
    monkeypatch.setattr(coalescing, "COALESCING", 2 * PATIENCE)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("to_end", [True, False])
async def test_a_small_body_that_is_there_leaves_at_once(*, to_end: bool) -> None:
    got = Released(6, to_end=to_end)
    got.coalescing.add(b"one", ends=False)
    assert got.all == []
    got.coalescing.add(b"two", ends=True)
    assert got.all == [(b"onetwo", True)]


@pytest.mark.usefixtures("endless")
async def test_without_its_end_a_small_body_leaves_only_where_nobody_waits_for_that() -> None:
    got = Released(3)
    got.coalescing.add(b"one", ends=False)
    assert got.all == [(b"one", False)]
    got = Released(3, to_end=True)
    got.coalescing.add(b"one", ends=False)
    await asyncio.sleep(0)
    assert got.all == []
    got.coalescing.add(b"", ends=True)
    assert got.all == [(b"one", True)]


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("pieces", [[b"fours"], [b"fo", b"u", b"rs"], [b"four", b"s"]])
async def test_a_body_that_is_too_long_leaves_with_what_is_too_much(pieces: list[bytes]) -> None:
    got = Released(4, to_end=True)
    for piece in pieces:
        assert got.all == []
        got.coalescing.add(piece, ends=False)
    assert got.all == [(b"fours", False)]


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("ends", [True, False])
async def test_of_a_large_body_the_beginning_is_enough(*, ends: bool) -> None:
    for to_end in (True, False):
        got = Released(10 * SMALL, to_end=to_end)
        got.coalescing.add(bytes(SMALL - 1), ends=False)
        assert got.all == []
        got.coalescing.add(b"12", ends=ends)
        assert got.all == [(bytes(SMALL - 1) + b"12", ends)]


@pytest.mark.usefixtures("endless")
async def test_the_end_of_a_body_that_is_too_short_lets_it_leave() -> None:
    got = Released(9, to_end=True)
    got.coalescing.add(b"", ends=False)
    got.coalescing.add(b"one", ends=True)
    assert got.all == [(b"one", True)]


@pytest.mark.usefixtures("endless")
async def test_an_empty_body_is_waited_for_only_to_its_end() -> None:
    got = Released(0)
    await got.come()
    assert got.all == [(b"", False)]
    got = Released(0, to_end=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert got.all == []
    got.coalescing.add(b"", ends=True)
    assert got.all == [(b"", True)]


@pytest.mark.parametrize("pieces", [[], [b"one"], [b"o", b"", b"ne"]])
async def test_when_the_time_is_over_it_leaves_as_it_is(pieces: list[bytes]) -> None:
    got = Released(5, to_end=True)
    for piece in pieces:
        got.coalescing.add(piece, ends=False)
    await got.come()
    assert got.all == [(b"".join(pieces), False)]
    assert got.waited >= COALESCING * 0.9


async def test_nothing_leaves_twice_or_once_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coalescing, "COALESCING", 0)
    over, waiting, late = Released(3), Released(3), Released(3)
    over.coalescing.add(b"one", ends=True)
    waiting.coalescing.add(b"o", ends=False)
    waiting.coalescing.close()
    await asyncio.sleep(0)
    late.coalescing.close()
    late.coalescing.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (over.all, waiting.all, late.all) == ([(b"one", True)], [], [])


@pytest.mark.usefixtures("endless")
async def test_nothing_is_left_of_one_that_is_over() -> None:
    gc.disable()
    try:
        for closes in (True, False):
            got = Released(3)
            await asyncio.sleep(0)
            if closes:
                got.coalescing.close()
            else:
                got.coalescing.add(b"one", ends=True)
            gone = weakref.ref(got)
            del got
            await asyncio.sleep(0)
            assert gone() is None
    finally:
        gc.enable()
