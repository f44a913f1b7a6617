"""What an app behind the proxy gets is exactly one request for each that was accepted.

The bytes that arrived at the app are read with a parser that shares nothing with ours.
"""

import asyncio
from contextlib import suppress

import pytest

from proxy.http.client.engine import Http1Upstream
from tests.core.http1 import requests
from tests.http.ends import Link, connected, listening, scripted, settled
from tests.http.strict import parse_requests
from tests.http.through import PassThrough

_SECOND = b"GET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"


class _App:
    """Reads with no parser at all, and answers whatever looks like the end of a request."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []

    async def __call__(self, link: Link) -> None:
        got = bytearray()
        self.received.append(got)
        answered = 0
        while data := await link.reader.read(1 << 18):
            got += data
            with suppress(ValueError):
                whole = len(parse_requests(bytes(got)))
                for _ in range(whole - answered):
                    await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                answered = whole


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
async def test_an_accepted_request_is_one_for_the_app_and_a_refused_one_none(
    http1: Http1Upstream, row: requests.Row
) -> None:
    app = _App()
    async with scripted(app) as server, listening(PassThrough(http1, server.to)) as listener:
        async with connected(listener.port) as link:
            await link.send(row.forged + _SECOND)
            assert (await link.response())[0] == row.status
            assert await link.is_ended()
        assert app.received == []
        async with connected(listener.port) as link:
            await link.send(row.twin + _SECOND)
            # What follows a request of HTTP/1.0 that doesn't ask for more isn't read.
            followed = b" HTTP/1.1\r\n" in row.twin
            for _ in range(1 + followed):
                assert (await link.response())[2] == b"ok"
    first, *others = (request for got in app.received for request in parse_requests(bytes(got)))
    assert first.body == row.body
    assert first.target == row.twin.lstrip().split(b" ")[1]
    assert not any(name.startswith(b"x-ptl-") for name, _ in first.fields)
    assert [other.target for other in others] == [b"/second"] * followed


@pytest.mark.parametrize("row", requests._CHUNKS, ids=str)
async def test_a_body_that_turns_bad_on_the_way_never_ends_well_at_the_app(
    http1: Http1Upstream, row: requests.Row
) -> None:
    """The head has gone out already when the mistake comes in: the app must see it broken off."""
    app = _App()
    end = row.forged.index(b"\r\n\r\n") + 4
    async with scripted(app) as server, listening(PassThrough(http1, server.to)) as listener:
        async with connected(listener.port) as link:
            await link.send(row.forged[:end])
            await settled(lambda: app.received and app.received[0])
            await link.send(row.forged[end:] + _SECOND)
            assert (await link.response())[0] == row.status
            assert await link.is_ended()
        await settled(lambda: not listener.state.tasks)
        await asyncio.sleep(0)
    (got,) = app.received
    with pytest.raises(ValueError, match=r"line end|chunk"):
        parse_requests(bytes(got))
