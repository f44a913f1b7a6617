"""Each relay ends once, and gives back what it held: whatever is told, and whatever goes wrong.

The table has a row for each state and for what may be told in it. A row runs once as it is, and
then once for each call that it made of one of the relay's ends and for each way in which that call
can go wrong.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import Mock

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.log_line import ANSWERED, BROKEN, LEFT, REFUSED, REVOKED, RequestLine
from proxy.http.upstream import UpstreamFailed
from proxy.transfer import relay as relay_module
from proxy.transfer.body import ClientLeft
from proxy.transfer.relay import At
from tests.transfer.relay_ends import PlainRelay, Sides

_FAILURE = "the app broke off"
_LENGTH = ((b"content-length", b"2"),)


class Bug(Exception):
    """A mistake of our own."""


# What may be told.


def _body(sides: Sides) -> None:
    sides.relay.body_received(b"x", ends=False)


def _body_end(sides: Sides) -> None:
    sides.relay.body_received(b"", ends=True)


def _left(sides: Sides) -> None:
    sides.relay.client_left()


def _paused(sides: Sides) -> None:
    sides.client.is_blocked = True
    sides.relay.pause_response()


def _resumed(sides: Sides) -> None:
    sides.client.is_blocked = False
    sides.relay.resume_response()


def _resumed_in_vain(sides: Sides) -> None:
    sides.relay.resume_response()


def _stopped(sides: Sides) -> None:
    sides.relay.stop()


def _interim(sides: Sides) -> None:
    sides.relay.interim_received(103, ())


def _head(sides: Sides) -> None:
    sides.relay.head_received(200, _LENGTH)


def _content(sides: Sides) -> None:
    sides.relay.content_received(b"o", ends=False)


def _content_end(sides: Sides) -> None:
    sides.app.is_over = True
    sides.relay.content_received(b"k", ends=True)


def _failed(sides: Sides) -> None:
    sides.app.is_over = True
    sides.relay.exchange_failed(UpstreamFailed(_FAILURE))


def _refused(sides: Sides) -> None:
    sides.app.is_over = True
    sides.relay.exchange_failed(Refusal(Code.TOO_LARGE, "too much"))


def _invited(sides: Sides) -> None:
    sides.relay.body_invited()


def _body_paused(sides: Sides) -> None:
    sides.relay.pause_body()


def _body_resumed(sides: Sides) -> None:
    sides.relay.resume_body()


def _revoked(sides: Sides) -> None:
    if len(sides.active):
        sides.relay.revoke(Refusal(Code.NOT_ALLOWED, "it isn't a contact any more"))


def _revoked_twice(sides: Sides) -> None:
    _revoked(sides)
    _revoked(sides)


def _mistaken(sides: Sides) -> None:
    sides.relay.fail(Bug("of a stage"))


def _body_broken(sides: Sides) -> None:
    sides.relay.fail(ClientLeft())


def _wait_over(sides: Sides) -> None:
    if sides.first is not None:
        sides.first.set_result(None)


def _wait_refused(sides: Sides) -> None:
    if sides.first is not None:
        sides.first.set_exception(Refusal(Code.REPLAYED, "again"))


def _wait_broken(sides: Sides) -> None:
    if sides.first is not None:
        sides.first.set_exception(Bug("of what is waited for"))


def _wait_cancelled(sides: Sides) -> None:
    if sides.relay.waiting is not None:
        sides.relay.waiting.cancel()


Told = Callable[[Sides], None]
_BY_CLIENT: tuple[Told, ...] = (
    _body, _body_end, _left, _paused, _resumed, _resumed_in_vain, _stopped, _revoked,
    _revoked_twice, _mistaken, _body_broken,
)  # fmt: skip
_BY_APP: tuple[Told, ...] = (_failed, _refused, _invited, _body_paused, _body_resumed)
_TABLE: dict[At, tuple[Told, ...]] = {
    At.DECIDING: (*_BY_CLIENT, _wait_over, _wait_refused, _wait_broken, _wait_cancelled),
    At.ASKING: (*_BY_CLIENT, *_BY_APP, _interim, _head),
    At.ANSWERING: (*_BY_CLIENT, *_BY_APP, _content, _content_end),
    At.DELIVERING: _BY_CLIENT,
}
_ROWS = [pytest.param(at, told, id=f"{at.name}-{told.__name__}")
         for at in _TABLE for told in _TABLE[at]]  # fmt: skip


def _relay_at(at: At, sides: Sides) -> PlainRelay:
    relay = sides.begin(waits=at is At.DECIDING)
    if at in (At.ANSWERING, At.DELIVERING):
        _head(sides)
    if at is At.DELIVERING:
        sides.client.blocks_at_end = True
        _content_end(sides)
    assert relay.at is at
    return relay


# What may go wrong within a call.


def _raise(_: PlainRelay) -> None:
    raise Bug("of an end")


def _break(_: PlainRelay) -> None:
    raise UpstreamFailed("an end can't go on")


def _leave(relay: PlainRelay) -> None:
    relay.client_left()


def _pause(relay: PlainRelay) -> None:
    relay.pause_response()


_CLIENTS = ("client.send", "client.send_head", "client.send_interim", "client.invite")
# Only a pause is told from within a call. But whoever breaks that isn't to break more.
_STRICT = ("client.send", "client.send_interim", "client.invite")
_WRONG: tuple[tuple[Callable[[PlainRelay], None], tuple[str, ...]], ...] = (
    (_raise, ("client.send", "client.send_head", "client.finish", "client.break_off", "app.send",
              "app.finish", "held.close", "log", "upstream.begin")),
    (_break, ("app.send", "client.send", "upstream.begin")),
    (_leave, _STRICT),
    (_pause, _CLIENTS),
)  # fmt: skip


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[RequestLine]:
    written: list[RequestLine] = []

    def write(line: RequestLine) -> None:
        written.append(line)

    monkeypatch.setattr(relay_module, "write_line", write)
    return written


@pytest.fixture(autouse=True)
def _without_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep none of what is logged: a record keeps the frames of what was raised."""
    monkeypatch.setattr(relay_module, "log", Mock())


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _on_relay(wrong: Callable[[PlainRelay], None], relay: weakref.ref[PlainRelay], _: str) -> None:
    found = relay()
    assert found is not None
    wrong(found)


class Run:
    """One row of the table, with at most one call that goes wrong."""

    def __init__(self, lines: list[RequestLine]) -> None:
        self.sides = Sides()
        self.lines = lines
        self.at = At.OVER
        """Where the relay was behind what was told."""

    async def run(
        self,
        at: At,
        told: Told,
        wrong: Callable[[PlainRelay], None] | None = None,
        wrong_at: int = -1,
    ) -> None:
        """Run it to its end, and check what is left of it."""
        sides, calls = self.sides, self.sides.calls
        self.lines.clear()
        relay = _relay_at(at, sides)
        gone = weakref.ref(relay)
        self.before = len(calls.made)
        if wrong is not None:
            calls.wrong_at, calls.wrong = wrong_at, partial(_on_relay, wrong, gone)
        told(sides)
        await _turns()
        calls.wrong = None
        self.at = relay.at
        if self.at is not At.OVER:
            assert not sides.client.finishes
            self._check_what_goes_on(relay)
            _left(sides)
        await _turns()
        self._check_end()
        sides.let_go()
        del relay
        await _turns()
        assert gone() is None, gc.get_referrers(gone())

    def _check_what_goes_on(self, relay: PlainRelay) -> None:
        """Check that somebody will act: a wait, an app that isn't done, or a client that is due."""
        waits = relay.waiting is not None
        asks = relay.at in (At.ASKING, At.ANSWERING) and self.sides.app.may_tell
        delivers = relay.at is At.DELIVERING and self.sides.client.is_blocked
        assert waits or asks or delivers, relay.at

    def _check_end(self) -> None:
        sides = self.sides
        assert sides.calls.stray == []
        assert sides.client.finishes == 1
        assert sides.app.finishes == int(sides.has_begun)
        assert [held.closes for held in sides.held] == [1, 1]
        assert len(sides.active) == 0
        assert len(self.lines) == 1
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize(("at", "told"), _ROWS)
async def test_it_ends_once_and_gives_everything_back(
    at: At, told: Told, lines: list[RequestLine]
) -> None:
    plain = Run(lines)
    await plain.run(at, told)
    calls = plain.sides.calls.made
    for wrong, names in _WRONG:
        for place in range(plain.before, len(calls)):
            if calls[place] in names:
                await Run(lines).run(at, told, wrong, place)


async def test_a_line_that_cannot_be_written_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: RequestLine) -> None:
        raise OSError("the log is full")

    monkeypatch.setattr(relay_module, "write_line", write)
    sides = Sides()
    relay = sides.begin()
    _head(sides)
    _content_end(sides)
    assert sides.client.finishes == sides.app.finishes == 1
    assert relay.at is At.OVER


# What the line says, and what the client gets.

_OUTCOMES = [
    (At.DECIDING, _left, LEFT, []),
    (At.DECIDING, _revoked, REVOKED, [403]),
    (At.DECIDING, _mistaken, REFUSED, [500]),
    (At.DECIDING, _wait_refused, REFUSED, [Code.REPLAYED.status]),
    (At.DECIDING, _wait_broken, REFUSED, [500]),
    (At.DECIDING, _wait_cancelled, REFUSED, [502]),
    (At.ASKING, _left, LEFT, []),
    (At.ASKING, _body_broken, LEFT, []),
    (At.ASKING, _revoked, REVOKED, [403]),
    (At.ASKING, _failed, REFUSED, [502]),
    (At.ASKING, _refused, REFUSED, [413]),
    (At.ASKING, _mistaken, REFUSED, [500]),
    (At.ANSWERING, _left, LEFT, [200]),
    (At.ANSWERING, _revoked, REVOKED, [200]),
    (At.ANSWERING, _failed, BROKEN, [200]),
    (At.ANSWERING, _refused, BROKEN, [200]),
    (At.ANSWERING, _mistaken, BROKEN, [200]),
    (At.ANSWERING, _content_end, ANSWERED, [200]),
    (At.DELIVERING, _left, LEFT, [200]),
    (At.DELIVERING, _resumed, ANSWERED, [200]),
    (At.DELIVERING, _revoked, REVOKED, [200]),
]  # fmt: skip


@pytest.mark.parametrize(("at", "told", "outcome", "heads"), _OUTCOMES)
async def test_the_line_says_how_it_ended(
    at: At, told: Told, outcome: str, heads: list[int], lines: list[RequestLine]
) -> None:
    sides = Sides()
    relay = _relay_at(at, sides)
    told(sides)
    await _turns()
    assert relay.at is At.OVER
    line = lines.pop()
    assert (line.outcome or (REFUSED if line.code else ANSWERED)) == outcome
    assert sides.client.heads == heads
    assert (line.status or None) == (heads[0] if heads else None)
    assert (line.bytes_in, line.bytes_out) == (3, 4)
    assert (line.first is not None) == bool(heads)
    # What isn't whole is broken off, visibly, unless nobody is there to see it.
    is_whole = sides.client.has_end and told is not _revoked
    may_see = outcome not in (LEFT, ANSWERED) and at in (At.ANSWERING, At.DELIVERING)
    assert sides.client.is_broken == (may_see and not (is_whole and outcome == ANSWERED))


# Where two things come together.


async def test_the_app_is_let_go_of_once_its_response_is_whole() -> None:
    """A client that takes its time to get it keeps no connection to the app."""
    sides = Sides()
    relay = _relay_at(At.DELIVERING, sides)
    assert sides.app.finishes == 1
    assert relay.at is At.DELIVERING
    _left(sides)


async def test_what_still_comes_of_the_request_cannot_spoil_a_whole_response(
    lines: list[RequestLine],
) -> None:
    sides = Sides()
    relay = _relay_at(At.DELIVERING, sides)
    assert sides.calls.made[-1] == "client.resume"  # who reads only behind its body gets to it
    for _ in range(3):
        relay.body_received(b"x" * 1000, ends=False)
    relay.body_received(b"", ends=True)
    _resumed(sides)
    assert not sides.client.is_broken
    assert lines.pop().outcome == ""


async def test_a_head_that_cannot_be_sent_is_no_response_yet(lines: list[RequestLine]) -> None:
    sides = Sides()
    relay = _relay_at(At.ASKING, sides)
    sides.calls.wrong_at = len(sides.calls.made)
    sides.calls.wrong = partial(_on_relay, _raise, weakref.ref(relay))
    _head(sides)
    assert sides.client.heads == [500]
    assert not sides.client.is_broken
    assert lines.pop().code == Code.INTERNAL.public


async def test_a_refusal_that_cannot_be_told_leaves_it_to_the_connection(
    lines: list[RequestLine],
) -> None:
    sides = Sides()
    relay = _relay_at(At.ASKING, sides)
    sides.calls.wrong_at = len(sides.calls.made) + 3  # the app's end, what is held, then the head
    sides.calls.wrong = partial(_on_relay, _raise, weakref.ref(relay))
    _failed(sides)
    assert sides.client.heads == []
    assert not sides.client.is_broken
    assert sides.client.finishes == 1  # without a head: the connection answers 500
    assert lines.pop().code == Code.INTERNAL.public


async def test_a_cut_cuts_though_what_it_is_told_as_cannot_be_found(
    lines: list[RequestLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal_of_revoked(_: PlainRelay, __: Refusal) -> Refusal:
        raise Bug("of whoever tells it")

    monkeypatch.setattr(PlainRelay, "_refusal_of_revoked", refusal_of_revoked)
    sides = Sides()
    relay = _relay_at(At.ASKING, sides)
    _revoked(sides)
    assert relay.at is At.OVER
    assert sides.client.heads == [500]
    assert len(sides.active) == 0
    assert [line.outcome for line in lines] == [REVOKED]
