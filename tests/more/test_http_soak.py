"""The proxy under a hundred thousand requests, with clients and an app that break off and stall.

``SOAK_REQUESTS`` makes it shorter. Afterwards nothing may be left: no connection, no task, no
descriptor, no object, no growing memory.
"""

import asyncio
import gc
import logging
import os
import random
import resource
import time
from collections import Counter

import pytest

from proxy.http.client.connection import Connection
from proxy.http.client.engine import Http1Upstream
from proxy.http.client.exchange import Exchange
from proxy.http.server.exchange import Exchange as ServedExchange
from proxy.http.server.protocol import ServerConnection
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.http.upstream import UpstreamTimeouts
from tests.http.ends import Link, connected, descriptors, listening, scripted, tasks
from tests.http.through import PassThrough

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100000"))
CLIENTS = 48
MINUTES = 6
_SEED = 9110
_SILENCE = 1.5
"""Seconds that the proxy waits for the app."""
_STEP = 0.5
"""The most by which the loop's clock goes on at one look."""
_LIMITS = ConnectionTimeouts(head=2, idle=5, window=1, linger=0.2)
_OURS = (Connection, ServedExchange, Exchange, ServerConnection)
_GOOD = ("plain", "plain", "plain", "big", "early", "until-close", "close", "interim", "chunked")
_BAD = ("stall", "silence", *("reset", "cut", "garbage", "surplus") * 4)
_BREAKS = (ConnectionError, asyncio.IncompleteReadError)


class _Clock:
    """The loop's, which stands still while the machine does: nobody in it can be late for that."""

    def __init__(self) -> None:
        self._now = self._seen = time.monotonic()

    def __call__(self) -> float:
        seen = time.monotonic()
        self._now += min(seen - self._seen, _STEP)
        self._seen = seen
        return self._now


async def _app(link: Link) -> None:
    """Do to each request what its target asks for."""
    while True:
        head = await link.head()
        kind = head.split(b" ")[1].split(b"/")[1].decode()
        size = int(head.split(b" ")[1].split(b"/")[2])
        if kind == "early":
            await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
            return
        if head.startswith(b"POST"):
            await _read_body(link, head)
        body = b"%d" % size
        if kind in ("plain", "big", "close"):
            body = b"x" * (size if kind == "big" else 10)
            extra = b"Connection: close\r\n" if kind == "close" else b""
            await link.send(
                b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body)
            )
            if kind == "close":
                return
        elif kind == "interim":
            await link.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        elif kind == "chunked":
            await link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(5):
                await link.send(b"3\r\nabc\r\n")
                await asyncio.sleep(0)
            await link.send(b"0\r\nX-A: dropped\r\n\r\n")
        elif kind == "until-close":
            await link.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")
            return
        else:
            await _break(link, kind)
            return


async def _break(link: Link, kind: str) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"
    if kind == "reset":
        await link.send(begun)
        link.reset()
    elif kind == "cut":
        await link.send(begun)
    elif kind == "stall":
        await link.send(begun)
        await asyncio.sleep(2 * _SILENCE)
    elif kind == "silence":
        await asyncio.sleep(2 * _SILENCE)
    elif kind == "garbage":
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello")
    else:
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!")


async def _read_body(link: Link, head: bytes) -> None:
    if b": chunked" in head:
        while size := int(await link.until(b"\r\n"), 16):
            await link.exactly(size + 2)
        await link.exactly(2)
    else:
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await link.exactly(int(length))


def _request(dice: random.Random, kind: str) -> bytes:
    size = dice.choice((10, 1000, 300_000))
    target = b"/%b/%d" % (kind.encode(), size)
    if dice.random() < 0.6:
        return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target
    body = b"y" * dice.choice((0, 10, 5000, 150_000))
    head = b"POST %b HTTP/1.1\r\nHost: a\r\n" % target
    if dice.random() < 0.5:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunk


async def _client(port: int, dice: random.Random, turns: "list[None]", seen: Counter[str]) -> None:
    """Ask until no turns are left, over connections that are kept until something breaks."""
    while turns:
        async with connected(port) as link:
            try:
                while turns:
                    turns.pop()
                    if not await _turn(link, dice, seen):
                        break
            except _BREAKS:
                seen["broken"] += 1


async def _turn(link: Link, dice: random.Random, seen: Counter[str]) -> bool:
    """Ask once; tells whether the connection may be used again."""
    luck = dice.random()
    kind = dice.choice(_BAD) if luck < 0.06 else dice.choice(_GOOD)
    request = _request(dice, kind)
    if luck > 0.94:
        # The client breaks off: in the middle of its request, or before its response.
        link.writer.write(request[: dice.randrange(len(request) + 1)])
        await asyncio.sleep(dice.random() * 0.01)
        seen["left"] += 1
        if luck > 0.97:
            link.reset()
        return False
    if luck > 0.92:
        half = len(request) // 2
        await link.send(request[:half])
        await asyncio.sleep(dice.random() * 0.02)
        request = request[half:]
    link.writer.write(request)
    status, fields, body = await link.response()
    if kind in _GOOD:
        # "early" closes with a request unread: the end may overtake what the proxy still sends.
        assert status in (200, 204) or kind == "early", (kind, status)
    else:
        # "surplus" shows only when the last byte of the response has gone on already.
        assert status in (502, 504) or kind == "surplus", (kind, status, body)
    if kind == "plain":
        assert body == b"x" * 10
    seen[f"{kind} {status}"] += 1
    return fields.get(b"connection") != b"close"


async def _phase(count: int, seed: int) -> Counter[str]:
    """Carry ``count`` requests, then close all there is."""
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    engine = Http1Upstream()
    async with scripted(_app, keeps=False) as server:
        proxy = PassThrough(engine, server.to, UpstreamTimeouts(10, _SILENCE, _SILENCE))
        async with listening(proxy, _LIMITS) as listener:
            turns = [None] * count
            async with asyncio.TaskGroup() as clients:
                for _ in range(CLIENTS):
                    own = random.Random(dice.random())
                    clients.create_task(_client(listener.port, own, turns, seen))
    await engine.close()
    return seen


def _peak() -> int:
    """Return the most memory this process had, in KiB (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _left_over() -> tuple[int, Counter[str]]:
    """Return how many objects there are, and those of ours, once everything is closed."""
    for _ in range(3):
        await asyncio.sleep(0.05)
        gc.collect()
    objects = gc.get_objects()
    ours = Counter(type(one).__name__ for one in objects if isinstance(one, _OURS))
    return len(objects), ours


@pytest.mark.more
async def test_a_hundred_thousand_requests_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asyncio.get_running_loop().time = _Clock()  # type: ignore[method-assign]
    # What breaks off is logged; the records that pytest keeps of it aren't what is looked for.
    caplog.set_level(logging.CRITICAL, logger="proxy.http")
    before, running = descriptors(), tasks()
    start = time.monotonic()
    warm_up = REQUESTS // 10
    await _phase(warm_up, _SEED)
    objects, _ = await _left_over()
    peak = _peak()
    async with asyncio.timeout(MINUTES * 60):
        seen = await _phase(REQUESTS - warm_up, _SEED + 1)
    print(f"{time.monotonic() - start:.0f} s", dict(sorted(seen.items())))
    after, ours = await _left_over()
    assert not ours
    assert tasks() <= running
    assert descriptors() <= before
    assert after - objects < 1000
    assert _peak() - peak < 16 * 1024
    assert sum(seen.values()) > 0.9 * (REQUESTS - warm_up)
