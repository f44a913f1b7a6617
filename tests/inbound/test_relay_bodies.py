"""Bodies both ways at once, over real sockets, where one end or both take their time."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.core.log_line import ANSWERED, LEFT, REFUSED
from proxy.transfer.relay import At
from tests.http.ends import Link, connected, settled
from tests.inbound.served import read_request, served

if TYPE_CHECKING:
    from pathlib import Path

_MUCH = b"r" * (8 << 20)
_CHUNKED = b"transfer-encoding: chunked"


def _chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


async def _large_in_old_http(link: Link) -> None:
    """Answer with much, by a server of HTTP/1.0."""
    await read_request(link)
    await link.send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_MUCH) + _MUCH)


async def test_a_large_response_to_a_spooled_body_reaches_a_slow_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the client takes more, it is the app's response that goes on, not the body."""
    async with (
        served(tmp_path, _large_in_old_http, monkeypatch) as ours,
        connected(ours.port, buffer=8192) as link,
    ):
        await link.send(ours.request(b"POST / HTTP/1.1", _CHUNKED, body=_chunks(b"x" * 500)))
        await link.head()
        await asyncio.sleep(0.1)  # it is paused meanwhile
        assert await link.exactly(len(_MUCH)) == _MUCH
        await settled(lambda: len(ours.lines) == 1)
        assert ours.lines[0].outcome == ANSWERED
        await ours.untouched()


_SPOOLED = b"y" * (4 << 20)


async def _head_before_body(link: Link) -> None:
    """Begin to answer, by a server of HTTP/1.0, before the body was read."""
    head = await link.head()
    if head.startswith(b"OPTIONS"):
        await link.send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        return
    await link.send(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n")
    await asyncio.sleep(0.1)
    assert await link.exactly(len(_SPOOLED)) == _SPOOLED
    await link.send(b"done")


async def test_a_spooled_body_goes_on_behind_the_response_s_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(tmp_path, _head_before_body, monkeypatch) as ours,
        connected(ours.port) as link,
    ):
        await link.send(ours.request(b"POST / HTTP/1.1", _CHUNKED, body=_chunks(_SPOOLED)))
        assert (await link.response())[2] == b"done"
        await ours.untouched()


async def _early(link: Link) -> None:
    """Answer all at once, and read nothing more."""
    head = await link.head()
    if not head.startswith(b"OPTIONS"):
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_MUCH) + _MUCH)
        await asyncio.Event().wait()


async def test_a_client_that_sends_all_before_it_reads_gets_an_early_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app doesn't read on. Once its response is whole, the rest of the body is read past."""
    more = b"z" * (32 << 20)
    async with (
        served(tmp_path, _early, monkeypatch) as ours,
        connected(ours.port, buffer=8192) as link,
    ):
        length = b"content-length: %d" % len(more)
        sending = asyncio.create_task(
            link.send(ours.request(b"POST / HTTP/1.1", length, body=more))
        )
        await link.head()
        assert await link.exactly(len(_MUCH)) == _MUCH
        await settled(lambda: len(ours.lines) == 1)
        assert ours.lines[0].outcome == ANSWERED
        link.reset()
        await asyncio.wait((sending,))
        await ours.untouched()


async def test_a_client_that_closes_its_side_while_it_gets_its_response_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it reads on. The rest goes out all the same, as far as it is taken."""
    some = b"s" * 50_000

    async def app(link: Link) -> None:
        await link.head()
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(some) + some)

    async with (
        served(tmp_path, app, monkeypatch) as ours,
        connected(ours.port, buffer=4096) as link,
    ):
        link.stop_reading()
        await settled(lambda: ours.listener.state.connections)
        (connection,) = ours.listener.state.connections
        ours_of_it = cast("Any", connection)._transport.get_extra_info("socket")
        ours_of_it.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await link.send(ours.request())
        await settled(lambda: ours.relays and ours.relays[0]._at is At.DELIVERING)
        link.end()
        await settled(lambda: len(ours.lines) == 1)
        assert (ours.lines[0].outcome, ours.lines[0].status) == (LEFT, 200)
        await ours.untouched()
        cast("asyncio.Transport", link.writer.transport).resume_reading()
        await link.head()
        assert await link.exactly(len(some)) == some
        assert await link.is_ended()


async def test_an_envelope_that_cannot_begin_is_refused_in_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        served(tmp_path, _early, monkeypatch) as ours,
        connected(ours.port) as link,
    ):
        host = b"host: " + ours.folder.host.encode()
        head = b"POST /.well-known/ohttp-gateway HTTP/1.1"
        await link.send(b"\r\n".join((head, host, b"content-length: 2", b"", b"{}")))
        status, fields, _ = await link.response()
        assert (status, fields[b"portal-refusal"]) == (415, b"not_an_envelope")
        await settled(lambda: len(ours.lines) == 1)
        assert ours.lines[0].outcome == REFUSED
