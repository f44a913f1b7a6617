"""Calls as coroutines make them, in both modes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Code, Refusal
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.call import Call
from proxy.outbound.sealed import SealedTransport
from proxy.outbound.signed import SignedTransport
from tests.outbound.exchanges import settle
from tests.outbound.peers import PEER, Stage
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.outbound.call import CallResponse, CallTransport

modes = pytest.mark.parametrize("mode", ["signed", "sealed"])


def transport_of(stage: Stage) -> CallTransport:
    if stage.mode == "signed":
        return SignedTransport(stage.context)
    return SealedTransport(stage.context, stage.documents)


class Spoiled(Exception):
    """Whatever is wrong with a body."""


async def pieces(*given: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
    if error is not None:
        raise error


def call(size: int | None = None, method: bytes = b"POST") -> Call:
    """Return a call whose body has this size; -1 stands for none."""
    has_body = size != -1
    return Call("box", PEER, method, b"/x", (), has_body=has_body, size=size if has_body else None)


async def whole(response: CallResponse) -> bytes:
    return b"".join([piece async for piece in response.pieces])


async def lower_of(stage: Stage) -> None:
    async with asyncio.timeout(PATIENCE):
        while not (stage.upstream.exchanges and stage.lower.has_body):
            await asyncio.sleep(0)
            if stage.upstream.exchanges and stage.lower.is_blocked:
                stage.lower.unblock()


@modes
@pytest.mark.parametrize("is_blocked", [False, True])
async def test_the_response_is_inside_the_context(mode: str, *, is_blocked: bool) -> None:
    stage = Stage(mode, is_blocked=is_blocked)

    async def made() -> bytes:
        body = pieces(b"a" * 40_000, b"b" * 40_000)
        async with transport_of(stage).carry_out(call(), body) as response:
            assert response.status == 203
            assert (b"x-a", b"1") in response.fields
            return await whole(response)

    making = asyncio.create_task(made())
    await lower_of(stage)
    stage.answer(stage.response(b"answer" * 10_000, ((b"x-a", b"1"),), 203, cut=1))
    assert await making == b"answer" * 10_000
    assert stage.lower.is_finished


@modes
async def test_a_refusal_is_raised_where_the_response_would_be(mode: str) -> None:
    stage = Stage(mode)

    async def made() -> None:
        async with transport_of(stage).carry_out(call(-1), pieces()):
            raise AssertionError

    making = asyncio.create_task(made())
    await settle()
    stage.lower.fail(UpstreamFailed("nobody", sent=False))
    with pytest.raises(Refusal) as refused:
        await making
    assert refused.value.code is Code.PEER_UNREACHABLE


@modes
async def test_what_the_body_raises_is_raised_and_ends_the_call(mode: str) -> None:
    stage = Stage(mode)
    with pytest.raises(Spoiled):
        async with transport_of(stage).carry_out(call(), pieces(b"a", error=Spoiled())):
            raise AssertionError
    assert all(lower.is_finished for lower in stage.upstream.exchanges)


@modes
async def test_who_leaves_the_context_ends_the_call_and_the_body(mode: str) -> None:
    stage = Stage(mode)
    is_stopped = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            is_stopped.set()

    async def made() -> None:
        async with transport_of(stage).carry_out(call(), endless()):
            raise AssertionError

    making = asyncio.create_task(made())
    await settle()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    async with asyncio.timeout(PATIENCE):
        await is_stopped.wait()
    assert all(lower.is_finished for lower in stage.upstream.exchanges)


async def test_a_response_that_breaks_off_raises_behind_what_came() -> None:
    stage = Stage("sealed")

    async def made() -> list[bytes]:
        found = []
        async with transport_of(stage).carry_out(call(-1), pieces()) as response:
            try:
                async for piece in response.pieces:
                    found.append(piece)  # noqa: PERF401 - what came stays
            except UpstreamFailed:
                return found
        raise AssertionError

    making = asyncio.create_task(made())
    await settle()
    status, fields, parts = stage.response(b"answer", cut=2)
    stage.lower.receiver.head_received(status, fields)
    for part in parts[:-1]:
        stage.lower.receiver.content_received(part, ends=False)
    await settle()
    stage.lower.fail(UpstreamFailed("it broke off"))
    assert b"".join(await making) == b"answer"
