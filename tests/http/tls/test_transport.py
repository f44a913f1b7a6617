"""The transport over real sockets, with OpenSSL's own TLS on the other side."""

import asyncio
import gc
import os
import socket
import ssl
import weakref

import pytest

from tests.http.ends import descriptors, settled
from tests.http.tls.sides import Notes, sides

_BIG = os.urandom(1 << 20)
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def both(request: pytest.FixtureRequest, certificate: str, serving: ssl.SSLContext) -> Contexts:
    """Give the contexts of both sides, which speak one version."""
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.minimum_version = trusting.maximum_version = request.param
    return serving, trusting


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
async def test_bytes_pass_both_ways_whatever_the_pieces(both: Contexts, step: int) -> None:
    async with sides(*both, step=step) as (ours, other):
        ours.transport.write(b"hello")
        assert await other.read() == b"hello"
        for size in (1, 16_384, 16_385, 100_000, 1 << 20):
            ours.got.clear()
            sending = asyncio.create_task(other.send(_BIG[:size]))
            await settled(lambda size=size: len(ours.got) == size)  # type: ignore[misc]
            await sending
            assert ours.got == _BIG[:size]


@pytest.mark.parametrize("size", [1, 1000, 16_384, 65_536])
async def test_any_buffer_of_the_protocol_is_filled(both: Contexts, size: int) -> None:
    async with sides(*both, Notes(size)) as (ours, other):
        sending = asyncio.create_task(other.send(_BIG[:50_000]))
        await settled(lambda: len(ours.got) == 50_000)
        await sending
        assert ours.got == _BIG[:50_000]


async def test_records_in_pieces_of_any_size_are_put_together(both: Contexts) -> None:
    async with sides(*both) as (ours, other):
        other.tls.write(_BIG[:3000])
        other.tls.write(b"")
        other.tls.write(_BIG[3000:40_000])
        data = other.outgoing.read()
        at, size = 0, 1
        while at < len(data):
            await asyncio.to_thread(other.socket.sendall, data[at : at + size])
            await asyncio.sleep(0)
            at, size = at + size, size % 700 + 1
        await settled(lambda: len(ours.got) == 40_000)
        assert ours.got == _BIG[:40_000]


async def test_a_slow_reader_gets_all_and_its_writer_is_asked_to_pause(both: Contexts) -> None:
    async with sides(*both, buffer=4096) as (ours, other):
        ours.transport.write(_BIG)
        assert ours.told == ["pause"]
        assert ours.transport.get_write_buffer_size() > len(_BIG) // 2
        ours.transport.close()
        assert ours.transport.is_closing()
        await asyncio.sleep(0.05)
        assert ours.told == ["pause"]
        assert await other.read_all() == _BIG
        await settled(lambda: ours.is_lost)
        assert ours.told == ["pause", "resume", "lost"]
        assert ours.lost is None


async def test_what_comes_while_reading_is_paused_waits(both: Contexts) -> None:
    async with sides(*both, Notes(1000)) as (ours, other):
        ours.transport.pause_reading()
        assert not ours.transport.is_reading()
        await other.send(_BIG[:20_000])
        await asyncio.sleep(0.05)
        assert not ours.got
        ours.transport.resume_reading()
        await settled(lambda: len(ours.got) == 20_000)
        assert ours.got == _BIG[:20_000]


class _PausesOften(Notes):
    """Pauses at each piece, and goes on in the loop's next turn."""

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)


async def test_a_protocol_that_pauses_at_each_piece_gets_all_and_the_end(both: Contexts) -> None:
    async with sides(*both, _PausesOften(3000)) as (ours, other):
        await other.send(_BIG[:50_000])
        await other.end()
        await settled(lambda: ours.is_lost)
        assert ours.got == _BIG[:50_000]
        assert ours.told == ["eof", "lost"]


async def test_our_end_leaves_the_other_way_open(both: Contexts) -> None:
    async with sides(*both) as (ours, other):
        ours.transport.write(b"bye")
        ours.transport.write_eof()
        assert await other.read_all() == b"bye"
        await other.send(b"one more thing")
        await settled(lambda: ours.got)
        assert ours.got == b"one more thing"
        with pytest.raises(RuntimeError):
            ours.transport.write(b"more")


@pytest.mark.parametrize("size", [10, 1000, 65_536])
async def test_our_end_loses_nothing_that_came_before_it(both: Contexts, size: int) -> None:
    async with sides(*both, Notes(size)) as (ours, other):
        ours.transport.pause_reading()
        await other.send(_BIG[:30_000])
        ours.transport.resume_reading()
        await settled(lambda: ours.got)
        ours.transport.pause_reading()
        ours.transport.write_eof()
        assert await other.read_all() == b""
        await other.send(b"behind it")
        ours.transport.resume_reading()
        await settled(lambda: len(ours.got) == 30_009)
        assert ours.got == _BIG[:30_000] + b"behind it"


async def test_our_end_stands_behind_all_that_waits(both: Contexts) -> None:
    async with sides(*both, buffer=4096) as (ours, other):
        ours.transport.write(_BIG)
        ours.transport.write_eof()
        assert await other.read_all() == _BIG
        await other.send(b"heard")
        await settled(lambda: ours.got)
        assert not ours.is_lost


async def test_the_other_side_s_end_leaves_ours_open_for_who_wants_it(both: Contexts) -> None:
    async with sides(*both, Notes(keeps_open=True)) as (ours, other):
        await other.send(b"question")
        await other.end()
        await settled(lambda: ours.told == ["eof"])
        assert ours.got == b"question"
        assert ours.transport.get_extra_info("ended_properly")
        ours.transport.write(b"answer")
        ours.transport.close()
        assert await other.read_all() == b"answer"
        await settled(lambda: ours.is_lost)


async def test_an_end_without_tls_s_own_is_told_apart(both: Contexts) -> None:
    async with sides(*both) as (ours, other):
        await other.send(b"half of it")
        await settled(lambda: ours.got)
        other.socket.shutdown(socket.SHUT_WR)
        await settled(lambda: ours.is_lost)
        assert ours.told == ["eof", "lost"]
        assert not ours.transport.get_extra_info("ended_properly")


async def test_who_aborts_says_no_end(both: Contexts) -> None:
    async with sides(*both, buffer=4096) as (ours, other):
        ours.transport.write(_BIG)
        ours.transport.abort()
        await settled(lambda: ours.is_lost)
        with pytest.raises((ssl.SSLEOFError, ConnectionError)):
            await other.read_all()
        ours.transport.write(b"to nobody")
        ours.transport.close()
        ours.transport.abort()
        await asyncio.sleep(0)
        assert ours.told.count("lost") == 1


async def test_a_reset_is_told_as_an_error(both: Contexts) -> None:
    async with sides(*both, buffer=4096) as (ours, other):
        ours.transport.write(_BIG)
        other.socket.close()
        await settled(lambda: ours.is_lost)
        assert isinstance(ours.lost, ConnectionError)


async def test_what_isn_t_tls_ends_the_connection(both: Contexts) -> None:
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x20" + b"x" * 32, b"\xff" * 70_000):
        async with sides(*both) as (ours, other):
            await asyncio.to_thread(other.socket.sendall, junk)
            await settled(lambda ours=ours: ours.is_lost)  # type: ignore[misc]
            assert isinstance(ours.lost, ssl.SSLError)
            assert not ours.got


async def test_who_renegotiates_without_end_is_cut_off(certificate: str) -> None:
    """Each attempt is answered with an alert, which a client that doesn't read leaves to us."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    serving.options |= ssl.OP_NO_RENEGOTIATION
    trusting = ssl.create_default_context(cafile=certificate)
    async with sides(serving, trusting) as (ours, _):
        ours.transport._unasked = 1 << 20
        ours.transport._stream.tls.write(b"x")
        ours.transport._send_unasked()
        await settled(lambda: ours.is_lost)
        assert isinstance(ours.lost, ConnectionAbortedError)


async def test_limits_of_what_waits_can_be_set(both: Contexts) -> None:
    async with sides(*both, buffer=4096) as (ours, other):
        ours.transport.set_write_buffer_limits(high=1 << 30)
        ours.transport.write(_BIG)
        assert ours.told == []
        ours.transport.set_write_buffer_limits(high=0)
        assert ours.told == ["pause"]
        reading = asyncio.create_task(other.read_all())
        await settled(lambda: ours.told == ["pause", "resume"])
        assert ours.transport.get_write_buffer_size() == 0
        ours.transport.close()
        assert await reading == _BIG


async def test_nothing_is_left_of_it(both: Contexts) -> None:
    before = descriptors()
    gc.disable()
    try:
        async with sides(*both) as (ours, other):
            await other.send(b"hi")
            await settled(lambda: ours.got)
            gone = weakref.ref(ours.transport), weakref.ref(ours.transport._stream.tls)
            ours.transport.close()
            await settled(lambda: ours.is_lost)
            del ours.transport
            await asyncio.sleep(0)
            assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
    assert descriptors() == before
