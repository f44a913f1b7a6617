"""A request's body as the app takes it: asked for, piece by piece, never whole if it isn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from proxy.http.in_process.request_body import RequestBody
from proxy.http.upstream import UpstreamFailed
from tests.http.in_process.messages import LENGTH, ask, pieces

if TYPE_CHECKING:
    from starlette.types import Message

GONE: Message = {"type": "http.disconnect"}


async def test_a_request_without_a_body_is_whole_at_once() -> None:
    failures: list[Exception] = []
    taken = RequestBody(ask(), failures.append)
    assert await taken.receive() == _message(b"", more=False)
    waiting = asyncio.create_task(taken.receive())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await taken.leave()
    assert await waiting == GONE
    assert await taken.receive() == GONE
    assert failures == []


@pytest.mark.parametrize(
    ("length", "given", "arrives"),
    [
        (b"5", [b"ab", b"", b"cde"], [b"ab", b"cde", b""]),
        (b"0", [], [b""]),
        (None, [b"ab", b"c"], [b"ab", b"c", b""]),
        (None, [b"", b""], [b""]),
    ],
)
async def test_pieces_arrive_as_they_came_without_the_empty_ones(
    length: bytes | None, given: list[bytes], arrives: list[bytes]
) -> None:
    taken = _body(length, pieces(*given))
    got = [await taken.receive()]
    while got[-1]["more_body"]:
        got.append(await taken.receive())
    assert got == [_message(piece, more=True) for piece in arrives[:-1]] + [
        _message(b"", more=False)
    ]


@pytest.mark.parametrize(
    ("length", "given", "passes", "why"),
    [
        (b"2", [b"ab", b"c"], [b"ab"], "longer"),
        (b"2", [b"abc"], [], "longer"),
        (b"4", [b"abc"], [b"abc"], "1 bytes short"),
        (b"1", [], [], "1 bytes short"),
        (None, [b"ab", UpstreamFailed("broke off")], [b"ab"], "broke off"),
        (b"3", [b"ab", UpstreamFailed("broke off")], [b"ab"], "broke off"),
    ],
)
async def test_a_body_that_breaks_is_told_and_never_looks_whole(
    length: bytes | None, given: list[bytes | Exception], passes: list[bytes], why: str
) -> None:
    failures: list[Exception] = []
    taken = _body(length, pieces(*given), failures)
    for piece in passes:
        assert await taken.receive() == _message(piece, more=True)
    assert await taken.receive() == GONE
    (failure,) = failures
    assert why in str(failure)
    await taken.leave()


async def test_nothing_is_asked_of_the_client_before_the_app_asks() -> None:
    asked: list[str] = []

    async def client() -> AsyncIterator[bytes]:
        asked.append("invited")
        yield b"a"

    taken = _body(None, client())
    await asyncio.sleep(0.01)
    assert asked == []
    assert await taken.receive() == _message(b"a", more=True)
    assert asked == ["invited"]


async def test_no_more_than_a_piece_is_taken_ahead() -> None:
    given: list[int] = []

    async def client() -> AsyncIterator[bytes]:
        for number in range(10):
            given.append(number)
            yield b"%d" % number

    taken = _body(None, client())
    assert (await taken.receive())["body"] == b"0"
    await asyncio.sleep(0.01)
    assert len(given) <= 3
    await taken.leave()


async def test_who_leaves_in_the_middle_closes_what_the_body_comes_from() -> None:
    ends: list[str] = []

    async def client() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            ends.append("closed")

    taken = _body(None, client())
    assert (await taken.receive())["body"] == b"a"
    waiting = asyncio.create_task(taken.receive())
    await asyncio.sleep(0)
    await taken.leave()
    assert await waiting == GONE
    assert ends == ["closed"]


async def test_leaving_before_the_app_asked_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    taken = _body(b"3", pieces(b"abc"))
    await taken.leave()
    assert asyncio.all_tasks() == before
    assert await taken.receive() == GONE


async def test_when_the_app_last_took_something_is_known() -> None:
    taken = _body(None, pieces(b"a", b"b"))
    begun = taken.moved_at
    await asyncio.sleep(0.02)
    await taken.receive()
    assert taken.moved_at >= begun + 0.02
    await taken.leave()


def _body(
    length: bytes | None, given: AsyncIterator[bytes], failures: list[Exception] | None = None
) -> RequestBody:
    fields = ((LENGTH, length),) if length is not None else ()
    fail = failures.append if failures is not None else _unexpected
    return RequestBody(ask(*fields, method=b"POST", body=given), fail)


def _unexpected(error: Exception) -> None:
    raise AssertionError(error)


def _message(piece: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": piece, "more_body": more}
