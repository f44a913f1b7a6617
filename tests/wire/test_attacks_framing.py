"""Smuggling at a running proxy: the rows of ``tests/core/http1/requests.py``, cut anywhere.

What counts is what came to an app that keeps every byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.core.http1.grammar import RequestHead
from tests.core.http1 import requests
from tests.core.http1.driving import read_request
from tests.wire.harness.raw import RawConnection
from tests.wire.harness.recorder import eventually
from tests.wire.harness.splits import LONGEST, drip, places, responses

if TYPE_CHECKING:
    from .conftest import World

HOSTLESS = {"host_twice_in_http_1_0"}
"""Whose twin names no host: it is well formed, and for nobody here."""
BROKEN_IN_ITS_BODY = ("extensions_many_times_the_content", "chunk_", "extension_", "trailer")


HOSTS = {row.name: b"site.bob.example:%d" % port for port, row in enumerate(requests.ROWS, 1000)}
"""A name of the app that is public for each row, by which what came late is told apart."""


def put(row: requests.Row, data: bytes) -> bytes:
    """Return a row's bytes for that app."""
    return data.replace(b"a.example", HOSTS[row.name])


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
def test_what_is_forged_never_reaches_the_app(world: World, row: requests.Row) -> None:
    forged = put(row, row.forged)
    with RawConnection(world.bob.public) as wire:
        wire.send(forged)
        got = wire.read()
        assert wire.rest() == b"", "a refused message ends its connection"
    assert got.status == row.status
    assert got.one("portal-refusal").decode() == got.code
    assert got.one("connection") == b"close"

    cut = responses(world.bob.public, forged)
    if len(forged) <= LONGEST:
        cut.append(drip(world.bob.public, forged))

    assert {response.status for response in cut} <= {row.status, 400, 431}
    # Before a body without a length the proxy itself may ask what the app speaks.
    assert [got.first_line for got in world.bob_app.requests] == []
    if not row.name.startswith(BROKEN_IN_ITS_BODY):
        assert HOSTS[row.name] not in world.bob_app.received


@pytest.mark.parametrize("row", requests.ROWS, ids=str)
def test_its_harmless_twin_reaches_the_app_unchanged(world: World, row: requests.Row) -> None:
    twin = put(row, row.twin)
    if row.name in HOSTLESS:
        with RawConnection(world.bob.public) as wire:
            wire.send(twin)
            assert wire.read().code == "bad_request"
        return
    (head,) = read_request([twin]).heads
    assert isinstance(head, RequestHead)
    sent = [
        pair for pair in head.fields if pair[0] not in (b"transfer-encoding", b"content-length")
    ]
    with RawConnection(world.bob.public) as wire:
        wire.send(twin)
        assert wire.read().status == 200
    every = [response.status for response in responses(world.bob.public, twin)]

    assert set(every) <= {200}
    assert len(every) == len(places(twin))
    eventually(lambda: len(world.bob_app.requests) == 1 + len(every))
    for arrived in world.bob_app.requests:
        assert arrived.target == head.target
        assert arrived.fields[: len(sent)] == sent
        assert arrived.body == row.body
    assert b"evil" not in world.bob_app.received
