"""Any order of what can happen to a WebSocket, also from within what the relay calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.core.websocket.frames import Close
from proxy.http.upstream import UpstreamFailed
from proxy.transfer import websocket
from proxy.transfer.websocket import WebSocketLimits
from tests.core.websocket.framing import BINARY, CLOSE, MASK, PING, TEXT, Frame, close, frames_of
from tests.transfer.relay_sides import Side, Sides

LIMITS = WebSocketLimits(message=3000, ending=60, closing=60)
OURS = {1001, 1002, 1008, 1009, 1013}
"""The codes of our own closes; those of the sides are others."""
FAILURE = UpstreamFailed("the connection was lost")

Who = Literal["client", "app"]
_who: st.SearchStrategy[Who] = st.sampled_from(("client", "app"))
_frames = st.sampled_from(
    [
        Frame(TEXT, b"hello"),
        Frame(TEXT),
        Frame(PING, b"p"),
        Frame(BINARY, b"x" * 200),
        Frame(BINARY, b"y" * 2000),
        Frame(BINARY, b"z" * 3001),
        Frame(3),
        close(3001),
    ]
)
_told = st.sampled_from(
    ["end", "break", "left", "stop", "revoke", "block", "unblock", "turn", "turn", "unblock"]
)
_steps = st.lists(
    st.one_of(
        st.tuples(_who, st.lists(_frames, min_size=1, max_size=12), st.integers(0, 9)),
        st.tuples(_who, _told, st.just(0)),
    ),
    max_size=20,
)
Step = tuple[Who, list[Frame] | str, int]
Within = tuple[Who, str, int, Who, str]
_ON = ("on_send", "on_pause", "on_resume")
_from_within = st.lists(
    st.tuples(_who, st.sampled_from(_ON), st.integers(1, 4), _who, _told), max_size=4
)


class _World:
    """A relay between two sides, and what each of them was told to say."""

    def __init__(self) -> None:
        self.sides = Sides(LIMITS, begins=False)
        self.said = {"client": b"", "app": b""}
        self.held = {"client": b"", "app": b""}
        """What comes once the side is resumed."""
        self.has_ended = {"client": False, "app": False}
        self.is_app_broken = False
        self.is_ended_by_us = False
        """Whether somebody else ended it: then nobody is told."""

    @property
    def _is_over(self) -> bool:
        return bool(self.sides.over) or self.is_ended_by_us

    def say(self, who: Who, frames: list[Frame], cut: int) -> None:
        """Have a side send frames, in two pieces; the second later where that doesn't pass."""
        data = b"".join(frame.raw(MASK if who == "client" else b"") for frame in frames)
        for piece in (data[:cut], data[cut:]):
            if not self.has_ended[who]:
                self.held[who] += piece
                self.flush(who)

    def flush(self, who: Who, *, is_forced: bool = False) -> None:
        if self.held[who] and not self._is_over:
            side = self.sides.of(who)
            if is_forced or not side.is_paused:
                data, self.held[who] = self.held[who], b""
                self.said[who] += data
                self._tell(who)(data, ends=False)

    def _tell(self, who: Who) -> Callable[..., None]:
        return self.sides.relay.from_client if who == "client" else self.sides.relay.from_app

    def do(self, who: Who, what: str) -> None:
        relay, side = self.sides.relay, self.sides.of(who)
        if what in ("end", "break"):
            has_ended, self.has_ended[who] = self.has_ended[who], True
            if not has_ended:
                self.flush(who, is_forced=True)
            if what == "break" and who == "app":
                self.is_app_broken = True  # behind its end, too
                relay.app_failed(FAILURE)
            elif not has_ended:
                self._tell(who)(b"", ends=True)
        elif what == "left":
            self.is_ended_by_us = not self.sides.over
            relay.client_left()
        elif what == "stop":
            relay.stop()
        elif what == "revoke":
            self.is_ended_by_us = not self.sides.over
            relay.revoke(Close.NOT_ALLOWED)
        elif what == "block":
            side.block()
        elif what == "unblock":
            side.unblock()


def _once(world: _World, nth: int, who: Who, what: str) -> Callable[[], None]:
    """Return what does it when it is called for the ``nth`` time."""
    left = nth

    def called() -> None:
        nonlocal left
        left -= 1
        if left == 0 and what != "turn":
            world.do(who, what)

    return called


async def _run(steps: list[Step], within: list[Within]) -> _World:
    world = _World()
    for at, on, nth, who, done in within:
        setattr(world.sides.of(at), on, _once(world, nth, who, done))
    world.sides.begin()
    for who, what, cut in steps:
        if isinstance(what, list):
            world.say(who, what, cut)
        elif what == "turn":
            await asyncio.sleep(0)
            world.flush("client")
            world.flush("app")
        else:
            world.do(who, what)
    # In the end everybody takes what there is, and ends.
    for side in (world.sides.client, world.sides.app):
        side.on_send = side.on_pause = side.on_resume = _nothing
    both: tuple[Who, Who] = "client", "app"
    for end in (False, True):
        for each in both:
            for _ in range(2):
                world.sides.of(each).unblock()
                await world.sides.quiet()
                world.flush(each)
            if end:
                world.do(each, "end")
                await world.sides.quiet()
    return world


def _nothing() -> None:
    pass


def _check(world: _World, side: Side, source: str) -> None:
    """Check that a side got what the other one said, up to where it may be closed, and no more."""
    said, _ = frames_of(world.said[source])
    got, rest = frames_of(bytes(side.got))
    ours = [frame for frame in got if _is_ours(frame)]
    theirs = [frame for frame in got if not _is_ours(frame)]
    assert len(ours) <= 1
    assert got[len(theirs) :] == ours
    assert theirs == said[: len(theirs)]
    assert all(frame.opcode != 3 and len(frame.payload) <= 3000 for frame in got)
    assert not [frame for frame in theirs[:-1] if frame.opcode == CLOSE]
    assert not rest or not ours
    may_miss = world.is_ended_by_us or (world.is_app_broken and side is world.sides.app)
    if not ours and not rest and side.has_end and not may_miss:
        missing = said[len(theirs) :]
        assert not missing or theirs[-1:] == [close(3001)] or not _may_pass(missing[0])


def _is_ours(frame: Frame) -> bool:
    return frame.opcode == CLOSE and int.from_bytes(frame.payload[:2], "big") in OURS


def _may_pass(frame: Frame) -> bool:
    return frame.opcode != 3 and len(frame.payload) <= 3000


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_SLICE", 16)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_steps, _from_within)
@example([("client", [Frame(TEXT, b"hello")] * 12, 3), ("app", "block", 0)], [])
@example(
    [("app", [Frame(TEXT, b"hello")] * 9, 0)], [("client", "on_send", 1, "client", "block"),
                                               ("app", "on_pause", 1, "client", "unblock")],
)  # fmt: skip
@example([("client", [Frame(3)], 0)], [("app", "on_send", 1, "client", "left")])
@example([("client", [Frame(3)], 0)], [("app", "on_send", 1, "client", "revoke")])
@example(
    [("client", "stop", 0), ("app", [close(3001)], 0)],
    [("client", "on_send", 2, "app", "end"), ("client", "on_resume", 1, "app", "block")],
)
def test_it_ends_once_and_nothing_is_sent_behind_an_end(
    steps: list[Step], within: list[Within]
) -> None:
    world = asyncio.run(_run(steps, within))
    sides = world.sides
    assert len(sides.over) == (0 if world.is_ended_by_us else 1)
    if sides.over and sides.over[0] is None:
        assert sides.client.has_end
    _check(world, sides.app, "client")
    _check(world, sides.client, "app")
    assert not sides.is_held()
