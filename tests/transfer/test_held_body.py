"""Bodies held and sent by callbacks: in memory, on disk, on a slow one and on a full one."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import tempfile
import threading
import weakref
from contextlib import closing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.signature.digest import BodyDigest
from proxy.transfer.body import PIECE, SMALL
from proxy.transfer.buffered_body import MEMORY, BufferedBody
from proxy.transfer.held_body import BodyHolder, HeldSender
from tests.patience import PATIENCE
from tests.small_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_whose: ContextVar[str] = ContextVar("whose", default="nobody's")
_SIZES = [0, 1, SMALL, SMALL + 1, MEMORY, MEMORY + 1, 3 * MEMORY + 12345]


class Source:
    """Passes ``data`` on in pieces while it isn't paused."""

    def __init__(self, data: bytes, size: int = PIECE) -> None:
        self.left = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        self.is_paused = False
        self.pauses = 0
        self.said: list[str | Exception] = []
        self.has_ended = asyncio.Event()
        self.is_resumed = asyncio.Event()
        self.holder: BodyHolder

    def hold(self, body: BufferedBody, **options: Any) -> BodyHolder:
        self.holder = BodyHolder(
            body,
            **{"limit": Code.TOO_LARGE, **options},
            pause=self.pause,
            resume=self.resume,
            on_held=self.held,
            on_failure=self.failed,
        )
        return self.holder

    def pause(self) -> None:
        assert not self.is_paused
        self.is_paused = True
        self.pauses += 1

    def resume(self) -> None:
        """Go on at once: the holder must bear that."""
        assert self.is_paused
        self.is_paused = False
        self.is_resumed.set()
        self.run()

    def run(self) -> None:
        while self.left and not self.is_paused:
            piece = self.left.pop(0)
            self.holder.receive(piece, ends=not self.left)

    def held(self) -> None:
        self.said.append("held")
        self.has_ended.set()

    def failed(self, error: Exception) -> None:
        self.said.append(error)
        self.has_ended.set()


async def held(body: BufferedBody, data: bytes, size: int = PIECE, **options: Any) -> Source:
    source = Source(data, size)
    source.hold(body, **options)
    source.run()
    async with asyncio.timeout(PATIENCE):
        await source.has_ended.wait()
    return source


class Sink:
    """Takes ``burst`` pieces, is blocked, and takes as many again behind ``go_on``."""

    def __init__(self, burst: int = 1 << 30) -> None:
        self.pieces: list[bytes] = []
        self.failures: list[Exception] = []
        self.burst = burst
        self.left = burst
        self.ended = asyncio.Event()
        self.sender: HeldSender

    def of(self, body: BufferedBody) -> HeldSender:
        self.sender = HeldSender(body, self.send, self.is_blocked, self.fail)
        return self.sender

    def is_blocked(self) -> bool:
        return not self.left

    def send(self, piece: bytes, *, ends: bool) -> None:
        assert self.left
        assert not self.ended.is_set()
        self.left -= 1
        self.pieces.append(piece)
        if ends:
            self.ended.set()

    def fail(self, error: Exception) -> None:
        self.failures.append(error)
        self.ended.set()

    async def take_all(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            while not self.ended.is_set():
                if not self.left:
                    self.left = self.burst
                    self.sender.go_on()
                await asyncio.sleep(0)
        return b"".join(self.pieces)


@pytest.mark.parametrize("piece", [1000, PIECE, 300_000, 10 * MEMORY])
@pytest.mark.parametrize("size", _SIZES)
async def test_what_is_sent_is_what_was_held_as_often_as_it_is_asked_for(
    size: int, piece: int
) -> None:
    data = os.urandom(size)
    digest = BodyDigest({"sha-256": hashlib.sha256(data).digest()})
    with closing(BufferedBody()) as body:
        source = await held(body, data, piece, digest=digest)
        assert source.said == ["held"]
        digest.refuse_mismatch()
        assert (body.size, body.sha256) == (size, hashlib.sha256(data).digest())
        for burst in (1, 3, 1 << 30):
            sink = Sink(burst)
            sink.of(body).go_on()
            assert await sink.take_all() == data
            assert max(map(len, sink.pieces)) <= PIECE


@pytest.mark.parametrize("size", [0, 1, SMALL])
async def test_a_small_body_is_held_at_once_and_sent_at_once_in_one_piece(size: int) -> None:
    with closing(BufferedBody()) as body:
        source = Source(bytes(size), 1000)
        source.hold(body)
        source.run()
        assert (source.said, source.pauses) == (["held"], 0)
        sink = Sink()
        sink.of(body).go_on()
        assert sink.pieces == [bytes(size)]
        assert sink.ended.is_set()


async def test_the_end_may_come_by_itself() -> None:
    with closing(BufferedBody()) as body:
        source = Source(b"")
        holder = source.hold(body)
        holder.receive(b"abc", ends=False)
        assert source.said == []
        holder.receive(b"", ends=True)
        holder.receive(b"more", ends=True)
        assert (source.said, body.read(9)) == (["held"], b"abc")


async def test_no_more_than_the_limit_is_taken_and_that_is_told_once() -> None:
    with closing(BufferedBody(10)) as body:
        source = Source(bytes(30), 6)
        source.hold(body, limit=Code.ANSWER_TOO_LARGE)
        source.run()
        (refusal,) = source.said
        assert isinstance(refusal, Refusal)
        assert refusal.code is Code.ANSWER_TOO_LARGE


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

    async def asked(self) -> None:
        assert await asyncio.to_thread(self.is_asked.wait, PATIENCE)

    async def closed(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.01)
                try:
                    if self.made:
                        os.fstat(self.made[0])
                except OSError:
                    return


_make: Any = tempfile.TemporaryFile


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(tempfile, "TemporaryFile", disk.make)
    yield disk
    disk.is_there.set()


async def test_the_source_is_paused_while_the_disk_doesnt_answer_and_others_go_on(
    disk: Disk,
) -> None:
    data = os.urandom(MEMORY + 1 + PIECE)
    with closing(BufferedBody()) as body, closing(BufferedBody()) as other:
        source = Source(data)
        source.hold(body)
        source.run()
        assert source.is_paused
        await disk.asked()
        assert (await held(other, bytes(MEMORY))).said == ["held"]
        assert source.said == []
        disk.is_there.set()
        async with asyncio.timeout(PATIENCE):
            await source.has_ended.wait()
        assert (source.said, source.is_paused) == (["held"], False)
        sink = Sink()
        sink.of(body).go_on()
        assert await sink.take_all() == data


@pytest.mark.parametrize("ends", [False, True])
async def test_what_the_source_had_begun_to_pass_on_is_taken_all_the_same(
    disk: Disk, *, ends: bool
) -> None:
    data = os.urandom(3 * MEMORY)
    with closing(BufferedBody()) as body:
        source = Source(b"")
        holder = source.hold(body)
        source.left = []
        holder.receive(data[: 2 * MEMORY], ends=False)
        assert source.is_paused
        holder.receive(data[2 * MEMORY :], ends=ends)
        await disk.asked()
        assert source.said == []
        disk.is_there.set()
        if not ends:
            async with asyncio.timeout(PATIENCE):
                await source.is_resumed.wait()
            assert source.pauses == 1
            holder.receive(b"", ends=True)
        async with asyncio.timeout(PATIENCE):
            await source.has_ended.wait()
        assert (source.said, body.sha256) == (["held"], hashlib.sha256(data).digest())


async def test_behind_the_disk_too_the_context_is_whose_body_it_is() -> None:
    class Telling(Source):
        def held(self) -> None:
            self.said.append(_whose.get())
            self.has_ended.set()

    _whose.set("mine")
    with closing(BufferedBody()) as body:
        source = Telling(os.urandom(MEMORY + 1))
        source.hold(body)
        source.run()
        async with asyncio.timeout(PATIENCE):
            await source.has_ended.wait()
    assert source.said == ["mine"]


async def test_closed_in_the_middle_it_calls_nothing_and_the_file_is_closed_later(
    disk: Disk,
) -> None:
    body = BufferedBody()
    source = Source(bytes(3 * MEMORY))
    holder = source.hold(body)
    source.run()
    await disk.asked()
    holder.close()
    body.close()
    disk.is_there.set()
    await disk.closed()
    assert (source.said, source.is_paused) == ([], True)
    holder.receive(b"more", ends=True)
    assert source.said == []


@pytest.mark.parametrize("act", ["close", "fail"])
async def test_nothing_keeps_what_it_called_alive_behind_its_end(act: str) -> None:
    source = Source(bytes(100))
    holder = source.hold(BufferedBody(10))
    if act == "close":
        holder.close()
    else:
        source.run()
    gone = weakref.ref(source)
    gc.disable()
    try:
        source.holder = None  # type: ignore[assignment]
        del source
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("full", [Code.STORAGE_FULL, Code.APP_FAILED])
async def test_a_body_that_finds_no_space_is_refused_and_a_small_one_needs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Code
) -> None:
    with small_disk(tmp_path / "small", "size=1m") as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with closing(BufferedBody()) as body:
            assert (await held(body, bytes(MEMORY))).said == ["held"]
        with closing(BufferedBody()) as body:
            (refusal,) = (await held(body, bytes(4 << 20), full=full)).said
            assert isinstance(refusal, Refusal)
            assert refusal.code is full
        await _emptied(folder)
        with closing(BufferedBody()) as body:
            assert (await held(body, bytes(1 << 20))).said == ["held"]
        await _emptied(folder)


async def _emptied(folder: Path) -> None:
    """Wait until a thread has closed the file."""
    async with asyncio.timeout(PATIENCE):
        while os.statvfs(folder).f_bfree < os.statvfs(folder).f_blocks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_can_t_be_read_back_is_told_once() -> None:
    with closing(BufferedBody()) as body:
        await held(body, bytes(3 * MEMORY))
        assert body._file is not None
        assert body._file._file is not None
        os.truncate(body._file._file.fileno(), MEMORY)
        sink = Sink()
        sink.of(body).go_on()
        await sink.take_all()
        (failure,) = sink.failures
        assert isinstance(failure, OSError)
        assert b"".join(sink.pieces) == bytes(MEMORY)


async def test_a_sender_that_is_closed_sends_nothing_of_what_was_being_read() -> None:
    with closing(BufferedBody()) as body:
        await held(body, bytes(3 * MEMORY))
        sink = Sink()
        sender = sink.of(body)
        sender.go_on()
        sender.close()
        sender.go_on()
        reading = body.block(0)
        assert not isinstance(reading, bytes)
        await asyncio.wrap_future(reading)
        await asyncio.sleep(0)
        assert (sink.pieces, sink.failures) == ([], [])


@pytest.mark.parametrize("on_disk", [False, True])
async def test_whoever_is_sent_a_piece_may_close_or_go_on_at_once(*, on_disk: bool) -> None:
    data = os.urandom(3 * MEMORY if on_disk else MEMORY)
    with closing(BufferedBody()) as body:
        await held(body, data)
        seen: list[bytes] = []
        done = asyncio.Event()

        def again(piece: bytes, *, ends: bool) -> None:
            seen.append(piece)
            sender.go_on()
            if ends:
                done.set()

        sender = HeldSender(body, again, lambda: False, _unexpected)
        sender.go_on()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        assert b"".join(seen) == data

        closed = asyncio.Event()

        def close(piece: bytes, *, ends: bool) -> None:
            assert piece
            assert not ends
            assert not closed.is_set()
            other.close()
            closed.set()

        other = HeldSender(body, close, lambda: False, _unexpected)
        other.go_on()
        async with asyncio.timeout(PATIENCE):
            await closed.wait()
        other.go_on()
        await asyncio.sleep(0)


def _unexpected(error: Exception) -> None:
    raise AssertionError(error)


async def test_a_body_that_is_gone_never_looks_whole() -> None:
    body = BufferedBody()
    await held(body, bytes(MEMORY))
    sink = Sink(1)
    sink.of(body).go_on()
    body.close()
    sink.left = 1
    sink.sender.go_on()
    assert len(sink.pieces) == 1
    assert len(sink.failures) == 1


async def test_whoever_is_asked_to_pause_or_to_resume_may_close_at_once() -> None:
    for act in ("pause", "resume"):
        with closing(BufferedBody()) as body:
            closed = asyncio.Event()
            source = Source(bytes(3 * MEMORY))
            holder = source.hold(body)

            def close(holder: BodyHolder = holder, closed: asyncio.Event = closed) -> None:
                holder.close()
                closed.set()

            setattr(holder, f"_{act}", close)
            source.run()
            async with asyncio.timeout(PATIENCE):
                await closed.wait()
            with closing(BufferedBody()) as other:
                assert (await held(other, bytes(3 * MEMORY))).said == ["held"]
            assert source.said == []
