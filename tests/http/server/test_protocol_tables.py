"""The table of requests at the listener: what the app saw, or the refusal on the wire."""

import json

import pytest

from tests.core.http1 import requests
from tests.core.http1.driving import read_request
from tests.http.ends import Link, Recorder, connected, listening


async def _refusal(link: Link) -> int:
    status, fields, body = await link.response()
    assert fields[b"content-type"] == b"application/problem+json"
    assert fields[b"connection"] == b"close"
    assert fields[b"portal-refusal"].decode() == json.loads(body)["code"]
    assert json.loads(body)["status"] == status
    assert await link.is_ended()
    return status


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
async def test_what_is_forged_never_reaches_the_app(row: requests.Row) -> None:
    app = Recorder()
    async with listening(app) as listener:
        async with connected(listener.port) as link:
            await link.send(row.forged)
            assert await _refusal(link) == row.status
        assert app.started == 0
        half = len(row.forged) // 2
        async with connected(listener.port) as link:
            await link.send(row.forged[:half])
            await link.send(row.forged[half:])
            assert 400 <= await _refusal(link) < 600
    assert app.seen == []


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
async def test_its_harmless_twin_reaches_the_app_unchanged(row: requests.Row) -> None:
    app = Recorder()
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(row.twin)
        assert (await link.response())[2] == row.body
    (head,) = read_request([row.twin]).heads
    assert app.seen == [(row.twin.split(b" ")[1], list(head.fields), row.body)]
