"""Handshakes: those that take their time, those that fail, and what is left of them."""

import asyncio
import gc
import socket
import ssl
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from proxy.http.tls.handshakes import HandshakeLimiter
from proxy.http.tls.opening import accept, connect
from proxy.http.tls.stream import TlsStream
from tests.http.ends import descriptors
from tests.http.tls.sides import Notes, Other
from tests.patience import PATIENCE

_RESET = struct.pack("ii", 1, 0)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return our side, which doesn't block, and the other, which does; over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        here, _ = listener.accept()
    here.setblocking(False)  # noqa: FBT003 - the socket API
    return here, there


async def _accept(
    here: socket.socket, context: Callable[[], ssl.SSLContext], patience: float = PATIENCE
) -> Notes:
    return await accept(here, context, Notes, patience, HandshakeLimiter(1), "a")


async def test_before_the_first_byte_nobody_is_asked_for_a_certificate(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    asked = []

    def context() -> ssl.SSLContext:
        asked.append(1)
        return serving

    here, there = _pair()
    with there:
        accepting = asyncio.create_task(_accept(here, context))
        await asyncio.sleep(0.05)
        assert not asked
        await Other(there, trusting).shake()
        ours = await accepting
        assert asked == [1]
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        ours.transport.abort()


def _leaves(there: socket.socket) -> None:
    there.close()


def _resets(there: socket.socket) -> None:
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    there.close()


def _speaks_http(there: socket.socket) -> None:
    there.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def _trusts_nobody(there: socket.socket) -> None:
    with suppress(ssl.SSLError):
        ssl.create_default_context().wrap_socket(there, server_hostname="app.example")


def _leaves_half_way(there: socket.socket) -> None:
    context = ssl.create_default_context()
    stream = TlsStream(context, is_server=False, server_hostname="app.example")
    stream.shake(memoryview(b""))
    there.sendall(stream.take_outgoing()[:100])
    there.close()


_FAILURES = [
    (_leaves, "left before"),
    (_leaves_half_way, "left before"),
    (_resets, "reset"),
    (_speaks_http, "http request"),
    (_trusts_nobody, "unknown ca"),
    (lambda _there: None, "no TLS handshake within 0.1 s"),
]
_IDS = ["leaves", "leaves half way", "resets", "speaks HTTP", "trusts nobody", "is silent"]


@pytest.mark.parametrize(("fails", "reason"), _FAILURES, ids=_IDS)
async def test_a_failed_handshake_says_why_and_leaves_nothing(
    serving: ssl.SSLContext, fails: Callable[[socket.socket], None], reason: str
) -> None:
    async def once() -> str:
        here, there = _pair()
        with there:
            patience = 0.1 if reason.startswith("no TLS") else PATIENCE
            failing = asyncio.create_task(asyncio.to_thread(fails, there))
            try:
                await _accept(here, lambda: serving, patience)
            except OSError as error:
                said = str(error)
            await failing
            assert here.fileno() == -1
        return said

    assert reason in (await once()).lower() or reason in await once()
    before = descriptors()
    with _no_cycles():
        await once()
    assert descriptors() <= before  # what an earlier test left may have gone meanwhile


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Check that the garbage collector finds nothing of TLS."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        left = [each for each in gc.garbage if type(each).__module__ in _OURS]
        assert left == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


_OURS = ("ssl", "_ssl", "socket", "proxy.http.tls.stream", "proxy.http.tls.transport",
         "tests.http.tls.sides")  # fmt: skip


async def test_thousands_of_failed_handshakes_take_no_memory(serving: ssl.SSLContext) -> None:
    async def many(count: int) -> None:
        for _ in range(count):
            here, there = socket.socketpair()
            here.setblocking(False)  # noqa: FBT003 - the socket API
            with there:
                there.sendall(b"\x16\x03\x01\x00\x05hello")
                with pytest.raises(ssl.SSLError):
                    await _accept(here, lambda: serving)

    gc.disable()
    try:
        await many(20)
        tracemalloc.start()
        await many(20)
        before, _ = tracemalloc.get_traced_memory()
        await many(300)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 100 * 300


async def test_a_context_that_can_t_be_had_closes_the_socket() -> None:
    def context() -> ssl.SSLContext:
        raise OSError("no certificate")

    here, there = _pair()
    with there:
        there.sendall(b"x")
        with pytest.raises(OSError, match="no certificate"):
            await _accept(here, context)
        assert here.fileno() == -1


async def test_a_server_is_verified_by_its_name(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    for name, is_known in (("app.example", True), ("other.example", False)):
        here, there = _pair()
        there.setblocking(False)  # noqa: FBT003 - the socket API
        accepting = asyncio.create_task(_accept(here, lambda: serving))
        connecting = connect(there, trusting, name, Notes)
        if is_known:
            theirs, ours = await connecting, await accepting
            theirs.transport.write(b"hello")
            async with asyncio.timeout(PATIENCE):
                while not ours.got:  # noqa: ASYNC110 - a note has no event
                    await asyncio.sleep(0.01)
            theirs.transport.abort()
            ours.transport.abort()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await connecting
            assert there.fileno() == -1
            with pytest.raises(OSError):  # noqa: PT011 - whichever was first
                await accepting


async def test_who_is_cancelled_closes_the_socket(serving: ssl.SSLContext) -> None:
    here, there = _pair()
    with there:
        accepting = asyncio.create_task(_accept(here, lambda: serving))
        await asyncio.sleep(0.01)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        assert here.fileno() == -1
