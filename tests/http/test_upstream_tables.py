"""The table of responses through each engine: whole, in pieces, cut short, over real sockets."""

import asyncio

import pytest

from proxy.http.client import pool
from proxy.http.upstream import Upstream, UpstreamFailed, UpstreamRequest, UpstreamTimeouts
from tests.core.http1 import responses
from tests.core.http1.driving import read_response
from tests.http.ends import Link, Script, Server, scripted

_SOON = UpstreamTimeouts(5.0, 5.0, 5.0)
_CUT = [row for row in responses.ROWS if not row.until_close]


async def fetch(engine: Upstream, server: Server, row: responses.Row) -> tuple[int, object, bytes]:
    """Ask for what ``row`` describes; return status, fields and body."""
    fields = [(b"host", b"app.example")]
    if row.upgrade:
        fields += [(b"connection", b"upgrade"), (b"upgrade", b"x")]
    request = UpstreamRequest(server.to, row.method, b"/", tuple(fields), timeouts=_SOON)
    async with engine.send(request) as response:
        body = b"".join([piece async for piece in response.pieces()])
    return response.status, response.fields, body


def _answering(*pieces: bytes) -> Script:
    async def script(link: Link) -> None:
        await link.head()
        for piece in pieces:
            await link.send(piece)

    return script


@pytest.mark.parametrize("row", responses.ROWS, ids=str)
async def test_a_forged_response_fails(engine: Upstream, row: responses.Row) -> None:
    async with scripted(_answering(row.forged)) as server:
        with pytest.raises(UpstreamFailed) as failure:
            await fetch(engine, server, row)
    assert failure.value.sent
    assert server.connections == 1


@pytest.mark.parametrize("row", responses.ROWS, ids=str)
async def test_its_harmless_twin_arrives_unchanged(engine: Upstream, row: responses.Row) -> None:
    (head,) = read_response([row.twin], row.method, upgrade=row.upgrade).heads
    half = len(row.twin) // 2
    for pieces in ((row.twin,), (row.twin[:half], row.twin[half:])):
        async with scripted(_answering(*pieces)) as server:
            status, fields, body = await fetch(engine, server, row)
        assert (status, body) == (row.status, row.body)
        assert fields == tuple(head.fields)


@pytest.mark.parametrize("row", _CUT, ids=str)
async def test_a_response_that_is_cut_short_fails(engine: Upstream, row: responses.Row) -> None:
    for left_out in (1, max(len(row.twin) // 4, 2)):
        async with scripted(_answering(row.twin[:-left_out])) as server:
            with pytest.raises(UpstreamFailed):
                await fetch(engine, server, row)


@pytest.mark.parametrize("row", responses.ENDED_WITH_HEAD, ids=str)
async def test_a_body_behind_a_head_that_is_all_is_dropped_with_its_connection(
    engine: Upstream, row: responses.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the server's pause may be longer than a connection rests else.
    monkeypatch.setattr(pool, "REST", 60.0)
    head, behind = row.twin, row.forged[len(row.twin) :]

    async def keeping(link: Link) -> None:
        while await link.head():
            await link.send(row.forged)

    async def pausing(link: Link) -> None:
        while await link.head():
            await link.send(head)
            await asyncio.sleep(0.005)
            await link.send(behind)

    for script in (keeping, pausing):
        async with scripted(script) as server:
            for _ in range(3):
                assert (await fetch(engine, server, row))[::2] == (row.status, b"")
            assert server.connections == 3
