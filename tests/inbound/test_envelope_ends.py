"""How an envelope ends: once, in every state, and from within every callback."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.writer import END, content
from proxy.core.log_line import LEFT
from proxy.inbound.envelope import Envelope

from .envelope_sides import KEY_ID, Sides, sealed, some_turns, until, whole

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOLD = (b"content-length", b"6")


async def begun(*, takes: bool = True) -> Sides:
    sides = Sides(takes=takes)
    sides.begin()
    await some_turns()
    return sides


async def before_any_byte() -> Sides:
    return await begun()


async def in_the_header() -> Sides:
    sides = await begun()
    sides.outer.come(whole()[1][:20])
    return sides


async def looking_for_a_key() -> Sides:
    sides = await begun()
    sides.store.keys.clear()
    sides.outer.come(bytes([KEY_ID]))
    return sides


async def in_the_head() -> Sides:
    sides = await begun()
    sides.outer.come(whole()[1][:100])
    return sides


async def waiting_for_a_body() -> Sides:
    sides = await begun()
    _, (header, head, _) = sealed(b"")
    sides.outer.come(header + head)
    return sides


async def taking_a_refusal() -> Sides:
    sides = await begun()
    sides.outer.block_from = 1
    sealer, _ = sealed()
    _, chunks = sealed(b"\1", method=b"\0")
    sides.outer.come(*chunks)
    assert sides.outer.is_whole
    del sealer
    return sides


async def in_the_body() -> Sides:
    sides = await begun()
    _, (header, head, one, _) = sealed(content(b"one"), END)
    sides.outer.come(header + head + one)
    return sides


async def paused() -> Sides:
    sides = await begun(takes=False)
    _, chunks = sealed(content(b"one"), END)
    sides.outer.come(*chunks, ends=True)
    return sides


async def about_to_tell() -> Sides:
    sides = await paused()
    sides.envelope.resume()
    return sides


async def with_a_last_piece_kept_back() -> Sides:
    sides = await begun()
    _, (header, head, all_of_it, _) = sealed(content(b"onetwo"), END, fields=(TOLD,))
    sides.outer.come(header + head + all_of_it)
    assert sides.served.told == []
    return sides


async def with_a_failure_to_tell() -> Sides:
    sides = await begun(takes=False)
    _, (header, head, _) = sealed(END)
    sides.outer.come(header + head, ends=True)
    return sides


async def whole_and_unanswered() -> Sides:
    sides = await begun()
    sides.outer.come(whole(b"body")[1], ends=True)
    return sides


async def in_the_response() -> Sides:
    sides = await whole_and_unanswered()
    sides.envelope.send_head(200, ())
    sides.envelope.send(b"one")
    return sides


async def with_padding_to_send() -> Sides:
    sides = await whole_and_unanswered()
    size = 9 * 1024 * 1024 + 1
    sides.envelope.send_head(200, ((b"content-length", b"%d" % size),))
    sides.outer.block_from = 2
    sides.envelope.send(bytes(size), ends=True)
    assert not sides.outer.is_whole
    assert sides.envelope.is_blocked
    return sides


async def answered() -> Sides:
    sides = await whole_and_unanswered()
    sides.envelope.send_head(204, ())
    sides.outer.block_from = 1
    sides.envelope.send(b"", ends=True)
    return sides


UNSERVED = [
    before_any_byte, in_the_header, looking_for_a_key, in_the_head, waiting_for_a_body,
    taking_a_refusal,
]  # fmt: skip
SERVED = [
    in_the_body, paused, about_to_tell, with_a_last_piece_kept_back, with_a_failure_to_tell,
    whole_and_unanswered, in_the_response, with_padding_to_send, answered,
]  # fmt: skip


async def nothing_more(sides: Sides) -> None:
    """See that nothing is told or sent behind an end, whatever had been begun."""
    told, sent = list(sides.served.told), list(sides.outer.sent)
    counts = len(sides.opened), len(sides.refused), sides.overs
    sides.envelope.send_head(200, ())
    sides.envelope.send(b"late", ends=True)
    await asyncio.sleep(0.15)  # longer than a body is waited for
    assert sides.served.told == told
    assert sides.outer.sent == sent
    assert (len(sides.opened), len(sides.refused), sides.overs) == counts
    assert not sides.envelope.is_blocked


@pytest.mark.parametrize("state", UNSERVED)
async def test_a_client_that_left_before_there_was_a_request(
    state: Callable[[], Awaitable[Sides]],
) -> None:
    sides = await state()
    sides.outer.leave()
    assert sides.line.outcome == LEFT
    assert sides.overs == 1
    sides.envelope.client_left()
    await nothing_more(sides)
    sides.envelope.finish()
    assert sides.outer.is_finished


@pytest.mark.parametrize("state", SERVED)
async def test_a_client_that_left_is_told_once_and_last(
    state: Callable[[], Awaitable[Sides]],
) -> None:
    sides = await state()
    sides.outer.leave()
    assert sides.served.told[-1] == "left"
    sides.envelope.client_left()
    assert sides.served.told.count("left") == 1
    sides.envelope.resume()
    await nothing_more(sides)
    sides.served.finish()
    assert sides.outer.is_finished


@pytest.mark.parametrize("state", UNSERVED + SERVED)
async def test_behind_finish_nothing_is_called(state: Callable[[], Awaitable[Sides]]) -> None:
    sides = await state()
    sides.served.finish()
    assert sides.outer.is_finished
    sides.envelope.finish()
    sides.envelope.hand_over(sides.served)
    assert sides.envelope._handler is None
    sides.outer.is_blocked = False
    await nothing_more(sides)


@pytest.mark.parametrize("state", UNSERVED + SERVED)
async def test_nothing_is_left_of_it(state: Callable[[], Awaitable[Sides]]) -> None:
    sides = await state()
    sides.store.look = lambda: None
    sides.served.finish()
    if sides.envelope._key_look._running is not None:
        await asyncio.wait((sides.envelope._key_look._running,))
    await some_turns()
    opened = weakref.ref(sides.served)
    gc.collect()
    gc.disable()
    try:
        del sides.served.sides, sides.envelope, sides.served
        assert opened() is None
        assert not any(type(left) is Envelope for left in gc.get_objects())
    finally:
        gc.enable()


async def reached(name: str) -> Sides:
    """Return sides of which who serves finished in this callback."""
    sides = await begun()
    served, outer = sides.served, sides.outer
    served.finish_in = name
    _, (header, head, one, end) = sealed(content(b"one"), END)
    if name == "body_failed":
        outer.come(header + head, one)
        outer.come(b"", ends=True)
    elif name in ("opened", "body_received"):
        outer.come(header + head, one + end, ends=True)
    else:
        outer.come(header + head, one)
        outer.block_from = 1
        if name == "client_left":
            outer.leave()
        else:
            sides.envelope.send_head(200, ())  # the head blocks it
            if name == "resume_response":
                outer.unblock()
    return sides


@pytest.mark.parametrize(
    "name",
    ["opened", "body_received", "body_failed", "client_left", "pause_response", "resume_response"],
)
async def test_it_may_be_finished_from_within_any_callback(name: str) -> None:
    sides = await reached(name)
    assert sides.served.is_finished
    assert sides.outer.is_finished
    await nothing_more(sides)


async def test_it_may_be_finished_while_the_padding_goes_out() -> None:
    sides = await whole_and_unanswered()
    size = 9 * 1024 * 1024 + 1
    sides.envelope.send_head(200, ((b"content-length", b"%d" % size),))
    sides.served.finish_in = "pause_response"
    sides.outer.block_from = 2
    sides.envelope.send(bytes(size), ends=True)
    assert sides.outer.is_finished
    assert not sides.outer.is_whole
    await nothing_more(sides)


async def test_breaking_off_resets_the_client() -> None:
    sides = await in_the_response()
    sides.envelope.break_off()
    assert sides.outer.is_broken_off
    sides.served.finish()


async def test_who_waits_for_a_place_is_asked_of_who_serves() -> None:
    sides = await before_any_byte()
    assert not sides.envelope.is_place_short()
    sides.served.is_short = True
    sides.outer.come(whole()[1], ends=True)
    await until(lambda: sides.opened)
    assert sides.envelope.is_place_short()
