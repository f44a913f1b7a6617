"""Both bodies of a sealed call stream: in time, in constant memory, and no faster than is read."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE, soon
from tests.wire.harness.raw import Raw, RawConnection, read_message, request

if TYPE_CHECKING:
    from .conftest import World
    from .harness.recorder import Accepted

MIB = 1 << 20
PROMPT = 2.0
"""Seconds within which what was sent is there, on a machine that has other things to do."""
CHUNKED = ("Transfer-Encoding", "chunked")
IN_FLIGHT = 10**6
"""Bytes of memory that a body takes on its way, ..."""
AT_ONCE = 8
"""... of so many at once, above what the proxies had in use after as many small ones."""
ENOUGH = 192 * MIB
"""Bytes that never fit into all buffers of the kernel between two ends."""


@pytest.fixture
def live(sealed: World) -> World:
    """The cast, with a relay that passes every byte on as it comes."""
    sealed.meddler.stream()
    return sealed


def begin(
    world: World, method: str = "POST", *fields: tuple[str, str], length: int | None = None
) -> RawConnection:
    """Send the head of a call to Bob's app ``live``; return the connection."""
    framing = [CHUNKED] if length is None else [("Content-Length", str(length))]
    own = [("Host", "portal_core"), ("Portal-Token", world.eda.token("live")), *fields]
    path = f"/internal/call_peer/{world.bob.id}/live"
    wire = RawConnection(world.eda.apps)
    wire.send(request(method, path, *own, *(framing if method == "POST" else ())))
    return wire


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def head_of(wire: RawConnection) -> Raw:
    return Raw(wire.until(b"\r\n\r\n"), b"")


def next_piece(wire: RawConnection) -> bytes:
    size = int(wire.until(b"\r\n"), 16)
    data = wire.exactly(size)
    assert wire.exactly(2) == b"\r\n"
    return data


START = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


# --- in time -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [None, 10 * 100, 10 * 10_000])
def test_the_response_comes_while_the_request_is_on_its_way(
    live: World, length: int | None
) -> None:
    """A conversation: each piece is answered before the next one is sent."""
    size = (length or 500) // 10

    def echo(wire: Accepted) -> None:
        head = head_of(wire)
        wire.send(START)
        for _ in range(10):
            data = wire.exactly(size) if head.all("content-length") else next_piece(wire)
            wire.send(piece(data))
        if not head.all("content-length"):
            wire.until(b"0\r\n\r\n")  # what is unread when it closes would cost it its response
        wire.send(b"0\r\n\r\n")

    live.live.act = echo
    with begin(live, length=length) as wire:
        for number in range(9):
            said = bytes([number]) * size
            start = time.monotonic()
            wire.send(said if length else piece(said))
            if not number:
                assert head_of(wire).status == 200
            heard = b""
            while len(heard) < size:
                heard += next_piece(wire)
            assert heard == said
            assert time.monotonic() - start < soon(PROMPT)
        last = b"z" * size
        wire.send(last if length else piece(last) + b"0\r\n\r\n")
        assert wire.until(b"0\r\n\r\n").replace(b"\r\n", b"").count(b"z") == size


@pytest.mark.parametrize("framing", ["chunked", "until the end", "a length"])
def test_events_arrive_as_they_are_sent(live: World, framing: str) -> None:
    """Each is there before the app sends the next one."""
    events = [b"data: %d\n\n" % number for number in range(20)]
    heard = threading.Semaphore(0)
    fields = {
        "chunked": b"Transfer-Encoding: chunked",
        "until the end": b"Connection: close",
        "a length": b"Content-Length: %d" % len(b"".join(events)),
    }

    def send_events(wire: Accepted) -> None:
        head_of(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n\r\n"
                  % fields[framing])  # fmt: skip
        for event in events:
            wire.send(piece(event) if framing == "chunked" else event)
            heard.acquire(timeout=PATIENCE)
        if framing == "chunked":
            wire.send(b"0\r\n\r\n")

    live.live.act = send_events
    with begin(live, "GET") as wire:
        head = head_of(wire)
        assert head.one("content-type") == b"text/event-stream"
        for number, event in enumerate(events):
            start = time.monotonic()
            if framing == "a length" and number == len(events) - 1:
                heard.release()  # the last one waits for the end
            assert event in wire.until(event)
            assert time.monotonic() - start < soon(PROMPT)
            heard.release()


@pytest.mark.parametrize("length", [None, 4, 1 << 20])
def test_a_head_comes_before_its_body(live: World, length: int | None) -> None:
    asked = threading.Event()
    size = length or 4

    def wait(wire: Accepted) -> None:
        head_of(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length if length else START)
        asked.wait(PATIENCE)
        wire.send(bytes(size) if length else piece(bytes(size)) + b"0\r\n\r\n")

    live.live.act = wait
    with begin(live, "GET") as wire:
        wire.put_back(wire.until(b"\r\n\r\n"))
        asked.set()
        assert wire.read().body == bytes(size)


@pytest.mark.parametrize("length", [None, 4, 1 << 20])
def test_a_request_reaches_the_app_before_its_body_is_there(
    live: World, length: int | None
) -> None:
    arrived = threading.Event()
    size = length or 4

    def answer_late(wire: Accepted) -> None:
        head = wire.until(b"\r\n\r\n")
        arrived.set()
        wire.put_back(head)
        assert read_message(wire).body == bytes(size)
        wire.send(START + b"0\r\n\r\n")

    live.live.act = answer_late
    with begin(live, length=length) as wire:
        assert arrived.wait(PATIENCE)
        wire.send(bytes(size) if length else piece(bytes(size)) + b"0\r\n\r\n")
        assert wire.read().status == 200


# --- no more than is read ------------------------------------------------------------------


class Pouring:
    """Somebody who writes as fast as they may, up to ``size`` bytes."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self.written = 0
        self._connection = connection
        self._size = size
        self._thread = threading.Thread(target=self._pour, daemon=True)
        self._thread.start()

    def _pour(self) -> None:
        data = memoryview(bytes(1 << 18))
        with suppress(OSError):
            while self.written < self._size:
                self.written += self._connection.send(data[: self._size - self.written])

    def wait(self) -> None:
        """Wait until all is written."""
        self._thread.join()

    def is_stuck(self) -> bool:
        """Tell whether nothing has moved for half a second."""
        before = self.written
        time.sleep(0.5)
        return self.written == before


def stops(world: World, pouring: Pouring) -> bool:
    """Tell whether it stops long before the end, at nobody's expense."""
    before = [portal.memory() for portal in (world.eda, world.bob)]
    end = time.monotonic() + PATIENCE
    while not pouring.is_stuck():
        assert time.monotonic() < end
    after = [portal.memory() for portal in (world.eda, world.bob)]
    assert max(b - a for a, b in zip(before, after, strict=True)) < 2 * MIB
    return pouring.written < ENOUGH // 2


def drain(wire: RawConnection, size: int) -> None:
    """Read ``size`` bytes, and keep none."""
    while size > 0:
        data = wire.exactly(min(size, MIB))
        size -= len(data)


def test_an_app_that_does_not_read_stops_who_writes_to_it(live: World) -> None:
    may_read = threading.Event()

    def read_late(wire: Accepted) -> None:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        head_of(wire)
        may_read.wait(PATIENCE)
        drain(wire, ENOUGH)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    live.live.act = read_late
    with begin(live, length=ENOUGH) as wire:
        pouring = Pouring(wire.socket, ENOUGH)
        assert stops(live, pouring)
        may_read.set()
        assert wire.read().body == b"ok"
        assert pouring.written == ENOUGH


def test_a_caller_that_does_not_read_stops_the_app_that_answers(live: World) -> None:
    poured: list[Pouring] = []
    began = threading.Event()

    def pour(wire: Accepted) -> None:
        head_of(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENOUGH)
        poured.append(Pouring(wire.socket, ENOUGH))
        began.set()
        poured[0].wait()

    live.live.act = pour
    with begin(live, "GET") as wire:
        wire.until(b"\r\n\r\n")
        assert began.wait(PATIENCE)
        assert stops(live, poured[0])
        wire.put_back(b"")
        drain(wire, ENOUGH - len(wire._buffer))
        assert poured[0].written == ENOUGH


# --- in constant memory --------------------------------------------------------------------


def move(world: World, method: str, size: int, at_once: int = 1) -> None:
    """Send bodies of ``size`` bytes to the app, or get them from it."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    def serve(wire: Accepted) -> None:
        if head_of(wire).first_line.startswith(b"POST"):
            drain(wire, size)
            wire.send(head % 2 + b"ok")
        else:
            wire.send(head % size)
            Pouring(wire.socket, size).wait()

    def one() -> bool:
        with begin(world, method, length=size) as wire:
            if method == "POST":
                pouring = Pouring(wire.socket, size)
                return wire.read().body == b"ok" and pouring.written == size
            assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            drain(wire, size)
            return True

    world.live.act = serve
    with ThreadPoolExecutor(at_once) as pool:
        assert all(pool.map(lambda _: one(), range(at_once)))


def peaks(world: World, method: str, size: int, at_once: int = 1) -> list[int]:
    """Return the most memory that each proxy had in use meanwhile."""
    for portal in (world.eda, world.bob):
        portal.forget_peak()
    move(world, method, size, at_once)
    return [portal.peak() for portal in (world.eda, world.bob)]


def restart(world: World, method: str) -> None:
    """Begin with new processes: one that had large bodies has memory left for others.

    They know each other, and have had as many calls at once as are to come.
    """
    for portal in (world.eda, world.bob):
        portal.stop()
        portal.start()
    for _ in range(2):
        move(world, method, 1000, AT_ONCE)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells how much memory was used"
)


@needs_proc
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_memory_does_not_grow_with_a_body(live: World, method: str) -> None:
    for size in (MIB, 8 * MIB):
        move(live, method, size)
    small = peaks(live, method, 8 * MIB)
    large = peaks(live, method, 64 * MIB)
    assert max(after - before for before, after in zip(small, large, strict=True)) < MIB


@pytest.mark.more
@needs_proc
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_in_flight_takes_little_memory(live: World, method: str) -> None:
    restart(live, method)
    before = [portal.memory() for portal in (live.eda, live.bob)]
    found = peaks(live, method, 8 * MIB, AT_ONCE)
    assert max(peak - idle for peak, idle in zip(found, before, strict=True)) < AT_ONCE * IN_FLIGHT


@pytest.mark.more
@needs_proc
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_that_nobody_takes_takes_little_memory(live: World, method: str) -> None:
    """All buffers on the way are full: those of both proxies together are meant."""
    restart(live, method)
    before = live.eda.memory() + live.bob.memory()
    for portal in (live.eda, live.bob):
        portal.forget_peak()
    over = threading.Event()
    pouring: list[Pouring] = []

    def serve(wire: Accepted) -> None:
        head_of(wire)
        if method == "GET":
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENOUGH)
            pouring.append(Pouring(wire.socket, ENOUGH))
        over.wait(PATIENCE)

    live.live.act = serve
    with ExitStack() as stack:
        wires = [stack.enter_context(begin(live, method, length=ENOUGH)) for _ in range(AT_ONCE)]
        stack.callback(over.set)
        if method == "POST":
            pouring += [Pouring(wire.socket, ENOUGH) for wire in wires]
        else:
            for wire in wires:
                wire.until(b"\r\n\r\n")
        while not all([one.is_stuck() for one in pouring]):  # noqa: C419 - each has to be looked at
            pass
        found = live.eda.peak() + live.bob.peak()
    assert all(one.written < ENOUGH for one in pouring)
    assert found - before < AT_ONCE * IN_FLIGHT


@needs_proc
@pytest.mark.more
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_gibibyte_takes_no_more_memory_than_a_small_body(live: World, method: str) -> None:
    move(live, method, 64 * MIB)
    before = [portal.memory() for portal in (live.eda, live.bob)]
    found = peaks(live, method, 1024 * MIB)
    assert max(peak - idle for peak, idle in zip(found, before, strict=True)) < IN_FLIGHT
