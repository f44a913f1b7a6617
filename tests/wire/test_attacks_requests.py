"""What strangers send, cut anywhere: ``tests/attacks/strangers`` at a running proxy.

``code`` is the refusal; without one the request passes. Nothing of ``unseen`` may have come to the
app, whatever came, and all of ``seen`` must. The twin must come unchanged.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.harness.raw import RawConnection, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.harness.splits import places, responses

if TYPE_CHECKING:
    from .conftest import World

Row = dict[str, Any]

ROWS: list[Row] = json.loads(
    (Path(__file__).parents[1] / "attacks" / "strangers" / "requests.json").read_text("utf-8")
)
NAMES = [f"{row['class']}: {row['attack']}" for row in ROWS]
BOMB = gzip.compress(bytes(50_000_000), mtime=0)


def filled(world: World, text: str) -> str:
    """Put the hosts of Bob's apps in their places; ``bare`` has no port, ``name`` is an alias."""
    site = world.bob.app_host("site")
    hosts = {
        "site": site,
        "SITE": site.upper(),
        "bare": site.partition(":")[0],
        "name": "site.bob.example",
        "box": world.bob.app_host("box"),
    }
    for name, host in hosts.items():
        text = text.replace(f"{{{name}}}", host)
    return text


def put(world: World, what: Row) -> bytes:
    text = "\r\n".join([*what["send"], "", ""]) + what.get("body", "")
    return filled(world, text).encode("latin-1")


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_nothing_forged_reaches_the_app(world: World, row: Row) -> None:
    raw = put(world, row)
    with RawConnection(world.bob.public) as wire:
        wire.send(raw)
        got = [wire.read(), *responses(world.bob.public, raw)]

    if code := row.get("code"):
        assert {response.code for response in got} == {code}
        assert world.bob_app.requests == []
    else:
        assert {response.status for response in got} == {200}
        assert len(world.bob_app.requests) == len(got) == 1 + len(places(raw))
    for forged in row.get("unseen", ()):
        assert forged.encode() not in world.bob_app.received, world.bob_app.received[:600]
    for arrived in world.bob_app.requests:
        for kept in row.get("seen", ()):
            assert filled(world, kept).encode() in arrived.head


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_its_harmless_twin_reaches_the_app_unchanged(world: World, row: Row) -> None:
    raw = put(world, row["twin"])
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    with RawConnection(world.bob.public) as wire:
        wire.send(raw)
        assert wire.read().status == 200
    assert {response.status for response in responses(world.bob.public, raw)} <= {200}

    eventually(lambda: len(world.bob_app.requests) == 1 + len(places(raw)))
    for arrived in world.bob_app.requests:
        assert arrived.first_line == first
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() not in (b"connection", b"expect"):
                assert (name.lower(), value.strip()) in arrived.fields
        if b"chunked" not in head:
            assert arrived.body == body


def test_what_is_compressed_is_never_opened(world: World) -> None:
    """48 KB that would be 50 MB, there and back, from a stranger and from a peer."""
    fields = (("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip"))
    world.bob_app.script(response(200, ("Content-Encoding", "gzip"), body=BOMB))
    world.bob.forget_peak()
    before = world.bob.memory()

    host = ("Host", world.bob.app_host("site"))
    got = world.bobs(request("POST", "/x", host, *fields, body=BOMB))
    called = world.ask(world.bob.id, "/x", *fields, method="POST", body=BOMB)

    assert got.body == called.body == BOMB
    assert [arrived.body for arrived in world.bob_app.requests] == [BOMB, BOMB]
    assert world.bob.peak() - before < 20_000_000
