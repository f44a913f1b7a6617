"""A removal and an app in the proxy's own process: the app hears that its caller is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.hosted import Hosted, UnderH11
from tests.wire.harness.portals import contact
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import new_key, sign_call

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.core.identity import PrivateKey

MANIFEST = """{"v": "3.2", "port": 80, "paths": {
  "": {"access": "peer"}, "/public": {"access": "public"}}}"""
_APP = """\
import asyncio, logging
from proxy import PortalMiddleware

logging.basicConfig(level=logging.INFO)
HEARD, FREE = [], asyncio.Event()

async def whole(send, body):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})

async def listen(path, receive):
    while (await receive())["type"] != "http.disconnect":
        pass
    HEARD.append(path + " left")

async def plain(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError
    path = scope["path"]
    if path == "/public/heard":
        return await whole(send, " ".join(HEARD).encode())
    if path == "/public/free":
        FREE.set()
        return await whole(send, b"")
    HEARD.append(path + " came")
    listening = asyncio.create_task(listen(path, receive))
    freed = asyncio.create_task(FREE.wait())
    await asyncio.wait((listening, freed), return_when=asyncio.FIRST_COMPLETED)
    if freed.done():
        await whole(send, b"whole")
    freed.cancel()

app = PortalMiddleware(plain, {config!r}, name="site")
"""


class Wrapped(UnderH11):
    def code(self) -> str:
        return _APP.format(config=str(self.config))


@pytest.fixture
def wanda(tmp_path: Path) -> Iterator[Hosted]:
    portal = Wrapped(tmp_path / "wanda", "Wanda")
    portal.add_app("site", MANIFEST, 1)
    yield portal
    portal.release()
    assert portal.MISTAKE not in portal.log, portal.log


def test_the_app_hears_that_a_removed_peer_has_left_and_others_go_on(wanda: Hosted) -> None:
    cleo, dora = new_key(), new_key()
    introduce(wanda, cleo, dora)
    wanda.start()
    with RawConnection(wanda.public) as lost, RawConnection(wanda.public) as twin:
        lost.send(sign_call(cleo, wanda, "site", b"/cleo").raw)
        twin.send(sign_call(dora, wanda, "site", b"/dora").raw)
        eventually(lambda: {b"/cleo", b"/dora"} <= set(heard(wanda).body.split()))

        introduce(wanda, dora)

        refused = lost.read()
        assert (refused.status, refused.code) == (403, "not_allowed")
        eventually(lambda: b"/cleo left" in heard(wanda).body)
        assert b"/dora left" not in heard(wanda).body
        ask(wanda, "/public/free")
        assert twin.read().body == b"whole"


def introduce(portal: Hosted, *keys: PrivateKey) -> None:
    known = (contact(key.public.portal_id, "Somebody", 1, 1) for key in keys)
    portal.knows(*known, apps={"site": "all"})


def ask(portal: Hosted, path: str) -> Raw:
    return exchange(portal.public, request("GET", path, ("Host", portal.app_host("site"))))


def heard(portal: Hosted) -> Raw:
    return ask(portal, "/public/heard")
