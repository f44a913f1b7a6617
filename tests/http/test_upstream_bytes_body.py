"""A body that is there already arrives as one that streams does, whatever engine carries it."""

import pytest

from proxy.http.client.engine import Http1Upstream
from proxy.http.upstream import BytesBody, Upstream, UpstreamFailed, UpstreamRequest
from tests.http.ends import Link, scripted

_CHUNKED = (b"transfer-encoding", b"chunked")
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_LARGE = bytes(100_000)


@pytest.mark.parametrize(
    ("framing", "body", "on_the_wire"),
    [
        (_CHUNKED, b"", b"0\r\n\r\n"),
        (_CHUNKED, b"body", b"4\r\nbody\r\n0\r\n\r\n"),
        ((b"content-length", b"0"), b"", b""),
        ((b"content-length", b"4"), b"body", b"body"),
        ((b"content-length", b"100000"), _LARGE, _LARGE),
    ],
)
async def test_it_arrives_in_its_framing_and_the_connection_is_kept(
    engine: Upstream, framing: tuple[bytes, bytes], body: bytes, on_the_wire: bytes
) -> None:
    bodies = []

    async def script(link: Link) -> None:
        for _ in range(2):
            await link.head()
            bodies.append(await link.reader.readexactly(len(on_the_wire)))
            await link.send(_NO_CONTENT)

    async with scripted(script) as server:
        for _ in range(2):
            fields = ((b"host", b"a"), framing)
            asked = UpstreamRequest(server.to, b"POST", b"/", fields, BytesBody(body))
            async with engine.send(asked) as response:
                assert response.status == 204
                assert [piece async for piece in response.pieces()] == []
    assert bodies == [on_the_wire] * 2


@pytest.mark.parametrize("length", [b"3", b"5"])
async def test_one_of_another_length_than_it_said_is_never_passed_on(
    http1: Http1Upstream, length: bytes
) -> None:
    async def script(link: Link) -> None:
        await link.head()
        await link.reader.read()

    fields = ((b"host", b"a"), (b"content-length", length))
    async with scripted(script) as server:
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, BytesBody(b"body"))
        with pytest.raises(UpstreamFailed, match=r"than it said|bytes short"):
            async with http1.send(asked):
                pass


async def test_one_that_waits_for_its_invitation_is_not_sent_with_the_head(
    http1: Http1Upstream,
) -> None:
    async def script(link: Link) -> None:
        assert (await link.head()).endswith(b"\r\n\r\n")
        await link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await link.reader.readexactly(4) == b"body"
        await link.send(_NO_CONTENT)

    fields = ((b"host", b"a"), (b"expect", b"100-continue"), (b"content-length", b"4"))
    async with scripted(script) as server:
        asked = UpstreamRequest(server.to, b"POST", b"/", fields, BytesBody(b"body"))
        async with http1.send(asked) as response:
            assert response.status == 204
