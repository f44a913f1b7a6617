"""Calls in both modes, in each of their states: they end once, wait when paused, hold nobody."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Code, Refusal
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.running_call import RunningCall
from tests.outbound.exchanges import Caller, settle
from tests.outbound.peers import NOW, Stage, document
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = 300_000


def _nothing(stage: Stage) -> None:
    """Leave the call as it begins."""
    stage.call(has_body=True, size=10)


def _some(stage: Stage) -> None:
    stage.call(has_body=True, size=10)
    stage.exchange.send(b"x" * 5)


def _sent(stage: Stage) -> None:
    stage.call(has_body=True, size=10)
    stage.exchange.send(b"x" * 10, ends=True)


def _connecting(stage: Stage) -> None:
    _sent(stage)


def _streaming(stage: Stage) -> None:
    """Send a part of a large body; a signed one is held."""
    stage.call(has_body=True, size=LARGE)
    stage.exchange.send(bytes(100_000))


def _head(stage: Stage) -> None:
    _sent(stage)
    status, fields, _ = stage.response(b"answer")
    stage.lower.receiver.head_received(status, fields)


def _partly(stage: Stage) -> None:
    """Let a part of the response come, at the least its head."""
    _sent(stage)
    status, fields, pieces = stage.response(b"answer" * 1000, cut=3)
    stage.lower.answer(status, fields, *pieces[:2], ends=False)


def _whole_but_paused(stage: Stage) -> None:
    _sent(stage)
    stage.exchange.pause()
    stage.answer(stage.response(b"answer"))


def _partly_told(stage: Stage) -> None:
    """Let the receiver take the head alone."""
    stage.caller.on_told = lambda: stage.exchange.pause()  # noqa: PLW0108 - not made yet
    _sent(stage)
    stage.answer(stage.response(b"answer"))


def _fetching(stage: Stage) -> None:
    stage.call(has_body=True, size=10)


def _looking(stage: Stage) -> None:
    _sent(stage)
    stage.lower.answer(404, ((b"content-type", b"text/html"),), b"no")


def _reading(stage: Stage) -> None:
    _sent(stage)
    fields = ((b"content-type", b"application/problem+json"),)
    stage.lower.answer(400, fields, b'{"type":', ends=False)


STATES: dict[str, Callable[[Stage], None]] = {
    "signed nothing": _nothing,
    "signed some": _some,
    "signed sent": _sent,
    "signed connecting": _connecting,
    "signed streaming": _streaming,
    "signed head": _head,
    "signed partly": _partly,
    "signed whole, paused": _whole_but_paused,
    "signed partly told": _partly_told,
    "sealed fetching": _fetching,
    "sealed nothing": _nothing,
    "sealed some": _some,
    "sealed sent": _sent,
    "sealed connecting": _connecting,
    "sealed streaming": _streaming,
    "sealed head": _head,
    "sealed partly": _partly,
    "sealed whole, paused": _whole_but_paused,
    "sealed partly told": _partly_told,
    "sealed looking": _looking,
    "sealed reading": _reading,
}


def reached(name: str) -> Stage:
    """Return a call in one of its states."""
    mode, _, state = name.partition(" ")
    stage = Stage(mode, is_blocked=state == "connecting", is_kept=state != "fetching")
    STATES[name](stage)
    return stage


@pytest.mark.parametrize("name", STATES)
async def test_behind_finish_nothing_is_told_and_nobody_is_held(name: str) -> None:
    stage = reached(name)
    told = list(stage.caller.told)
    stage.exchange.finish()
    stage.exchange.finish()
    stage.exchange.send(b"more")
    stage.exchange.resume()
    await settle()
    for lower in stage.upstream.exchanges:
        assert lower.is_finished
    assert stage.caller.told == told
    stage.documents.may_answer.set()
    await settle()
    stage.caller.on_told = stage.caller.exchange = None
    assert in_cycles(stage) == []


def in_cycles(stage: Stage) -> list[object]:
    """Return which calls nobody but the garbage collector would have found."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        del stage.exchange
        stage.upstream.exchanges.clear()
        gc.collect()
        return [found for found in gc.garbage if isinstance(found, RunningCall)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("name", STATES)
async def test_what_fails_beneath_is_told_once_and_lets_go(name: str) -> None:
    stage = reached(name)
    lowers = [each for each in stage.upstream.exchanges if not each.is_finished]
    if not lowers:
        stage.exchange.finish()
        return
    was_told = bool(stage.caller.told)
    lowers[0].fail(UpstreamFailed("it broke off"))
    lowers[0].fail(UpstreamFailed("it broke off"))
    stage.exchange.resume()
    await stage.caller.end()
    failure = stage.caller.failure
    if was_told:
        assert isinstance(failure, UpstreamFailed)
    else:
        assert isinstance(failure, Refusal)
        assert failure.code is Code.OUTCOME_UNKNOWN
    assert lowers[0].is_finished
    told = list(stage.caller.told)
    stage.exchange.send(b"more", ends=True)
    stage.exchange.finish()
    await settle()
    assert stage.caller.told == told


@pytest.mark.parametrize("name", STATES)
async def test_while_paused_nothing_is_told_and_the_rest_behind_resume(name: str) -> None:
    stage = reached(name)
    told = list(stage.caller.told)
    stage.caller.on_told = None
    stage.exchange.pause()
    for lower in stage.upstream.exchanges:
        if not lower.is_finished:
            lower.fail(UpstreamFailed("it broke off"))
    await settle()
    assert stage.caller.told == told
    stage.exchange.resume()
    if any(not each.is_finished for each in stage.upstream.exchanges) or told:
        await stage.caller.end()
    stage.exchange.finish()


@pytest.mark.parametrize("mode", ["signed", "sealed"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
async def test_a_call_without_a_body_gets_its_response(mode: str, method: bytes) -> None:
    stage = Stage(mode)
    stage.call(method)
    assert stage.lower.has_body is (mode == "sealed")
    fields = ((b"x-a", b"1"), (b"content-length", b"6")) if method == b"HEAD" else ((b"x-a", b"1"),)
    stage.answer(stage.response(b"" if method == b"HEAD" else b"answer", fields))
    await stage.caller.end()
    assert stage.caller.told[0] is not None
    assert stage.caller.status == 200
    assert stage.caller.body == (b"" if method == b"HEAD" else b"answer")
    assert stage.caller.failure is None
    assert stage.lower.is_finished


@pytest.mark.parametrize("mode", ["signed", "sealed"])
@pytest.mark.parametrize("is_blocked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, LARGE])
@pytest.mark.parametrize("piece", [7000, 1 << 20])
@pytest.mark.parametrize("is_told", [False, True])
async def test_a_body_arrives_as_it_was_and_so_does_the_response(
    mode: str, *, is_blocked: bool, size: int, piece: int, is_told: bool
) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    stage = Stage(mode, is_blocked=is_blocked)
    exchange = stage.call(has_body=True, size=size if is_told else None)
    pieces = [body[at : at + piece] for at in range(0, size, piece)] or [b""]
    while pieces:
        if stage.upstream.exchanges and stage.lower.is_blocked:
            stage.lower.unblock()
        assert not exchange.is_blocked
        exchange.send(pieces.pop(0), ends=not pieces)
        if is_blocked and stage.upstream.exchanges and not stage.lower.is_blocked:
            stage.lower.block()
        await asyncio.sleep(0)
    while not stage.lower.has_body:
        stage.lower.unblock()
    arrived = stage.asked()[1] if mode == "sealed" else stage.lower.body
    assert arrived == body
    stage.answer(stage.response(body, cut=3))
    await stage.caller.end()
    assert (stage.caller.status, stage.caller.body) == (200, body)


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_response_before_the_body_s_end_is_told_and_the_rest_isnt_sent(mode: str) -> None:
    stage = Stage(mode)
    exchange = stage.call(has_body=True, size=LARGE)
    if mode == "signed":
        for _ in range(3):
            exchange.send(bytes(LARGE // 3), ends=_ == 2)
    else:
        exchange.send(bytes(100_000))
    stage.answer(stage.response(b"too much", status=413))
    await stage.caller.end()
    assert (stage.caller.status, stage.caller.body) == (413, b"too much")
    assert stage.lower.is_finished
    exchange.send(bytes(200_000), ends=True)
    assert stage.caller.failure is None


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_response_and_its_body_pass_each_other(mode: str) -> None:
    """The body may go on behind the head; a signed one is whole before it is sent."""
    stage = Stage(mode)
    exchange = stage.call(has_body=True, size=LARGE)
    if mode == "signed":
        exchange.send(bytes(LARGE), ends=True)
    else:
        exchange.send(bytes(LARGE - 1))
    status, fields, pieces = stage.response(b"answer", cut=2)
    stage.lower.answer(status, fields, *pieces[:-1], ends=False)
    if mode == "sealed":
        assert stage.caller.status == 200
        exchange.send(b"x", ends=True)
        assert stage.lower.has_body
    stage.lower.receiver.content_received(pieces[-1], ends=True)
    await stage.caller.end()
    assert stage.caller.body == b"answer"


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_whoever_is_told_may_finish_at_once(mode: str) -> None:
    for count in (1, 2):
        stage = Stage(mode)
        stage.call()

        def told(stage: Stage = stage, count: int = count) -> None:
            if len(stage.caller.told) == count:
                stage.exchange.finish()

        stage.caller.on_told = told
        stage.answer(stage.response(b"answer" * 50_000, cut=9))
        await settle()
        assert len(stage.caller.told) == count
        assert stage.lower.is_finished


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_whoever_pauses_at_each_piece_gets_them_one_by_one(mode: str) -> None:
    body = bytes(range(256)) * 2000
    stage = Stage(mode)
    stage.call()
    stage.caller.on_told = stage.exchange.pause
    status, fields, pieces = stage.response(body, cut=9)
    stage.lower.receiver.head_received(status, fields)
    while pieces:
        if stage.lower.is_paused:
            before = len(stage.caller.told)
            stage.exchange.resume()
            await settle()
            assert len(stage.caller.told) <= before + 1
        if not stage.lower.is_paused:
            piece = pieces.pop(0)
            stage.lower.receiver.content_received(piece, ends=not pieces)
    while not stage.caller.ended.is_set():
        stage.exchange.resume()
        await settle()
    assert stage.caller.body == body


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_wrong_clock_is_worth_another_try_with_the_same_nonce(mode: str) -> None:
    stage = Stage(mode)
    exchange = stage.call(has_body=True, size=4)
    exchange.send(b"body", ends=True)
    stage.answer(stage.refused(Code.OUT_OF_TIME, now=NOW + 7200))
    await settle()
    assert len(stage.upstream.exchanges) == 2
    assert stage.upstream.exchanges[0].is_finished
    assert stage.caller.told == []
    stage.answer(stage.response(b"answer"))
    await stage.caller.end()
    assert stage.caller.body == b"answer"


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_replayed_call_was_perhaps_carried_out(mode: str) -> None:
    stage = Stage(mode)
    stage.call(b"GET")
    stage.answer(stage.refused(Code.REPLAYED))
    await stage.caller.end()
    assert isinstance(stage.caller.failure, Refusal)
    assert stage.caller.failure.code is Code.OUTCOME_UNKNOWN


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_mistake_of_ours_ends_the_call_and_no_other(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(mode)

    class Mistaken(Caller):
        def head_received(self, status: int, fields: object) -> None:
            del status, fields
            raise ZeroDivisionError

    stage.caller = Mistaken()
    stage.call()
    stage.answer(stage.response(b"answer"))
    await stage.caller.end()
    assert isinstance(stage.caller.failure, UpstreamFailed)
    assert stage.lower.is_finished
    assert "ZeroDivisionError" in caplog.text


async def test_the_refusal_of_the_peer_is_known_with_the_head() -> None:
    for mode in ("signed", "sealed"):
        stage = Stage(mode)
        exchange = stage.call()
        codes: list[str] = []
        stage.caller.on_told = lambda exchange=exchange, codes=codes: codes.append(
            exchange.refusal.code
        )
        stage.answer(stage.refused(Code.NOT_ALLOWED))
        await stage.caller.end()
        assert codes[0] == "not_allowed"


async def test_a_document_that_is_fetched_lets_the_body_come() -> None:
    stage = Stage("sealed", is_kept=False)
    exchange = stage.call(has_body=True, size=4)
    assert exchange.is_blocked
    await settle()
    stage.documents.may_answer.set()
    await settle()
    assert not stage.exchange.is_blocked
    assert stage.caller.moves == ["resume"]
    exchange.send(b"body", ends=True)
    assert stage.asked()[1] == b"body"


async def test_a_document_that_cant_be_had_refuses_the_call() -> None:
    stage = Stage("sealed", is_kept=False)
    stage.documents.refusal = Refusal(Code.PEER_UNREACHABLE, "nobody there")
    stage.documents.may_answer.set()
    stage.call()
    await stage.caller.end()
    assert stage.caller.failure is not None
    assert stage.caller.told == [stage.caller.failure]
    assert stage.upstream.exchanges == []


async def test_another_key_is_looked_for_and_the_same_body_sealed_to_it() -> None:
    stage = Stage("sealed")
    exchange = stage.call(has_body=True, size=LARGE // 3)
    exchange.send(bytes(50_000))
    stage.lower.answer(404, (), b"no")
    assert exchange.is_blocked
    exchange.send(bytes(LARGE // 3 - 50_000), ends=True)  # it was on its way
    stage.documents.newest = document(2)
    stage.documents.may_answer.set()
    await settle()
    assert len(stage.upstream.exchanges) == 2
    assert stage.asked()[1] == bytes(LARGE // 3)
    stage.answer(stage.response(b"answer"))
    await stage.caller.end()
    assert stage.caller.body == b"answer"


@pytest.mark.parametrize("sent", [9, 11])
async def test_a_sealed_body_of_another_length_than_was_told_is_never_whole(sent: int) -> None:
    stage = Stage("sealed")
    exchange = stage.call(has_body=True, size=10)
    exchange.send(bytes(sent), ends=True)
    await stage.caller.end()
    assert isinstance(stage.caller.failure, Refusal)
    assert not stage.upstream.exchanges or not stage.lower.has_body


async def test_the_beginning_of_a_sealed_body_is_waited_for_but_not_for_long() -> None:
    stage = Stage("sealed")
    exchange = stage.call(has_body=True, size=10)
    exchange.send(b"x" * 4)
    assert stage.upstream.exchanges == []
    async with asyncio.timeout(PATIENCE):
        await stage.upstream.has_begun.wait()
    assert len(stage.lower.pieces) == 1
    exchange.send(b"x" * 6, ends=True)
    assert len(stage.lower.pieces) == 2
    assert stage.asked()[1] == b"x" * 10


@pytest.mark.parametrize("cut_at", [0, 10, -1])
async def test_an_envelope_that_breaks_off_is_never_whole(cut_at: int) -> None:
    for has_length in (False, True):
        stage = Stage("sealed")
        stage.call(b"GET")
        fields = ((b"content-length", b"6"),) if has_length else ()
        status, head, pieces = stage.response(b"answer", fields, cut=2)
        if cut_at >= 0:
            pieces = [b"".join(pieces)[:cut_at]]
        else:
            pieces[-1] = pieces[-1][:-1]
        stage.lower.answer(status, head, *pieces)
        await stage.caller.end()
        assert stage.caller.failure is not None
        if cut_at >= 0:
            assert isinstance(stage.caller.failure, Refusal)
            assert stage.caller.failure.code is Code.PEER_UNTRUSTED
        else:
            assert isinstance(stage.caller.failure, UpstreamFailed)
            assert len(stage.caller.body) == (3 if has_length else 6)


@pytest.mark.parametrize("spoiled", ["signature", "digest", "key"])
async def test_a_signed_response_that_isnt_the_peer_s_is_never_told(spoiled: str) -> None:
    stage = Stage("signed")
    stage.call(b"GET")
    status, fields, pieces = stage.response(b"answer")
    changed = dict(fields)
    if spoiled == "signature":
        changed[b"x-more"] = b"1"
        status = 201
    elif spoiled == "key":
        changed[b"portal-key"] = b":" + b"A" * 43 + b"=:"
    else:
        pieces = [b"answeR"]
    stage.lower.answer(status, tuple(changed.items()), *pieces)
    await stage.caller.end()
    (failure,) = stage.caller.told
    assert isinstance(failure, Refusal)
    assert failure.code is Code.PEER_UNTRUSTED
