"""httpx as the commands use it; that it carries bytes as they are is for ``tests/http``."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from proxy.cli.http_client import HttpxUpstream, cause_of, unverified_tls
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination, UpstreamFailed, UpstreamRequest, UpstreamTimeouts
from tests.certificates import Authority
from tests.http.ends import Link, scripted

if TYPE_CHECKING:
    from pathlib import Path


async def asked(to: Destination, *, tls: ssl.SSLContext | None = None, read: float = 10.0) -> int:
    """Return the status of a response; raises ``UpstreamFailed``."""
    upstream = HttpxUpstream(tls or unverified_tls())
    request = UpstreamRequest(
        to, b"GET", b"/", ((b"host", b"x"),), None, UpstreamTimeouts(read=read)
    )
    try:
        async with upstream.send(request) as response:
            return response.status
    finally:
        await upstream.close()


async def _ok(link: Link) -> None:
    await link.head()
    await link.send(b"HTTP/1.1 204 No Content\r\n\r\n")


async def _other(link: Link) -> None:
    await link.head()
    await link.send(b"SSH-2.0-x\r\n\r\n")


async def _nothing(link: Link) -> None:
    await link.head()


async def _reset(link: Link) -> None:
    await link.head()
    link.reset()


async def _silence(link: Link) -> None:
    await link.head()
    await link.rest()


async def test_what_the_system_says_is_found_beneath_what_httpx_does(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    origin = Origin("http", "nowhere.invalid", 80)
    for to, kind in (
        (Destination(origin, connect=("127.0.0.1", port)), ConnectionRefusedError),
        (Destination(origin, unix=str(tmp_path / "nosuch")), FileNotFoundError),
        (Destination(origin), socket.gaierror),
    ):
        with pytest.raises(UpstreamFailed) as failed:
            await asked(to)
        assert isinstance(cause_of(failed.value), kind)
        assert not failed.value.sent


async def test_what_breaks_off_is_told_from_what_isn_t_http() -> None:
    for script, kind in ((_reset, ConnectionResetError), (_other, None), (_nothing, None)):
        async with scripted(script) as server:
            with pytest.raises(UpstreamFailed) as failed:
                await asked(server.to)
            cause = cause_of(failed.value)
            assert type(cause) is (kind or type(None))
            assert failed.value.sent


async def test_silence_is_a_timeout() -> None:
    async with scripted(_silence) as server:
        with pytest.raises(UpstreamFailed) as failed:
            await asked(server.to, read=0.05)
    assert failed.value.timeout


async def test_a_certificate_of_nobody_s_is_taken_without_verifying_alone(tmp_path: Path) -> None:
    certificate, key = Authority().issue("other.example")
    (tmp_path / "both.pem").write_bytes(certificate + key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "both.pem")
    async with scripted(_ok, tls=serving) as server:
        assert await asked(server.to) == 204
        with pytest.raises(UpstreamFailed) as failed:
            await asked(server.to, tls=ssl.create_default_context())
        assert isinstance(cause_of(failed.value), ssl.SSLCertVerificationError)


async def test_who_doesn_t_speak_tls_is_a_fault_of_tls() -> None:
    async with scripted(_other) as server:
        origin = Origin("https", "127.0.0.1", 443)
        with pytest.raises(UpstreamFailed) as failed:
            await asked(Destination(origin, connect=server.to.connect))
    assert not failed.value.sent
