"""A sealed message as it comes: the last piece waits for the end, and failures stay."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

import pytest

from proxy.core.binary_http.message import Malformed, RequestHead
from proxy.core.binary_http.reader import RequestReader
from proxy.core.binary_http.writer import END, content, request_head
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.transfer.opened_message import OpenedMessage

KEY = SealingKey(bytes(range(32)))
CONFIG = KeyConfig(7, KEY.public, (Aead.AES_128_GCM,))


class Broken(Exception):
    """What iterating raises here."""


class ResponseWriter:
    """Pieces that come when the test says so, until it says ``end``."""

    def __init__(self) -> None:
        self._pieces: deque[bytes | None] = deque()
        self._news = asyncio.Event()
        self.waits = 0

    def come(self, *pieces: bytes | None) -> None:
        self._pieces.extend(pieces)
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            self._news.clear()
            self.waits += 1
            await self._news.wait()
        piece = self._pieces[0]
        if piece is None:
            raise StopAsyncIteration
        return self._pieces.popleft() or b""


def request(
    *, length: int | None = None
) -> tuple[ResponseWriter, OpenedMessage, RequestSealer, bytes]:
    """Return a message on its way, and its head; ``length`` is what that says of the body."""
    fields = ((b"content-length", b"%d" % length),) if length is not None else ()
    head = request_head(RequestHead(b"POST", b"http", b"a.example", b"/", fields))
    source = ResponseWriter()
    sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32)
    opener = MessageOpener(RequestOpener(lambda _: KEY), RequestReader())
    return source, OpenedMessage(source, opener, Broken), sealer, head


async def is_waiting(task: asyncio.Future[bytes]) -> bool:
    """Tell whether the task has nothing to go on with."""
    for _ in range(10):
        await asyncio.sleep(0)
    return not task.done()


async def test_pieces_come_as_they_are_opened_where_nobody_counts() -> None:
    source, message, sealer, head = request()
    source.come(sealer.header + sealer.seal(head + content(b"one")))
    assert (await message.begin(RequestHead)).target == b"/"
    assert await anext(message) == b"one"
    source.come(sealer.seal(content(b"two")))
    assert await anext(message) == b"two"
    source.come(sealer.finish(END), None)
    with pytest.raises(StopAsyncIteration):
        await anext(message)


async def test_where_the_length_was_told_the_last_piece_waits_for_the_end() -> None:
    source, message, sealer, head = request(length=6)
    source.come(sealer.header + sealer.seal(head + content(b"one")), sealer.seal(content(b"two")))
    await message.begin(RequestHead)
    assert await anext(message) == b"one"
    last = asyncio.ensure_future(anext(message))
    assert await is_waiting(last)
    source.come(sealer.finish(END))
    assert await is_waiting(last)
    source.come(None)
    assert await last == b"two"
    assert [piece async for piece in message] == []


@pytest.mark.parametrize("ending", [(None,), (b"\0" + bytes(40), None)])
async def test_the_last_piece_never_comes_where_the_end_does_not(
    ending: tuple[bytes | None, ...],
) -> None:
    source, message, sealer, head = request(length=3)
    source.come(sealer.header + sealer.seal(head + content(b"all") + END), *ending)
    await message.begin(RequestHead)
    for _ in range(3):
        with pytest.raises(Broken):
            await anext(message)


async def test_a_wait_for_the_end_can_be_given_up_and_loses_nothing() -> None:
    source, message, sealer, head = request(length=3)
    source.come(sealer.header + sealer.seal(head + content(b"all")))
    await message.begin(RequestHead)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(message), 0.01)
    source.come(sealer.finish(END), None)
    assert [piece async for piece in message] == [b"all"]


async def test_what_failed_once_is_not_waited_for_again() -> None:
    source, message, sealer, head = request()
    source.come(sealer.header + sealer.seal(head), b"\x20" + bytes(32))
    await message.begin(RequestHead)
    for _ in range(3):
        with pytest.raises(Broken):
            await asyncio.wait_for(message.has_more(), 1)
        with pytest.raises(Broken):
            await asyncio.wait_for(anext(message), 1)
        with pytest.raises(CannotOpen):
            await asyncio.wait_for(message.nothing_follows(), 1)
    assert source.waits == 0


async def test_whether_there_is_a_body_is_known_without_taking_it() -> None:
    source, message, sealer, head = request()
    source.come(sealer.header + sealer.seal(head + content(b"one")))
    await message.begin(RequestHead)
    assert await message.has_more()
    assert await message.has_more()
    assert await anext(message) == b"one"
    source.come(sealer.finish(END), None)
    assert not await message.has_more()


async def test_nothing_follows_takes_zeros_alone() -> None:
    source, message, sealer, head = request()
    source.come(sealer.header + sealer.seal(head + END), sealer.seal(bytes(99)),
              sealer.finish(bytes(9)), None)  # fmt: skip
    await message.begin(RequestHead)
    await message.nothing_follows()
    assert [piece async for piece in message] == []

    source, message, sealer, head = request()
    source.come(sealer.header + sealer.seal(head + END), sealer.finish(b"\1"), None)
    await message.begin(RequestHead)
    with pytest.raises(Malformed):
        await message.nothing_follows()


@pytest.mark.parametrize("plaintext", [b"", b"\2", b"\3\x40\xc8\0\0\0"])
async def test_a_message_without_the_right_head_does_not_begin(plaintext: bytes) -> None:
    source, message, sealer, _ = request()
    source.come(sealer.header + sealer.finish(plaintext), None)
    with pytest.raises(Malformed):
        await message.begin(RequestHead)
