"""A WebSocket between two ends that only note what they get: what passes, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest

from proxy.core.errors import Code
from proxy.core.websocket.frames import Close
from proxy.core.websocket.handshake import Handshake, accept_for
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.websocket import WebSocketLimits, close_for
from tests.core.websocket.framing import (
    BINARY,
    CONTINUATION,
    MASK,
    PING,
    TEXT,
    Frame,
    close,
    frames_of,
)
from tests.http.ends import settled
from tests.transfer.relay_sides import KEY, SWITCHED, Sides

LIMITS = WebSocketLimits(message=1000, ending=60, closing=60)
QUICK = WebSocketLimits(message=1000, ending=0.05, closing=0.05)
LOOSE = WebSocketLimits(ending=60, closing=60)
HELLO = Frame(TEXT, b"hello")
BIG = Frame(BINARY, b"x" * 1001)
END, BREAK, LEFT, STOP, BLOCK, UNBLOCK = "end", "break", "left", "stop", "block", "unblock"
CLIENT, APP, BOTH = frozenset({"client"}), frozenset({"app"}), frozenset({"client", "app"})
NOBODY: frozenset[str] = frozenset()


def up(*frames: Frame) -> tuple[str, object]:
    return "client", b"".join(frame.raw(MASK) for frame in frames)


def down(*frames: Frame) -> tuple[str, object]:
    return "app", b"".join(frame.raw() for frame in frames)


@dataclass(frozen=True)
class Row:
    """What is told, and what each side has got then."""

    name: str
    told: list[tuple[str, object]]
    client: list[Frame]
    app: list[Frame]
    ended: frozenset[str] = NOBODY
    """Who got our end."""
    over: object = "no"
    """What it ended with; "no" where it goes on."""


CLOSED = close(3001, b"enough")
GOOD = [
    HELLO,
    Frame(BINARY, bytes(range(256))),
    Frame(TEXT, b"a", fin=False),
    Frame(PING, b"within"),
    Frame(CONTINUATION, b"b"),
    Frame(TEXT),
]
FAILURE = UpstreamFailed("the connection was lost")
UNMASKED = ("client", HELLO.raw())
MASKED = ("app", HELLO.raw(MASK))

ROWS = [
    Row("frames both ways", [up(*GOOD), down(*GOOD)], GOOD, GOOD),
    # How it ends by itself.
    Row("a close and its reply", [up(CLOSED), down(CLOSED)], [CLOSED], [CLOSED]),
    Row(
        "a close, its reply, and both ends",
        [up(CLOSED), down(CLOSED), ("app", END), ("client", END)],
        [CLOSED], [CLOSED], BOTH, None,
    ),
    Row("the client's end", [up(HELLO), ("client", END)], [], [HELLO], APP),
    Row(
        "the client's end, and the app's last words",
        [("client", END), down(HELLO, close(1000)), ("app", END)],
        [HELLO, close(1000)], [], BOTH, None,
    ),
    Row("the app's end", [down(HELLO), ("app", END)], [HELLO], [], CLIENT),
    Row(
        "the app's end, and the client's last words",
        [("app", END), up(HELLO), up(HELLO), ("client", END)],
        [], [HELLO, HELLO], BOTH, None,
    ),
    Row("the app breaks off", [down(HELLO), ("app", BREAK)], [HELLO], [], NOBODY, FAILURE),
    Row(
        "the app breaks off behind its close",
        [down(CLOSED), ("app", BREAK)],
        [CLOSED], [], CLIENT,
    ),
    Row(
        "the app breaks off behind its end",
        [("app", END), ("app", BLOCK), up(HELLO), ("app", BREAK), up(HELLO), ("client", END)],
        [], [], CLIENT, None,
    ),
    Row("the app breaks off behind the client's end",
        [("client", END), ("app", BREAK)], [], [], BOTH, None),
    Row("the client leaves", [up(HELLO), ("client", LEFT), down(HELLO)], [], [HELLO]),
    Row("nothing follows a close", [up(CLOSED, HELLO), up(HELLO)], [], [CLOSED]),
    # What we end.
    *(
        Row(
            f"a bad frame of the client's, {name}",
            [up(HELLO), bad, up(HELLO), down(HELLO), down(close(1000, b"as you like"), HELLO)],
            [HELLO, close(code)], [HELLO, close(code)], BOTH,
        )
        for name, bad, code in [
            ("not masked", UNMASKED, 1002),
            ("reserved opcode", ("client", Frame(3, b"a").raw(MASK)), 1002),
            ("reserved bit", ("client", Frame(TEXT, rsv=4).raw(MASK)), 1002),
            ("another protocol", ("client", b"GET / HTTP/1.1\r\n"), 1002),
            ("too big", up(BIG), 1009),
        ]
    ),
    *(
        Row(
            f"a bad frame of the app's, {name}",
            [down(HELLO), bad, down(HELLO), up(HELLO), up(close(code))],
            [HELLO, close(code)], [HELLO, close(code)], BOTH,
        )
        for name, bad, code in [
            ("masked", MASKED, 1002),
            ("reserved opcode", down(Frame(11)), 1002),
            ("too big", down(BIG), 1009),
        ]
    ),
    Row("in one read", [("client", HELLO.raw(MASK) + HELLO.raw() + HELLO.raw(MASK))],
        [], [HELLO, close(1002)]),
    Row("an app that just ends is response enough", [UNMASKED, ("app", END)],
        [close(1002)], [close(1002)], BOTH, None),
    Row("an app that breaks off instead", [UNMASKED, ("app", BREAK)],
        [], [close(1002)], NOBODY, FAILURE),
    Row("an app that breaks a rule while we close", [UNMASKED, down(HELLO), MASKED],
        [HELLO, close(1002)], [close(1002)], BOTH),
    Row("both told, and the app ends", [UNMASKED, down(close(1000)), ("app", END)],
        [close(1002)], [close(1002)], BOTH, None),
    Row("both told, and the app breaks off", [UNMASKED, down(close(1000)), ("app", BREAK)],
        [close(1002)], [close(1002)], BOTH, None),
    Row("fragments are summed up",
        [up(Frame(TEXT, b"x" * 999, fin=False), Frame(CONTINUATION, b"y", fin=False)),
         up(Frame(CONTINUATION, b"y"))],
        [], [Frame(TEXT, b"x" * 999, fin=False), Frame(CONTINUATION, b"y", fin=False),
             close(1009)]),
    Row("as large as can be", [up(Frame(BINARY, b"x" * 1000))], [], [Frame(BINARY, b"x" * 1000)]),
    # The end of the proxy.
    Row("a stop", [("proxy", STOP)], [], [close(1001)]),
    Row("a stop, told on both sides", [("proxy", STOP), down(HELLO, close(1001))],
        [HELLO, close(1001)], [close(1001)], BOTH),
    Row("a stop, and the end of both", [("proxy", STOP), down(close(1001)), ("app", END)],
        [close(1001)], [close(1001)], BOTH, None),
    Row("a second stop", [("proxy", STOP), ("proxy", STOP)], [], [close(1001)]),
    Row("a stop behind the client's end", [("client", END), ("proxy", STOP), down(close(1000))],
        [close(1001)], [], BOTH),
    Row("a stop behind the app's end", [("app", END), ("proxy", STOP), up(close(1000))],
        [], [close(1001)], CLIENT),
    Row("a stop behind a violation", [UNMASKED, ("proxy", STOP)], [], [close(1002)]),
    # What is revoked.
    Row("a revocation", [up(HELLO), ("proxy", Close.NOT_ALLOWED), down(HELLO)],
        [close(1008)], [HELLO, close(1008)], BOTH),
    Row("an eviction", [("proxy", Close.TRY_AGAIN_LATER)], [close(1013)], [close(1013)], BOTH),
    Row("a revocation behind a stop", [("proxy", STOP), ("proxy", Close.NOT_ALLOWED)],
        [close(1001)], [close(1001)], BOTH),
    Row("a revocation behind the client's close", [up(CLOSED), ("proxy", Close.NOT_ALLOWED)],
        [close(1008)], [CLOSED], BOTH),
    Row("a revocation behind the app's end", [("app", END), ("proxy", Close.NOT_ALLOWED)],
        [], [close(1008)], BOTH),
    Row("a revocation, and a client that takes nothing",
        [("client", BLOCK), ("proxy", Close.NOT_ALLOWED)], [], [close(1008)], APP),
    Row("a revocation, and an app that takes nothing",
        [("app", BLOCK), ("proxy", Close.NOT_ALLOWED)], [close(1008)], [], CLIENT),
    # Pace.
    Row("a client that takes nothing", [("client", BLOCK), down(HELLO), ("app", END)], [], []),
    Row("a client that takes more", [("client", BLOCK), down(HELLO), ("client", UNBLOCK)],
        [HELLO], []),
    Row("the end behind what waited",
        [("client", BLOCK), down(HELLO), ("app", END), ("client", UNBLOCK)], [HELLO], [], CLIENT),
    Row("the failure behind what waited",
        [("app", BREAK), ("client", UNBLOCK)], [], [], NOBODY, FAILURE),
    Row("the other way is free", [("client", BLOCK), down(HELLO), up(HELLO)], [], [HELLO]),
    Row("an app that takes nothing", [("app", BLOCK), up(HELLO), ("client", END)], [], []),
    Row("an app that takes more", [("app", BLOCK), up(HELLO), ("client", END), ("app", UNBLOCK)],
        [], [HELLO], APP),
    Row("a violation behind what waited",
        [("app", BLOCK), up(HELLO), ("app", UNBLOCK), UNMASKED], [], [HELLO, close(1002)]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_each_side_gets(row: Row) -> None:
    sides = Sides(LIMITS)
    for who, what in row.told:
        if isinstance(what, Close):
            assert sides.relay.revoke(what) is ("client" in row.ended)
        elif what == STOP:
            sides.relay.stop()
        elif who == "client":
            _tell_of_client(sides, what)
        else:
            _tell_of_app(sides, what)
        await sides.quiet()
    assert frames_of(bytes(sides.client.got)) == (row.client, b"")
    assert frames_of(bytes(sides.app.got)) == (row.app, b"")
    assert {who for who in ("client", "app") if sides.of(who).has_end} == row.ended
    assert sides.over == ([] if row.over == "no" else [row.over])
    sides.check_masks()


def _tell_of_client(sides: Sides, what: object) -> None:
    if what == LEFT:
        sides.relay.client_left()
    elif what == BLOCK:
        sides.client.block()
    elif what == UNBLOCK:
        sides.client.unblock()
    else:
        data = what if isinstance(what, bytes) else b""
        sides.relay.from_client(data, ends=what == END)


def _tell_of_app(sides: Sides, what: object) -> None:
    if what == BREAK:
        sides.relay.app_failed(FAILURE)
    elif what == BLOCK:
        sides.app.block()
    elif what == UNBLOCK:
        sides.app.unblock()
    else:
        data = what if isinstance(what, bytes) else b""
        sides.relay.from_app(data, ends=what == END)


# The handshake.


async def test_the_101_is_passed_on_before_anything_else() -> None:
    sides = Sides(LIMITS, begins=False)
    before = sides.client.switched
    sides.begin()
    assert (before, sides.client.switched) == (None, SWITCHED)
    assert not sides.client.is_paused
    assert not sides.app.is_paused


async def test_a_false_101_is_no_websocket() -> None:
    other = Handshake(accept_for(KEY[::-1]), frozenset(), offers_deflate=False)
    with pytest.raises(UpstreamFailed):
        Sides(LIMITS, asked=other, begins=False)


async def test_an_app_that_takes_nothing_yet_makes_the_client_wait_from_the_beginning() -> None:
    sides = Sides(LIMITS, begins=False)
    sides.app.is_blocked = True
    sides.begin()
    assert sides.client.is_paused
    sides.app.unblock()
    await sides.quiet()
    assert not sides.client.is_paused


async def test_no_field_that_is_ours_to_say_is_passed_on() -> None:
    fields = (*SWITCHED, (b"set-cookie", b"a=b; Domain=example.org"), (b"server", b"app"))
    sides = Sides(LIMITS, fields=fields, own=(b"a.wendy.example.org",))
    assert sides.client.switched is not None
    assert b"set-cookie" not in dict(sides.client.switched)


# What passes.


async def test_each_byte_of_a_payload_passes_when_it_comes() -> None:
    sides = Sides(LIMITS)
    data = HELLO.raw(MASK)
    for at in range(len(data)):
        sides.relay.from_client(data[at : at + 1], ends=False)
        assert bytes(sides.app.got) == (data[: at + 1] if at >= 5 else b"")


async def test_a_flood_of_empty_frames_has_its_turns_one_by_one() -> None:
    sides = Sides(LOOSE)
    flood = Frame(TEXT).raw(MASK) * 50_000
    sides.relay.from_client(flood, ends=False)
    passed = [0, len(sides.app.got)]
    while sides.client.is_paused:
        await asyncio.sleep(0)
        passed.append(len(sides.app.got))
    assert len(passed) > 9
    assert max(after - before for before, after in pairwise(passed)) <= 33 * 1024
    assert bytes(sides.app.got) == flood


async def test_a_large_payload_passes_in_one_turn() -> None:
    sides = Sides(LOOSE)
    big = Frame(BINARY, bytes(range(256)) * 500).raw()
    sides.relay.from_app(big, ends=False)
    assert bytes(sides.client.got) == big
    assert not sides.app.was_paused


async def test_what_comes_while_others_wait_comes_behind_them() -> None:
    sides = Sides(LOOSE)
    flood = Frame(TEXT).raw() * 50_000
    sides.relay.from_app(flood, ends=False)
    sides.relay.from_app(HELLO.raw(), ends=False)
    sides.relay.app_failed(FAILURE)
    assert not sides.over
    await settled(lambda: sides.over)
    assert bytes(sides.client.got) == flood + HELLO.raw()
    assert sides.over == [FAILURE]


async def test_a_side_is_paused_once_and_resumed_once() -> None:
    sides = Sides(LOOSE)
    sides.client.blocks_after = 1
    sides.relay.from_app(HELLO.raw(), ends=False)
    assert sides.app.is_paused
    assert sides.app.said == ["resume", "pause"]
    sides.client.unblock()
    sides.relay.resume_to_client()
    await sides.quiet()
    assert sides.app.said == ["resume", "pause", "resume"]


async def test_it_moves_when_bytes_come() -> None:
    sides = Sides(LOOSE)
    before = sides.relay.last_moved
    await asyncio.sleep(0.01)
    sides.relay.from_app(HELLO.raw(), ends=False)
    assert sides.relay.last_moved > before


# Its time.


@pytest.mark.parametrize("first", ["client", "app"])
async def test_one_side_s_end_bounds_the_other_s_time(first: str) -> None:
    sides = Sides(QUICK)
    tell = sides.relay.from_client if first == "client" else sides.relay.from_app
    tell(b"", ends=True)
    await settled(lambda: sides.over)
    assert sides.over == [None]
    assert sides.client.has_end
    assert not sides.client.got


async def test_who_doesn_t_answer_our_close_isn_t_waited_for() -> None:
    sides = Sides(QUICK)
    sides.relay.stop()
    await settled(lambda: sides.over)
    assert sides.over == [None]
    assert frames_of(bytes(sides.client.got)) == ([close(1001)], b"")
    assert frames_of(bytes(sides.app.got)) == ([close(1001)], b"")
    assert sides.client.has_end


async def test_a_client_that_takes_nothing_isn_t_told_when_the_time_is_up() -> None:
    sides = Sides(QUICK)
    sides.client.block()
    sides.relay.stop()
    await settled(lambda: sides.over)
    assert not sides.client.got
    assert sides.client.has_end


async def test_the_log_names_the_app_and_what_was_wrong(caplog: pytest.LogCaptureFixture) -> None:
    sides = Sides(LIMITS)
    sides.relay.from_client(HELLO.raw(), ends=False)
    await sides.quiet()
    assert "a WebSocket of chat is closed: " in caplog.text


async def test_in_the_middle_of_a_payload_no_close_is_said() -> None:
    sides = Sides(QUICK)
    half = HELLO.raw()[:4]
    sides.relay.from_app(half, ends=False)
    sides.relay.from_client(HELLO.raw(), ends=False)
    await settled(lambda: sides.over)
    assert bytes(sides.client.got) == half
    assert frames_of(bytes(sides.app.got)) == ([close(1002)], b"")
    assert sides.client.has_end


async def test_frames_that_have_begun_are_ended_before_our_close() -> None:
    sides = Sides(LIMITS)
    above, below = HELLO.raw(MASK), HELLO.raw()
    sides.relay.from_client(above[:8], ends=False)
    sides.relay.from_app(below[:3], ends=False)
    sides.relay.stop()
    sides.relay.from_client(above[8:] + above, ends=False)
    sides.relay.from_app(below[3:] + close(1000).raw(), ends=False)
    assert frames_of(bytes(sides.app.got)) == ([HELLO, close(1001)], b"")
    assert frames_of(bytes(sides.client.got)) == ([HELLO, close(1001)], b"")
    assert sides.client.has_end
    assert sides.app.has_end


async def test_the_earlier_limit_holds() -> None:
    sides = Sides(WebSocketLimits(ending=60, closing=0.05))
    sides.relay.from_app(b"", ends=True)
    sides.relay.stop()
    await settled(lambda: sides.over)
    later = Sides(WebSocketLimits(ending=0.05, closing=60))
    later.relay.from_app(b"", ends=True)
    later.relay.stop()
    await settled(lambda: later.over)


# What is revoked.


async def test_a_client_in_the_middle_of_a_frame_is_broken_off_and_the_app_is_told() -> None:
    sides = Sides(LIMITS)
    half = HELLO.raw()[:-1]
    sides.relay.from_app(half, ends=False)
    assert not sides.relay.revoke()
    assert bytes(sides.client.got) == half
    assert not sides.client.has_end
    assert frames_of(bytes(sides.app.got)) == ([close(1008)], b"")
    assert sides.app.has_end


async def test_an_app_in_the_middle_of_a_frame_is_broken_off_and_the_client_is_told() -> None:
    sides = Sides(LIMITS)
    half = HELLO.raw(MASK)[:-1]
    sides.relay.from_client(half, ends=False)
    assert sides.relay.revoke()
    assert bytes(sides.app.got) == half
    assert not sides.app.has_end
    assert frames_of(bytes(sides.client.got)) == ([close(1008)], b"")
    assert sides.client.has_end


async def test_a_client_that_takes_no_more_behind_our_close_is_broken_off() -> None:
    sides = Sides(LIMITS)
    sides.client.blocks_after = 1
    assert not sides.relay.revoke()
    assert not sides.client.has_end


async def test_behind_its_end_nothing_is_revoked() -> None:
    sides = Sides(LIMITS)
    sides.relay.app_failed(FAILURE)
    assert not sides.relay.revoke()
    assert not sides.client.got


@pytest.mark.parametrize(
    ("code", "said"),
    [(Code.APP_BUSY, Close.TRY_AGAIN_LATER), (Code.NOT_FOUND, Close.NOT_ALLOWED)],
)
def test_who_makes_room_may_come_again(code: Code, said: Close) -> None:
    assert close_for(code) is said


# What is left.


@pytest.mark.parametrize("how", ["end", "failure", "left", "revoked"])
async def test_nothing_holds_on_to_it(how: str) -> None:
    sides = Sides(LIMITS)
    if how == "end":
        sides.relay.from_client(b"", ends=True)
        sides.relay.from_app(b"", ends=True)
    elif how == "failure":
        sides.relay.app_failed(FAILURE)
    elif how == "left":
        sides.relay.client_left()
    else:
        sides.relay.revoke()
    assert not sides.is_held()
