"""Each relay ends once, and gives back all that it held: whatever is told in whichever state.

The same table as ``tests/transfer/test_relay.py`` has, over the whole of an inbound relay: with its
place, its line in the log, its entry among what runs, what waits for it and what it waits for. A
row runs once as it is, then once for each call that it made of one of the two ends and for each way
in which that call can go wrong.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.log_line import RequestLine
from proxy.http.upstream import UpstreamFailed
from proxy.transfer import relay as relay_module
from proxy.transfer.access_log import write_line
from proxy.transfer.relay import FORGOTTEN, At
from proxy.transfer.websocket import EVICTED
from tests.http.ends import settled
from tests.inbound.relay_stage import Ours, Stage, portal
from tests.inbound.relay_states import (
    BEFORE_THE_APP,
    BEHIND_THE_APP,
    OF_A_WEBSOCKET,
    TO_APP,
    TO_CLIENT,
    WAITING,
    WITH_THE_APP,
    State,
    answers,
    answers_with,
    turns,
)

Told = Callable[[Stage], None]
Runner = Callable[..., Awaitable[tuple[int, list[str]]]]

_LOST = Refusal(Code.NOT_ALLOWED, "it isn't a contact any more")


class Bug(Exception):
    """A mistake of our own."""


# What may be told.


def _piece(stage: Stage) -> None:
    stage.client.come(b"x")


def _end(stage: Stage) -> None:
    stage.client.come(b"", ends=True)


def _reset(stage: Stage) -> None:
    stage.client.leave()


def _blocked(stage: Stage) -> None:
    stage.client.block()


def _unblocked(stage: Stage) -> None:
    stage.client.unblock()


def _unblocked_in_vain(stage: Stage) -> None:
    if stage.client.handler is not None:
        stage.client.handler.resume_response()


def _shutdown(stage: Stage) -> None:
    if stage.client.handler is not None:
        stage.client.handler.stop()


def _cut(stage: Stage) -> None:
    if len(stage.active):
        stage.relay.revoke(_LOST)


def _cut_twice(stage: Stage) -> None:
    _cut(stage)
    _cut(stage)


def _mistaken(stage: Stage) -> None:
    stage.relay.fail(Bug("of a stage"))


def _wait_over(stage: Stage) -> None:
    stage.release()


def _wait_broken(stage: Stage) -> None:
    stage.release(Bug("of what is waited for"))


def _wait_cancelled(stage: Stage) -> None:
    stage.relay.cancel_wait()


def _broken(stage: Stage) -> None:
    stage.app.fail(UpstreamFailed("the app broke off"))


def _timeout(stage: Stage) -> None:
    stage.app.fail(UpstreamFailed("the app says nothing", timeout=True))


def _refused(stage: Stage) -> None:
    stage.app.fail(Refusal(Code.TOO_LARGE, "too much"))


def _interim(stage: Stage) -> None:
    stage.app.tell(lambda receiver: receiver.interim_received(103, ()))


def _head(stage: Stage) -> None:
    answers(stage)


def _false_101(stage: Stage) -> None:
    answers(stage, (), 101)


def _content(stage: Stage) -> None:
    answers_with(stage, b"k")


def _content_end(stage: Stage) -> None:
    answers_with(stage, b"k", ends=True)


def _too_much(stage: Stage) -> None:
    answers_with(stage, b"more than it said", ends=True)


def _invited(stage: Stage) -> None:
    stage.app.tell(lambda receiver: receiver.body_invited())


def _app_blocked(stage: Stage) -> None:
    stage.app.is_blocked = True
    stage.app.tell(lambda receiver: receiver.pause_body())


def _app_unblocked(stage: Stage) -> None:
    stage.app.is_blocked = False
    stage.app.tell(lambda receiver: receiver.resume_body())


def _frame_from_client(stage: Stage) -> None:
    stage.client.come(TO_APP)


def _frame_from_app(stage: Stage) -> None:
    answers_with(stage, TO_CLIENT)


def _evicted(stage: Stage) -> None:
    stage.relay.revoke(EVICTED)


_BY_CLIENT: tuple[Told, ...] = (
    _piece, _end, _reset, _blocked, _unblocked, _unblocked_in_vain, _shutdown, _cut, _cut_twice,
    _mistaken,
)  # fmt: skip
_BY_APP: tuple[Told, ...] = (
    _broken, _timeout, _refused, _interim, _head, _false_101, _content, _content_end, _too_much,
    _invited, _app_blocked, _app_unblocked,
)  # fmt: skip
_BY_WAIT: tuple[Told, ...] = (_wait_over, _wait_broken, _wait_cancelled)
_BY_SOCKET: tuple[Told, ...] = (
    *_BY_CLIENT, _broken, _timeout, _content_end, _app_blocked, _app_unblocked,
    _frame_from_client, _frame_from_app, _evicted,
)  # fmt: skip


def _rows() -> Iterator[tuple[State, Told]]:
    for state in (*BEFORE_THE_APP, *WITH_THE_APP, *BEHIND_THE_APP):
        yield from ((state, told) for told in _BY_CLIENT)
    for state in WITH_THE_APP:
        yield from ((state, told) for told in _BY_APP)
    for state in WAITING:
        yield from ((state, told) for told in _BY_WAIT)
    for state in OF_A_WEBSOCKET:
        yield from ((state, told) for told in _BY_SOCKET)


_ROWS = [pytest.param(state, told, id=f"{state.__name__}-{told.__name__[1:]}")
         for state, told in _rows()]  # fmt: skip


# What may go wrong within a call.


def _raise(_: Stage) -> None:
    raise Bug("of an end")


def _break(_: Stage) -> None:
    raise UpstreamFailed("an end can't go on")


_WRONG: tuple[tuple[Told, tuple[str, ...]], ...] = (
    (_raise, ("client.send", "client.send_head", "client.finish", "client.break_off",
              "client.switch_protocols", "app.send", "app.finish", "log", "upstream.begin")),
    (_break, ("app.send", "client.send", "upstream.begin")),
    (_reset, ("client.send", "client.send_interim")),
    (_blocked, ("client.send", "client.send_head", "client.send_interim", "client.invite")),
    (_app_blocked, ("app.send",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    with portal(tmp_path_factory.mktemp("portal")) as made:
        yield made


@pytest.fixture(autouse=True)
def _without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep none of what is logged: a record keeps the frames of what was raised."""
    nobody = logging.getLogger("nobody")
    nobody.disabled = True
    monkeypatch.setattr(relay_module, "log", nobody)


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    gc.disable()  # or it would hide what refers to itself
    yield
    gc.enable()


@pytest.fixture
def run(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return what runs one row, with at most one call that goes wrong."""

    async def run_row(
        state: State, told: Told, wrong: Told | None = None, wrong_at: int = -1
    ) -> tuple[int, list[str]]:
        stage = Stage(ours)

        def write(line: RequestLine) -> None:
            stage.lines.append(line)
            write_line(line)
            stage.calls.note("log")

        monkeypatch.setattr(relay_module, "write_line", write)
        try:
            return await Row(stage).run(state, told, wrong, wrong_at)
        finally:
            stage.let_go()

    return run_row


class Row:
    """One row of the table."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._timers = _timers()

    async def run(
        self, state: State, told: Told, wrong: Told | None, wrong_at: int
    ) -> tuple[int, list[str]]:
        """Run it to its end, and check what is left; returns the calls, and the first of them."""
        stage, calls = self._stage, self._stage.calls
        await state(stage)
        assert stage.relay.at is not At.OVER, [str(line) for line in stage.lines]
        before = len(calls.made)
        if wrong is not None:
            calls.wrong_at, calls.wrong = wrong_at, lambda _: wrong(stage)
        told(stage)
        if told in (_wait_over, _wait_broken):
            await settled(lambda: not stage.relay.is_waiting)
        await turns()
        calls.wrong = None
        if stage.relay.at is not At.OVER:
            assert not stage.client.finishes
            self._check_that_it_goes_on()
            stage.client.leave()
            await turns()
        await settled(lambda: len(asyncio.all_tasks()) == 1)
        self._check_end()
        gone = weakref.ref(stage.relay)
        stage.let_go()
        await turns()
        assert gone() is None, gc.get_referrers(gone())
        return before, calls.made

    def _check_that_it_goes_on(self) -> None:
        """Check that somebody will act, and that its end isn't only a matter of memory."""
        stage = self._stage
        client_sends = not (stage.client.has_all_come or stage.client.mouth.is_paused)
        client_takes = stage.client.is_blocked
        app_tells = stage.has_begun and stage.app.may_tell
        is_timed = bool(_timers() - self._timers)
        acts = stage.relay.is_waiting or client_sends or client_takes or app_tells or is_timed
        assert acts, stage.relay.at

    def _check_end(self) -> None:
        stage = self._stage
        assert stage.relay.at is At.OVER
        assert stage.calls.stray == []
        assert stage.client.finishes == 1
        assert stage.app.finishes == int(stage.has_begun)
        assert len(stage.lines) == 1
        assert stage.lines[0].outcome
        assert stage.lines[0].seconds > 0
        assert len(stage.context.places) == 0
        assert stage.context.spool.taken == 0
        assert len(stage.active) == 0
        assert _timers() <= self._timers


def _timers() -> set[asyncio.TimerHandle]:
    loop: Any = asyncio.get_running_loop()
    return {timer for timer in loop._scheduled if not timer.cancelled()}


@pytest.mark.parametrize(("state", "told"), _ROWS)
async def test_it_ends_once_and_gives_everything_back(
    state: State, told: Told, run: Runner
) -> None:
    before, calls = await run(state, told)
    for wrong, names in _WRONG:
        for at in range(before, len(calls)):
            if calls[at] in names:
                await run(state, told, wrong, at)


async def test_nothing_of_a_request_is_kept_while_its_response_runs(ours: Ours) -> None:
    """A body may go on for days, as a WebSocket may."""
    stage = Stage(ours)
    stage.begin(ours.head(b"GET /"))
    answers(stage)
    await turns()
    relay: Any = stage.relay
    assert relay.at is At.ANSWERING
    assert relay._request is FORGOTTEN
    assert (relay._head_of_request, relay._admission) == (None, None)
    stage.client.leave()
    stage.let_go()
