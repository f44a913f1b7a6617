"""Deciding takes time: a claim that comes late, never, or when nobody waits for it any more.

The store here answers only in a thread, and only when the test lets it. Until then nothing of a
request's body passes, what is held of it has a bound, and each way to end frees all of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Code
from proxy.core.log_line import ANSWERED, LEFT, REFUSED, REVOKED
from proxy.http.server.timeouts import ConnectionTimeouts
from tests.http.ends import connected, settled
from tests.inbound.served import Served, SlowReplays, read_request, served
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import SignedCall, sign_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.http.ends import Link

_SMALL = b"a body that is held and proven"
_LARGE = b"x" * (1 << 20)


class App:
    """The app, which notes what it got, but for looks at which HTTP it speaks."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, bytes]] = []

    async def __call__(self, link: Link) -> None:
        while True:
            head, body = await read_request(link)
            if not head.startswith(b"OPTIONS"):
                self.got.append((head, body))
            await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def ours(tmp_path: Path, app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    async with served(tmp_path, app, monkeypatch) as made:
        yield made


@pytest.fixture
async def slow(ours: Served) -> AsyncIterator[SlowReplays]:
    store = ours.slow_replays()
    yield store
    store.release()  # or its thread would wait for ever


def _signed(ours: Served, body: bytes = _SMALL) -> SignedCall:
    return sign_call(ours.peer, ours.folder, "site", b"/peer", method=b"POST", body=body)


def _sealed(ours: Served, body: bytes = _SMALL, *, split: int = 0) -> bytes:
    """Return a sealed call; its envelope ends behind ``split`` bytes, if that isn't 0."""
    portal = ours.running.portal
    sender = Sender(
        ours.peer, ours.folder, config=portal.sealing.published(portal.clock())[0].config
    )
    envelope = sender.whole(sender.head("site", b"/peer", method=b"POST"), body)
    outer = sender.around(envelope[: split or None])
    return outer if not split else outer.removesuffix(b"0\r\n\r\n")


async def _asked(slow: SlowReplays, count: int = 1) -> None:
    await settled(lambda: slow.asked == count)


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_a_late_claim_is_served_as_any(
    mode: str, ours: Served, slow: SlowReplays, app: App
) -> None:
    call = _signed(ours)
    async with connected(ours.port) as link:
        await link.send(call.raw if mode == "signed" else _sealed(ours))
        await _asked(slow)
        assert app.got == []
        slow.release()
        status, fields, body = await link.response()
        assert status == 200
        if mode == "signed":
            assert body == b"ok"
            assert b"signature" in fields
        await settled(lambda: len(ours.lines) == 1)
    assert [body for _, body in app.got] == [_SMALL]
    assert (ours.lines[0].mode, ours.lines[0].outcome) == (mode, ANSWERED)
    assert slow.claimed == 1
    await ours.untouched()


async def test_pipelined_requests_wait_behind_it_in_their_order(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        stranger = ours.request(b"GET /second HTTP/1.1")
        await link.send(_signed(ours).raw + stranger + _signed(ours, b"third").raw)
        await _asked(slow)
        await asyncio.sleep(0.05)
        assert app.got == []
        slow.release()
        assert [(await link.response())[0] for _ in range(3)] == [200] * 3
    assert [body for _, body in app.got] == [_SMALL, b"", b"third"]
    assert app.got[1][0].startswith(b"GET /second ")
    await ours.untouched()


@pytest.mark.parametrize("mode", ["signed", "sealed"])
@pytest.mark.parametrize("way", ["reset", "close", "end"])
async def test_a_client_that_left_frees_all_at_once_and_nothing_runs(
    mode: str, way: str, ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        await link.send(_signed(ours).raw if mode == "signed" else _sealed(ours))
        await _asked(slow)
        getattr(link, way)()
        await settled(lambda: len(ours.lines) == 1)
        assert ours.lines[0].outcome == LEFT
        await settled(lambda: not ours.listener.state.connections)
        await ours.untouched()
        slow.release()
        await settled(lambda: slow.claimed == 1)
        await asyncio.sleep(0.05)
    assert app.got == []
    assert len(ours.lines) == 1


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_what_is_held_meanwhile_has_a_bound(
    mode: str, ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        raw = _signed(ours, _LARGE).raw if mode == "signed" else _sealed(ours, _LARGE)
        sending = asyncio.create_task(link.send(raw))
        await _asked(slow)
        limit = ConnectionTimeouts().buffered
        (connection,) = ours.listener.state.connections
        is_reading = connection._transport.is_reading  # type: ignore[union-attr]  # ours
        await settled(lambda: not is_reading())
        assert 0 < ours.waiting[0] <= 2 * limit
        slow.release()
        await sending
        assert (await link.response())[0] == 200
    assert [body for _, body in app.got] == [_LARGE]
    await ours.untouched()


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_access_that_goes_meanwhile_is_access_that_never_was(
    mode: str, ours: Served, slow: SlowReplays, app: App
) -> None:
    call = _signed(ours)
    async with connected(ours.port) as link:
        await link.send(call.raw if mode == "signed" else _sealed(ours))
        await _asked(slow)
        ours.forget_peer()
        ours.revoke()
        slow.release()
        status, fields, _ = await link.response()
        if mode == "signed":
            assert status == 403
            assert b"signature" in fields
        await settled(lambda: len(ours.lines) == 1)
    line = ours.lines[0]
    assert (line.outcome, line.code, line.mode) == (REVOKED, Code.NOT_ALLOWED.public, mode)
    assert line.status == 403
    assert app.got == []
    await ours.untouched()


async def test_a_listener_that_ends_waits_for_the_claim(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        await link.send(_signed(ours).raw)
        await _asked(slow)
        ours.shut_down()
        await asyncio.sleep(0.05)
        assert not ours.lines
        slow.release()
        status, fields, _ = await link.response()
        assert (status, fields[b"connection"]) == (200, b"close")
        assert await link.is_ended()
    assert len(app.got) == 1


@pytest.mark.parametrize("mode", ["signed", "sealed"])
async def test_one_that_ends_at_once_doesn_t(
    mode: str, ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        await link.send(_signed(ours).raw if mode == "signed" else _sealed(ours))
        await _asked(slow)
        ours.break_off()
        await settled(lambda: not ours.listener.state.connections)
        assert [line.outcome for line in ours.lines] == [LEFT]
        await ours.untouched()
        slow.release()
        await settled(lambda: slow.claimed == 1)
        await asyncio.sleep(0.05)
    assert app.got == []


async def test_a_body_that_is_too_large_is_refused_once_it_is_decided(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    limit = ours.running.portal.config.limits.held_body
    call = _signed(ours)
    raw = call.raw.replace(b"content-length: %d" % len(_SMALL), b"content-length: %d" % (limit + 1))
    async with connected(ours.port) as link:
        await link.send(raw)
        await _asked(slow)
        slow.release()
        status, fields, _ = await link.response()
        assert (status, b"signature" in fields) == (413, True)
    await settled(lambda: len(ours.lines) == 1)
    assert (ours.lines[0].outcome, ours.lines[0].status) == (REFUSED, 413)
    assert app.got == []
    await ours.untouched()


async def test_the_same_call_twice_at_once_runs_once(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    raw = _signed(ours).raw
    async with connected(ours.port) as one, connected(ours.port) as other:
        await one.send(raw)
        await other.send(raw)
        await _asked(slow, 2)
        slow.release()
        statuses = [(await link.response())[0] for link in (one, other)]
    assert sorted(statuses) == sorted((200, Code.REPLAYED.status))
    assert len(app.got) == 1
    await ours.untouched()


async def test_an_envelope_that_breaks_while_its_request_is_judged(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    async with connected(ours.port) as link:
        raw = _sealed(ours, _LARGE, split=300_000)
        await link.send(raw)
        await _asked(slow)
        await link.send(b"0\r\n\r\n")
        slow.release()
        assert (await link.response())[0] == 200  # sealed, whatever is inside
        await settled(lambda: len(ours.lines) == 1)
    assert ours.lines[0].outcome == REFUSED
    assert app.got == []
    await ours.untouched()


async def test_a_refusal_that_waits_for_the_epoch_is_freed_with_its_client(
    ours: Served, slow: SlowReplays, app: App
) -> None:
    old = sign_call(ours.peer, ours.folder, "site", b"/peer", now=1.0)
    async with connected(ours.port) as link:
        await link.send(old.raw)
        await settled(lambda: bool(ours.relays))
        await asyncio.sleep(0.05)
        assert not ours.lines
        link.reset()
        await settled(lambda: len(ours.lines) == 1)
        assert ours.lines[0].outcome == LEFT
    async with connected(ours.port) as link:
        await link.send(old.raw)
        await settled(lambda: len(ours.relays) == 2)
        slow.release()
        assert (await link.response())[0] == Code.OUT_OF_TIME.status
    assert app.got == []
    await ours.untouched()
