"""Pieces pass one by one, in their order; whoever waits may give up, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.http.in_process.response_stream import ClientGone, Head, ResponseStream
from proxy.http.upstream import UpstreamFailed

HEAD = Head(200, ())


async def test_an_app_is_never_ahead_by_more_than_one_piece() -> None:
    stream = ResponseStream(10)
    said: list[object] = []

    async def app() -> None:
        for each in (HEAD, b"a", b"b", None):
            await stream.say(each)
            said.append(each)

    saying = asyncio.create_task(app())
    await _turns()
    assert said == [HEAD]
    assert await stream.head() == HEAD
    await _turns()
    assert said == [HEAD, b"a"]
    assert [piece async for piece in stream] == [b"a", b"b"]
    await saying
    assert [piece async for piece in stream] == []


async def test_whoever_waits_may_be_cancelled() -> None:
    stream = ResponseStream(10)
    waiting = asyncio.create_task(stream.head())
    await _turns()
    waiting.cancel()
    await asyncio.wait((waiting,))
    await stream.say(HEAD)
    assert await stream.head() == HEAD


async def test_an_app_that_says_nothing_is_given_up() -> None:
    stream = ResponseStream(0.01)
    with pytest.raises(UpstreamFailed, match="says nothing") as failed:
        await stream.head()
    assert failed.value.timeout


async def test_an_app_that_falls_silent_behind_its_head_is_given_up() -> None:
    stream = ResponseStream(0.01)
    await stream.say(HEAD)
    await stream.head()
    with pytest.raises(UpstreamFailed, match="says nothing"):
        await anext(stream)


async def test_an_app_that_goes_on_taking_its_request_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    moved = [loop.time()]
    stream = ResponseStream(0.05, lambda: moved[0])

    async def take_in() -> None:
        for _ in range(6):
            await asyncio.sleep(0.03)
            moved[0] = loop.time()
        await stream.say(HEAD)

    taking = asyncio.create_task(take_in())
    assert await stream.head() == HEAD
    await taking


async def test_without_timeouts_silence_is_no_failure() -> None:
    stream = ResponseStream(0.01)
    await stream.say(HEAD)
    await stream.head()
    stream.disable_timeouts()
    next_piece = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    await stream.say(b"late")
    assert await next_piece == b"late"


async def test_a_failure_comes_behind_what_was_said() -> None:
    stream = ResponseStream(10)
    await stream.say(HEAD)
    stream.break_off(UpstreamFailed("broken"))
    assert await stream.head() == HEAD
    with pytest.raises(UpstreamFailed, match="broken"):
        await anext(stream)


async def test_a_body_before_its_head_is_a_mistake_of_ours() -> None:
    stream = ResponseStream(10)
    await stream.say(b"body")
    with pytest.raises(TypeError):
        await stream.head()


async def test_who_left_hears_nothing_and_the_app_is_told() -> None:
    stream = ResponseStream(10)
    await stream.say(HEAD)
    blocked = asyncio.create_task(stream.say(b"a"))
    await _turns()
    stream.leave()
    with pytest.raises(ClientGone):
        await blocked
    with pytest.raises(ClientGone):
        await stream.say(b"b")
    with pytest.raises(UpstreamFailed, match="over"):
        await anext(stream)


LEFT = ExceptionGroup("", [ClientGone(), ConnectionResetError()])
MIXED = ExceptionGroup("", [ClientGone(), ValueError()])


@pytest.mark.parametrize(
    ("error", "is_gone", "has_left", "is_logged"),
    [
        (ValueError(), False, False, True),
        (ValueError(), True, False, True),
        (ValueError(), False, True, True),
        (OSError(), False, False, True),
        (OSError(), True, False, False),
        (OSError(), False, True, False),
        (LEFT, True, False, False),
        (LEFT, False, False, True),
        (MIXED, True, False, True),
    ],
)
async def test_what_an_app_raises_is_logged_unless_it_tells_of_leaving(
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    *,
    is_gone: bool,
    has_left: bool,
    is_logged: bool,
) -> None:
    stream = ResponseStream(10)
    if is_gone:
        stream.leave()
    with caplog.at_level(logging.ERROR, "proxy.upstream"):
        failure = stream.failure(error, has_left=has_left)
    assert bool(caplog.records) == is_logged
    assert failure.detail == f"the app raised {type(error).__name__}"


async def _turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)
