"""Envelopes that don't open, or not to their end: refused in plain, under seal, or in the body."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.varint import varint
from proxy.core.binary_http.writer import END, content, request_head
from proxy.core.http.problem import refusal_mark
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestSealer
from proxy.inbound import key_look
from tests.patience import PATIENCE

from .envelope_sides import CONFIG, KEY, KEY_ID, Outer, Sides, sealed, some_turns, until, whole

if TYPE_CHECKING:
    from collections.abc import Sequence


async def sent(*pieces: bytes, ends: bool = True, takes: bool = True) -> Sides:
    """Return the sides of an envelope of which these pieces came."""
    sides = Sides(takes=takes)
    sides.begin()
    await some_turns()
    sides.outer.come(*pieces, ends=ends)
    await some_turns()
    return sides


def sealed_refusal(sides: Sides, sealer: RequestSealer, method: bytes = b"POST") -> str:
    """Return the code of the refusal that the sender got, and nobody but it."""
    assert (sides.opened, sides.refused) == ([], [])
    head, *body, _ = sides.response(sealer, method)
    assert isinstance(head, ResponseHead)
    assert bool(body) is (method != b"HEAD")
    code = refusal_mark(head.fields).code
    assert (sides.line.status, sides.line.code) == (head.status, code)
    assert sides.overs == 1
    assert sides.outer.finishes == 0
    sides.envelope.finish()
    assert sides.outer.finishes == 1
    return code


def plain_refusal(sides: Sides) -> str:
    """Return the code of the refusal that is to be told outside of an envelope."""
    assert sides.opened == []
    assert sides.outer.heads == []
    assert sides.overs == 0
    (refusal,) = sides.refused
    assert sides.line.code == ""
    sides.envelope.finish()
    assert not sides.outer.is_finished, "it is its owner's again"
    return refusal.code.public


def failure(sides: Sides) -> object:
    """Return the code with which the body failed; its end was never told."""
    assert len(sides.opened) == 1
    assert sides.refused == []
    assert sides.overs == 0
    *_, code, last = sides.served.told
    assert last == "failed"
    assert "end" not in sides.served.told
    return code


# --- cut short, and changed ----------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
async def test_cut_at_any_chunk_it_is_never_whole(*, told: bool) -> None:
    fields = ((b"content-length", b"6"),) if told else ()
    _, chunks = sealed(content(b"one"), content(b"two"), END, fields=fields)
    for count in range(len(chunks)):
        sides = await sent(*(chunks[:count] or [b""]))
        if count < 2:
            assert plain_refusal(sides) == "sealing_key_unknown"
        else:
            assert failure(sides) == "envelope_broken"
            assert len(sides.served.body) < 6 or not told
    assert (await sent(*chunks)).served.told[-1:] == ["end"]


async def test_cut_at_any_byte_it_is_never_whole() -> None:
    _, envelope = whole(b"body", fields=((b"content-length", b"4"),))
    for size in range(len(envelope)):
        assert plain_refusal(await sent(envelope[:size])) == "sealing_key_unknown"
    _, chunks = sealed(content(b"on"), content(b"e") + END)
    whole_of_it = b"".join(chunks)
    head_at = len(chunks[0]) + len(chunks[1])
    for size in range(len(whole_of_it)):
        sides = await sent(whole_of_it[:size])
        assert (plain_refusal if size < head_at else failure)(sides) in (
            "sealing_key_unknown",
            "envelope_broken",
        )


async def test_with_any_byte_changed_it_is_never_whole() -> None:
    _, chunks = sealed(content(b"one") + END)
    envelope = b"".join(chunks)
    sealer_at = len(chunks[0]) + len(chunks[1])
    for at in range(len(envelope)):
        changed = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
        sides = await sent(changed[:sealer_at], changed[sealer_at:])
        await until(lambda sides=sides: sides.refused or sides.served.told)  # type: ignore[misc]
        if at < sealer_at:
            assert plain_refusal(sides) == "sealing_key_unknown"
        else:
            assert failure(sides) == "envelope_broken"
        assert sides.served.body == b""


async def test_what_came_in_front_of_a_failure_is_told_first_and_the_failure_in_its_place() -> None:
    _, (header, head, one, *_) = sealed(content(b"one"), END)
    sides = await sent(header + head, one, varint(100) + bytes(100), ends=False, takes=False)
    assert sides.served.told == []
    assert sides.outer.waiting != [], "nobody takes it"
    sides.served.pauses_each = True
    sides.envelope.resume()
    await some_turns()
    assert sides.served.told == ["piece"]
    sides.envelope.resume()
    await some_turns()
    assert sides.served.body == b"one"
    assert failure(sides) == "envelope_broken"
    assert sides.outer.is_paused
    sides.envelope.resume()
    await some_turns()
    assert sides.outer.is_paused, "nothing more is read"


async def test_a_last_piece_whose_end_is_broken_is_never_told() -> None:
    _, (header, head, one, _) = sealed(content(b"one"), END, fields=((b"content-length", b"3"),))
    sides = await sent(header + head, one, ends=False)
    assert sides.served.told == []
    sides.outer.come(b"\0" + bytes(40), ends=True)
    assert sides.served.body == b""
    assert failure(sides) == "envelope_broken"


async def test_a_head_that_came_with_a_failure_is_served_and_then_fails() -> None:
    """As if it had come later: who isn't let in hears of that, not of the envelope."""
    _, (header, head, _) = sealed(END)
    sides = await sent(header + head, ends=True)
    assert [framing for _, framing in sides.opened] == [IN_CHUNKS]
    assert failure(sides) == "envelope_broken"


async def test_one_who_knows_no_failure_is_told_that_the_client_left() -> None:
    class Plain:
        """A handler of any other request."""

        def __init__(self) -> None:
            self.has_left = False

        def body_received(self, piece: bytes, *, ends: bool) -> None:
            raise AssertionError(piece, ends)

        def client_left(self) -> None:
            self.has_left = True

        def pause_response(self) -> None:
            raise AssertionError

        resume_response = stop = pause_response

        def is_place_short(self) -> bool:
            return False

    _, (header, head, _) = sealed(END, fields=((b"content-length", b"0"),))
    sides = await sent(header + head, ends=False)
    plain = Plain()
    sides.envelope.hand_over(plain)
    sides.outer.come(b"", ends=True)
    assert plain.has_left
    sides.envelope.send_head(200, ())
    sides.envelope.send(b"", ends=True)
    assert sides.outer.heads == []
    sides.envelope.finish()
    assert sides.outer.is_finished


# --- what opens, and has no head -----------------------------------------------------------


def opened_to(plain: Sequence[bytes]) -> tuple[RequestSealer, list[bytes]]:
    """Return an envelope of these chunks, none of them the final one."""
    sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32)
    return sealer, [sealer.header, *map(sealer.seal, plain)]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    ("value", "code"), [(b"a" * 70_000, "head_too_large"), (b"a\0", "envelope_broken")]
)
async def test_a_head_that_cannot_be_read_is_refused_under_seal(
    method: bytes, value: bytes, code: str
) -> None:
    head = request_head(RequestHead(method, b"http", b"a", b"/x", ((b"x-a", value),)))
    sealer, chunks = opened_to([head[at : at + 2000] for at in range(0, len(head), 2000)])
    sides = await sent(*chunks, ends=False)
    assert sealed_refusal(sides, sealer, method) == code


async def test_a_message_that_breaks_off_before_its_head_is_refused_under_seal() -> None:
    for plain in (
        b"\2",
        b"\2\4POST",
        request_head(RequestHead(b"GET", b"http", b"a", b"/", ()))[:-1],
    ):
        sealer, chunks = opened_to([plain])
        assert sealed_refusal(await sent(*chunks), sealer) == "envelope_broken"
        sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32)
        pieces = (sealer.header, sealer.finish(plain))
        assert sealed_refusal(await sent(*pieces), sealer) == "envelope_broken"


async def test_a_refusal_that_the_client_takes_slowly_is_over_when_it_has_it() -> None:
    sealer, chunks = opened_to([b"\3"])
    sides = Sides()
    sides.begin()
    await some_turns()
    sides.outer.block_from = 1
    sides.outer.come(*chunks)
    assert sides.outer.is_whole
    assert sides.overs == 0
    sides.outer.unblock()
    assert sealed_refusal(sides, sealer) == "envelope_broken"


async def test_nothing_is_no_envelope() -> None:
    assert plain_refusal(await sent(b"")) == "sealing_key_unknown"
    assert plain_refusal(await sent(b"", b"")) == "sealing_key_unknown"


# --- keys ----------------------------------------------------------------------------------


async def looking(store_has: bool) -> tuple[Sides, threading.Event]:  # noqa: FBT001
    """Return the sides of an envelope whose key is looked for until the event is set."""
    sides = Sides()
    may_end = threading.Event()

    def look() -> None:
        assert may_end.wait(PATIENCE)
        if store_has:
            sides.store.keys[KEY_ID] = KEY

    sides.store.keys.clear()
    sides.store.look = look
    sides.begin()
    await some_turns()
    return sides, may_end


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("is_found", [True, False])
async def test_a_key_that_nobody_knows_is_looked_for(*, is_found: bool, pieces: int) -> None:
    sides, may_end = await looking(is_found)
    _, envelope = whole(b"body")
    cuts = [envelope[at::pieces] for at in range(pieces)] if pieces == 1 else []
    cuts = cuts or [envelope[:1], envelope[1:99], envelope[99:]]
    sides.outer.come(*cuts, ends=True)
    assert sides.outer.is_paused is (pieces > 1)
    await some_turns()
    assert sides.opened == []
    assert sides.refused == []
    may_end.set()
    await until(lambda: sides.opened or sides.refused)
    if is_found:
        assert sides.served.body == b"body"
    else:
        assert plain_refusal(sides) == "sealing_key_unknown"
    assert sides.store.looks == 1


async def test_a_disk_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_look, "LOOK_WAIT", 0.05)
    sides, may_end = await looking(store_has=True)
    _, envelope = whole()
    try:
        sides.outer.come(envelope, ends=True)
        await until(partial(len, sides.refused))
        assert plain_refusal(sides) == "sealing_key_unknown"
    finally:
        may_end.set()


async def test_one_look_is_for_all() -> None:
    sides, may_end = await looking(store_has=True)
    look = sides.envelope._key_look
    _, envelope = whole(b"body")
    sides.outer.come(envelope, ends=True)
    outers = [Outer() for _ in range(5)]
    for outer in outers:
        sides.envelope = sides.another(outer, look)
        sides.begin()
        await some_turns()
        outer.come(envelope, ends=True)
    may_end.set()
    await until(lambda: len(sides.opened) == 6)
    assert sides.store.looks == 1


@pytest.mark.parametrize("does", ["leave", "finish"])
async def test_a_look_that_nobody_waits_for_any_more_tells_nobody(does: str) -> None:
    sides, may_end = await looking(store_has=True)
    _, envelope = whole()
    sides.outer.come(envelope, ends=True)
    if does == "leave":
        sides.outer.leave()
        assert sides.overs == 1
    else:
        sides.envelope.finish()
    may_end.set()
    running = sides.envelope._key_look._running
    assert running is not None
    await asyncio.wait((running,))
    await some_turns()
    assert sides.opened == []
    assert sides.refused == []


# --- mistakes of our own -------------------------------------------------------------------


async def test_a_mistake_while_opening_ends_this_request_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    _, chunks = sealed(content(b"one"), END)
    sides = await sent(*chunks[:3], ends=False)
    monkeypatch.setattr(MessageOpener, "feed", fail)
    sides.outer.come(chunks[3])
    assert failure(sides) == "internal"
    assert plain_refusal(await sent(*chunks)) == "internal"
    assert "ZeroDivisionError" in caplog.text


async def test_a_mistake_of_who_serves_it_is_told_under_seal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    sealer, envelope = whole()
    sides = Sides()
    sides.fails_to_serve = True
    sides.begin()
    await some_turns()
    sides.outer.come(envelope, ends=True)
    head, *_ = sides.response(sealer)
    assert isinstance(head, ResponseHead)
    assert refusal_mark(head.fields).code == sides.line.code == "internal"
    assert sides.overs == 1
    assert "ZeroDivisionError" in caplog.text
