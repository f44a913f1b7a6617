"""Bodies that are kept whole, in memory or on disk; the event loop waits for no disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.transfer.body import PIECE, SMALL
from proxy.transfer.buffered_body import MEMORY, BufferedBody
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


async def pieces_of(data: bytes, size: int = PIECE) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def whole(body: BufferedBody) -> bytes:
    return b"".join([piece async for piece in body.pieces()])


@pytest.mark.parametrize("piece", [1000, PIECE, 300_000, 10 * MEMORY])
@pytest.mark.parametrize("size", [1, SMALL, SMALL + 1, MEMORY, MEMORY + 1, 3 * MEMORY + 12345])
async def test_what_comes_back_is_what_was_put_in_as_often_as_it_is_asked_for(
    size: int, piece: int
) -> None:
    data = os.urandom(size)
    with BufferedBody() as body:
        await body.fill(pieces_of(data, piece), limit=Code.TOO_LARGE)
        assert (body.size, body.sha256) == (size, hashlib.sha256(data).digest())
        assert await whole(body) == await whole(body) == data
        body.clear()
        assert (body.size, await whole(body)) == (0, b"")
        await body.fill(pieces_of(data[::-1], piece), limit=Code.TOO_LARGE)
        assert await whole(body) == data[::-1]


async def test_no_more_than_the_limit_is_taken() -> None:
    with BufferedBody(10) as body, pytest.raises(Refusal) as caught:
        await body.fill(pieces_of(bytes(11)), limit=Code.ANSWER_TOO_LARGE)
    assert caught.value.code is Code.ANSWER_TOO_LARGE


async def test_the_first_bytes_are_those_of_what_is_in_memory() -> None:
    with BufferedBody() as body:
        await body.fill(pieces_of(b"abc"), limit=Code.TOO_LARGE)
        assert (body.read(2), body.read(9)) == (b"ab", b"abc")


async def test_a_body_that_finds_no_space_is_refused_and_a_small_one_needs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with BufferedBody() as buffered:
        await buffered.fill(pieces_of(bytes(MEMORY)), limit=Code.TOO_LARGE)
        assert buffered.size == MEMORY
    for code in (Code.STORAGE_FULL, Code.APP_FAILED):
        with BufferedBody() as buffered, pytest.raises(Refusal) as caught:
            await buffered.fill(pieces_of(bytes(MEMORY + 1)), limit=Code.TOO_LARGE, full=code)
        assert caught.value.code is code


class Disk:
    """Where the thread that makes a temporary file waits for the test."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.is_there = threading.Event()
        self.made: list[int] = []

    def make(self, **options: Any) -> Any:
        self.is_asked.set()
        assert self.is_there.wait(PATIENCE)
        file = _make(**options)
        self.made.append(file.fileno())
        return file


_make: Any = tempfile.TemporaryFile


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(tempfile, "TemporaryFile", disk.make)
    yield disk
    disk.is_there.set()


async def asked(disk: Disk) -> None:
    assert await asyncio.to_thread(disk.is_asked.wait, PATIENCE)


async def test_while_the_disk_doesnt_answer_everybody_else_goes_on(disk: Disk) -> None:
    data = os.urandom(MEMORY + 1)
    with BufferedBody() as body, BufferedBody() as other:
        filling = asyncio.create_task(body.fill(pieces_of(data), limit=Code.TOO_LARGE))
        await asked(disk)
        await other.fill(pieces_of(bytes(MEMORY)), limit=Code.TOO_LARGE)
        assert not filling.done()
        disk.is_there.set()
        await filling
        assert await whole(body) == data


async def test_who_leaves_meanwhile_waits_for_nothing_and_the_file_is_closed_later(
    disk: Disk,
) -> None:
    with BufferedBody() as body:
        filling = asyncio.create_task(body.fill(pieces_of(bytes(2 * MEMORY)), limit=Code.TOO_LARGE))
        await asked(disk)
        filling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filling
    assert disk.made == []
    disk.is_there.set()
    await _until_closed(disk)


async def test_a_file_is_closed_when_its_body_is_over(disk: Disk) -> None:
    disk.is_there.set()
    with BufferedBody() as body:
        await body.fill(pieces_of(bytes(2 * MEMORY)), limit=Code.TOO_LARGE)
        os.fstat(disk.made[0])
    await _until_closed(disk)


async def _until_closed(disk: Disk) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.01)
            try:
                if disk.made:
                    os.fstat(disk.made[0])
            except OSError:
                return
