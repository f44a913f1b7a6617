"""A WebSocket between two sockets of the test: what passes, how it ends, and who waits for whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from proxy.core.http.headers import end_to_end
from proxy.core.websocket.handshake import accept_for, fields_for_app, read_handshake
from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import Destination, UpstreamFailed, UpstreamRequest
from proxy.transfer.websocket import RelayLimits, WebSocketRelay
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
from tests.http.ends import (
    App,
    Link,
    Listening,
    connected,
    listening,
    respond,
    scripted,
    settled,
    unchanged_tasks,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASKED = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: " + accept_for(KEY) + b"\r\n\r\n"
)
QUICK = RelayLimits(message=1000, ending=0.3, closing=0.3)
SLOW_LIMITS = RelayLimits(message=1000, ending=5, closing=5)
LOOSE = RelayLimits()
HELLO = Frame(TEXT, b"hello")
PIECE = Frame(BINARY, b"x" * 65536)


@dataclass
class Ends:
    """The client, and the app once it has answered 101."""

    client: Link
    app: Link
    listener: Listening

    async def app_gets(self, *frames: Frame) -> None:
        """Check that exactly these arrive, masked, and nothing with them."""
        await _gets(self.app, frames, masked=True)

    async def client_gets(self, *frames: Frame) -> None:
        await _gets(self.client, frames, masked=False)


async def _gets(link: Link, frames: tuple[Frame, ...], *, masked: bool) -> None:
    size = sum(len(frame.raw(MASK if masked else b"")) for frame in frames)
    data = await link.exactly(size)
    assert frames_of(data) == (list(frames), b"")
    assert bool(data[1] & 0x80) is masked


@dataclass
class Revocation:
    """When a WebSocket is revoked, and whether the client was told."""

    now: asyncio.Event
    told: list[bool]


async def _carry(
    to: Destination, scope: Scope, receive: Receive, send: Send, limits: RelayLimits,
    revocation: Revocation | None = None,
) -> None:  # fmt: skip
    """Pass a handshake on as it came, and join both sides."""
    upstream = Http1Upstream()
    handshake = read_handshake(b"GET", scope["headers"])
    fields = fields_for_app(((b"host", b"a"), *end_to_end(scope["headers"])))
    try:
        async with upstream.send(UpstreamRequest(to, b"GET", b"/ws", fields)) as response:
            relay = WebSocketRelay(handshake, response, receive, send, "chat", limits)
            if revocation is None:
                await relay.run()
            else:
                await _revoke(relay, revocation)
    finally:
        await upstream.close()


async def _revoke(relay: WebSocketRelay, revocation: Revocation) -> None:
    """Carry until it is revoked."""
    running = asyncio.create_task(relay.run())
    await revocation.now.wait()
    running.cancel()
    await asyncio.wait((running,))
    revocation.told.append(await relay.revoke())
    if not revocation.told[0]:
        raise UpstreamFailed("revoked")


@asynccontextmanager
async def joined(
    limits: RelayLimits = SLOW_LIMITS, *, ahead: bytes = b"", behind: bytes = b"", buffer: int = 0,
    revocation: Revocation | None = None,
) -> AsyncIterator[Ends]:  # fmt: skip
    """Join a client and an app by a relay; nothing may be left of it."""
    apps: list[Link] = []
    over = asyncio.Event()

    async def script(link: Link) -> None:
        await link.head()
        await link.send(SWITCHED + behind)
        apps.append(link)
        await over.wait()

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await _carry(to, scope, receive, send, limits, revocation)

    with unchanged_tasks():
        async with scripted(script) as server:
            to: Destination = server.to
            async with listening(cast("App", front)) as listener:
                async with connected(listener.port, buffer=buffer) as client:
                    await client.send(ASKED + ahead)
                    assert (await client.head()).lower() == SWITCHED.lower()
                    yield Ends(client, apps[0], listener)
                over.set()
                await settled(lambda: not listener.state.connections)


async def test_a_false_101_is_no_websocket_and_the_app_is_left() -> None:
    left: list[bytes] = []

    async def script(link: Link) -> None:
        await link.head()
        await link.send(SWITCHED.replace(accept_for(KEY), accept_for(KEY[::-1])) + HELLO.raw())
        with suppress(ConnectionError):
            left.append(await link.rest())
        left.append(b"")

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(UpstreamFailed):
            await _carry(server.to, scope, receive, send, SLOW_LIMITS)
        await respond(send, b"false", 502)

    async with scripted(script) as server, listening(cast("App", front)) as listener:
        async with connected(listener.port) as client:
            await client.send(ASKED + HELLO.raw(MASK))
            assert (await client.response())[0] == 502
            assert await client.is_ended()
        await settled(lambda: left)
    assert left[0] == b""


# What passes.


async def test_frames_pass_both_ways_as_they_came() -> None:
    frames = [
        HELLO,
        Frame(BINARY, bytes(range(256))),
        Frame(TEXT, b"a", fin=False),
        Frame(PING, b"within"),
        Frame(CONTINUATION, b"b"),
        Frame(TEXT),
    ]
    async with joined() as ends:
        up = b"".join(frame.raw(MASK) for frame in frames)
        down = b"".join(frame.raw() for frame in frames)
        await ends.client.send(up)
        await ends.app.send(down)
        assert await ends.app.exactly(len(up)) == up
        assert await ends.client.exactly(len(down)) == down


async def test_each_byte_of_a_payload_passes_when_it_comes() -> None:
    async with joined() as ends:
        data = HELLO.raw(MASK)
        await ends.client.send(data[:6])
        assert await ends.app.exactly(6) == data[:6]
        for at in range(6, len(data)):
            await ends.client.send(data[at : at + 1])
            assert await ends.app.exactly(1) == data[at : at + 1]


@pytest.mark.parametrize("at", range(1, len(HELLO.raw(MASK))))
async def test_what_a_client_sends_ahead_of_the_101_comes_first(at: int) -> None:
    data = HELLO.raw(MASK)
    async with joined(ahead=data[:at]) as ends:
        await ends.client.send(data[at:])
        await ends.app_gets(HELLO)


async def test_what_an_app_sends_right_behind_its_101_comes_first() -> None:
    async with joined(behind=HELLO.raw()) as ends:
        await ends.client_gets(HELLO)


# How it ends by itself.


async def test_a_close_and_its_reply_pass_and_both_sides_end() -> None:
    async with joined() as ends:
        await ends.client.send(close(3001, b"enough").raw(MASK))
        await ends.app_gets(close(3001, b"enough"))
        await ends.app.send(close(3001, b"enough").raw())
        ends.app.end()
        await ends.client_gets(close(3001, b"enough"))
        assert await ends.client.is_ended()
        ends.client.end()
        assert await ends.app.is_ended()


@pytest.mark.parametrize("frame", [close(1000), HELLO])
async def test_a_client_s_end_is_the_app_s_news_and_leaves_it_the_word(frame: Frame) -> None:
    async with joined() as ends:
        await ends.client.send(frame.raw(MASK))
        ends.client.end()
        assert await ends.app.rest() == frame.raw(MASK)
        await ends.app.send(HELLO.raw() * 3 + close(1000).raw())
        ends.app.close()
        assert await ends.client.rest() == HELLO.raw() * 3 + close(1000).raw()


async def test_an_app_s_end_is_the_client_s_news_and_leaves_it_the_word() -> None:
    async with joined() as ends:
        await ends.app.send(HELLO.raw())
        ends.app.end()
        assert await ends.client.rest() == HELLO.raw()
        await ends.client.send(HELLO.raw(MASK) * 3)
        ends.client.end()
        assert await ends.app.rest() == HELLO.raw(MASK) * 3


@pytest.mark.parametrize("first", ["client", "app"])
async def test_one_side_s_end_bounds_the_other_s_time(first: str) -> None:
    async with joined(QUICK) as ends:
        mine, other = ends.client, ends.app
        if first == "app":
            mine, other = other, mine
        mine.end()
        assert await other.is_ended()
        with suppress(ConnectionError):
            await mine.rest()
        await settled(lambda: not ends.listener.state.tasks, 2)


async def test_an_app_that_breaks_off_breaks_the_client_s_side_off() -> None:
    async with joined() as ends:
        await ends.app.send(HELLO.raw())
        await ends.client_gets(HELLO)
        ends.app.reset()
        with pytest.raises(ConnectionError):
            await ends.client.rest()


async def test_a_client_that_breaks_off_ends_the_app_s_side() -> None:
    async with joined() as ends:
        await ends.client.send(HELLO.raw(MASK))
        await ends.app_gets(HELLO)
        ends.client.reset()
        with suppress(ConnectionError):
            assert await ends.app.is_ended()
        await settled(lambda: not ends.listener.state.tasks)


async def test_an_app_s_last_words_arrive_though_the_client_goes_on_talking() -> None:
    async with joined() as ends:
        await ends.app.send(close(1001, b"restart").raw())
        ends.app.close()  # what the client says from now on breaks the app's connection
        for _ in range(20):
            with suppress(ConnectionError):
                await ends.client.send(HELLO.raw(MASK))
        assert await ends.client.rest() == close(1001, b"restart").raw()


# What we end.

BAD_UP = [
    HELLO.raw(),
    Frame(3, b"a").raw(MASK),
    Frame(TEXT, rsv=4).raw(MASK),
    b"GET / HTTP/1.1\r\n",
]
BIG = Frame(BINARY, b"x" * 1001)


@pytest.mark.parametrize(("bad", "code"), [*((bad, 1002) for bad in BAD_UP), (BIG.raw(MASK), 1009)])
async def test_a_client_s_bad_frame_is_closed_behind_the_responses_to_the_good_ones(
    bad: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with joined() as ends:
        await ends.client.send(HELLO.raw(MASK) + bad + HELLO.raw(MASK))
        await ends.app_gets(HELLO, close(code))
        await ends.app.send(HELLO.raw() + close(1000, b"as you like").raw() + HELLO.raw())
        await ends.client_gets(HELLO, close(code))
        assert await ends.client.is_ended()
        assert await ends.app.is_ended()
        ends.app.close()
    assert "a WebSocket of chat is closed: " in caplog.text


@pytest.mark.parametrize(
    ("bad", "code"), [(HELLO.raw(MASK), 1002), (Frame(11).raw(), 1002), (BIG.raw(), 1009)]
)
async def test_an_app_s_bad_frame_is_closed_behind_the_good_ones(bad: bytes, code: int) -> None:
    async with joined() as ends:
        await ends.app.send(HELLO.raw() + bad + HELLO.raw())
        await ends.client_gets(HELLO, close(code))
        await ends.client.send(HELLO.raw(MASK) + close(code).raw(MASK))
        await ends.app_gets(HELLO, close(code))
        assert await ends.app.is_ended()
        assert await ends.client.is_ended()


async def test_an_app_that_doesn_t_answer_our_close_isn_t_waited_for() -> None:
    async with joined(QUICK) as ends:
        await ends.client.send(HELLO.raw())
        await ends.client_gets(close(1002))
        assert await ends.client.is_ended()
        await ends.app_gets(close(1002))


async def test_an_app_that_just_ends_is_response_enough() -> None:
    async with joined() as ends:
        await ends.client.send(HELLO.raw())
        await ends.app_gets(close(1002))
        ends.app.close()
        await ends.client_gets(close(1002))
        assert await ends.client.is_ended()


async def test_an_app_that_breaks_a_rule_while_we_close_is_heard_no_further() -> None:
    async with joined() as ends:
        await ends.client.send(HELLO.raw())
        await ends.app_gets(close(1002))
        await ends.app.send(HELLO.raw() + HELLO.raw(MASK))
        await ends.client_gets(HELLO, close(1002))
        assert await ends.client.is_ended()


async def test_in_the_middle_of_a_payload_no_close_is_said() -> None:
    async with joined(QUICK) as ends:
        half = HELLO.raw()[:4]
        await ends.app.send(half)
        assert await ends.client.exactly(4) == half
        await ends.client.send(HELLO.raw())  # not masked
        await ends.app_gets(close(1002))
        assert await ends.client.is_ended()


async def test_fragments_are_summed_up() -> None:
    async with joined() as ends:
        first, more = Frame(TEXT, b"x" * 999, fin=False), Frame(CONTINUATION, b"y", fin=False)
        await ends.client.send(first.raw(MASK) + more.raw(MASK))
        await ends.app_gets(first, more)
        await ends.client.send(more.raw(MASK))
        await ends.app_gets(close(1009))
        await ends.app.send(close(1009).raw())
        await ends.client_gets(close(1009))


async def test_a_message_as_large_as_can_be_passes() -> None:
    async with joined() as ends:
        await ends.client.send(Frame(BINARY, b"x" * 1000).raw(MASK))
        await ends.app_gets(Frame(BINARY, b"x" * 1000))


# The end of the proxy.


def _stop(ends: Ends) -> None:
    for connection in list(ends.listener.state.connections):
        connection.shutdown()


async def test_at_the_end_of_the_proxy_both_sides_hear_1001() -> None:
    async with joined() as ends:
        _stop(ends)
        await ends.app_gets(close(1001))
        await ends.app.send(HELLO.raw() + close(1001).raw())
        await ends.client_gets(HELLO, close(1001))
        assert await ends.client.is_ended()
        assert await ends.app.is_ended()
        ends.client.close()
        ends.app.close()
        await settled(lambda: not ends.listener.state.tasks)


async def test_at_the_end_of_the_proxy_a_client_that_stays_isn_t_waited_for() -> None:
    async with joined() as ends:
        _stop(ends)
        await ends.app_gets(close(1001))
        await ends.app.send(close(1001).raw())
        ends.app.close()
        await ends.client_gets(close(1001))
        await settled(lambda: not ends.listener.state.tasks, 3)


async def test_at_the_end_of_the_proxy_nobody_is_waited_for_long() -> None:
    async with joined(QUICK) as ends:
        _stop(ends)
        await ends.client_gets(close(1001))
        assert await ends.client.is_ended()
        await settled(lambda: not ends.listener.state.tasks, 2)


async def test_at_the_end_of_the_proxy_frames_that_have_begun_are_ended() -> None:
    async with joined() as ends:
        up, down = HELLO.raw(MASK), HELLO.raw()
        await ends.client.send(up[:8])
        await ends.app.send(down[:3])
        assert await ends.app.exactly(8) == up[:8]
        assert await ends.client.exactly(3) == down[:3]
        _stop(ends)
        await ends.client.send(up[8:] + up)
        await ends.app.send(down[3:] + close(1000).raw())
        assert frames_of(up[:8] + await ends.app.rest()) == ([HELLO, close(1001)], b"")
        assert frames_of(down[:3] + await ends.client.rest()) == ([HELLO, close(1001)], b"")


# Pace.


async def _push(link: Link, data: bytes, within: float = 0.5) -> int:
    """Send until the other side takes nothing more; return how many bytes were taken."""
    sent = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while True:
                await link.send(data)
                sent += len(data)
    return sent


ALL_BUFFERS = 24 * 1024 * 1024
"""More than all buffers on the way, of which the kernel's are the most."""


async def test_a_client_that_takes_nothing_makes_the_app_wait() -> None:
    async with joined(LOOSE, buffer=4096) as ends:
        ends.client.stop_reading()
        sent = await _push(ends.app, PIECE.raw())
        assert sent < ALL_BUFFERS
        assert await _push(ends.app, PIECE.raw(), 0.1) < ALL_BUFFERS // 10
        await ends.client.send(HELLO.raw(MASK))  # the other way is free
        await ends.app_gets(HELLO)


async def test_an_app_that_takes_nothing_makes_the_client_wait() -> None:
    async with joined(LOOSE) as ends:
        ends.app.stop_reading()
        sent = await _push(ends.client, PIECE.raw(MASK))
        assert sent < ALL_BUFFERS
        assert await _push(ends.client, PIECE.raw(MASK), 0.1) < ALL_BUFFERS // 10
        await ends.app.send(HELLO.raw())
        await ends.client_gets(HELLO)
        ends.client.reset()


async def test_a_flood_of_empty_frames_keeps_nobody_else_waiting() -> None:
    async with joined(LOOSE) as ends:
        flood = Frame(TEXT).raw(MASK) * 200_000
        sending = asyncio.create_task(ends.client.send(flood))
        longest = 0.0
        taking = asyncio.create_task(ends.app.exactly(len(flood)))
        while not taking.done():
            before = time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - before)
        await sending
        assert await taking == flood
        assert longest < 0.25


async def test_big_messages_pass_in_pieces() -> None:
    async with joined(LOOSE) as ends:
        big = Frame(BINARY, bytes(range(256)) * 80_000).raw()  # 20 MB
        sending = asyncio.create_task(ends.app.send(big))
        assert await ends.client.exactly(len(big)) == big
        await sending


# What is revoked.


def revoked_later() -> Revocation:
    return Revocation(asyncio.Event(), [])


async def test_a_revocation_is_told_on_both_sides() -> None:
    revocation = revoked_later()
    async with joined(revocation=revocation) as ends:
        await ends.client.send(HELLO.raw(MASK))
        await ends.app_gets(HELLO)
        revocation.now.set()
        await ends.client_gets(close(1008))
        await ends.app_gets(close(1008))
        assert await ends.client.is_ended()
        assert await ends.app.is_ended()
    assert revocation.told == [True]


async def test_a_client_in_the_middle_of_a_frame_is_broken_off_and_the_app_is_told() -> None:
    revocation = revoked_later()
    async with joined(revocation=revocation) as ends:
        half = HELLO.raw()[:-1]
        await ends.app.send(half)
        assert await ends.client.exactly(len(half)) == half
        revocation.now.set()
        await ends.app_gets(close(1008))
        with suppress(ConnectionError):
            assert await ends.client.rest() == b""
    assert revocation.told == [False]


async def test_an_app_in_the_middle_of_a_frame_is_broken_off_and_the_client_is_told() -> None:
    revocation = revoked_later()
    async with joined(revocation=revocation) as ends:
        half = HELLO.raw(MASK)[:-1]
        await ends.client.send(half)
        assert await ends.app.exactly(len(half)) == half
        revocation.now.set()
        await ends.client_gets(close(1008))
        with suppress(ConnectionError):
            assert await ends.app.rest() == b""
    assert revocation.told == [True]


async def test_a_client_that_takes_nothing_is_not_waited_for() -> None:
    revocation = revoked_later()
    async with joined(LOOSE, revocation=revocation, buffer=4096) as ends:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await ends.app.send(PIECE.raw())
        revocation.now.set()
        await settled(lambda: revocation.told)
        assert revocation.told == [False]


async def test_behind_a_close_that_has_passed_none_of_ours_follows() -> None:
    revocation = revoked_later()
    async with joined(revocation=revocation) as ends:
        await ends.client.send(close(1000).raw(MASK))
        await ends.app_gets(close(1000))
        revocation.now.set()
        await ends.client_gets(close(1008))
        assert await ends.app.is_ended()
    assert revocation.told == [True]
