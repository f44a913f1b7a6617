"""The table "who may come in", every cell of it, for requests and for WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.wire.harness.raw import Raw, exchange
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import sign_call
from tests.wire.harness.sockets import RawSocket, handshake, switched
from tests.wire.harness.terminals import Device, pair, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import World

Who = Literal["anonymous", "peer", "terminal"]
_CALLERS: tuple[Who, ...] = ("anonymous", "peer", "terminal")
TABLE: dict[str, dict[Who, int]] = {
    "/public/x": {"anonymous": 200, "peer": 200, "terminal": 200},
    "/peer/x": {"anonymous": 401, "peer": 200, "terminal": 403},
    "/private/x": {"anonymous": 401, "peer": 403, "terminal": 200},
}
CODES = {401: "proof_required", 403: "not_allowed"}
CELLS = [(path, who, status) for path, row in TABLE.items() for who, status in row.items()]


@pytest.fixture(scope="module")
def phone_(cast: World) -> Iterator[Device]:
    phone = pair(cast.bob, "Phöne")
    yield phone
    remove(cast.bob, phone.id)


@pytest.fixture
def phone(phone_: Device, world: World) -> Device:
    del world
    return phone_


def _ask(world: World, phone: Device, path: str, who: Who) -> Raw:
    if who == "peer":
        return world.bobs(sign_call(world.cleo, world.bob, "box", path.encode()).raw)
    fields = (phone.cookie,) if who == "terminal" else ()
    return world.stranger("box", path, *fields)


@pytest.mark.parametrize(("path", "who", "status"), CELLS)
def test_every_cell_of_the_table_for_requests(
    world: World, phone: Device, path: str, who: Who, status: int
) -> None:
    got = _ask(world, phone, path, who)

    assert got.status == status
    if status != 200:
        assert got.code == CODES[status]
        assert world.bob_app.connections == 0
        return
    ids = {
        "anonymous": b"",
        "peer": world.cleo.public.portal_id.encode(),
        "terminal": phone.id.encode(),
    }
    assert world.bob_app.request.one("x-ptl-client-type") == who.encode()
    assert world.bob_app.request.one("x-ptl-client-id") == ids[who]
    if who == "terminal":
        assert world.bob_app.request.one("x-ptl-client-name") == b"Ph%C3%B6ne"
        assert not world.bob_app.request.all("cookie")


@pytest.mark.parametrize("who", _CALLERS)
@pytest.mark.parametrize("path", TABLE)
def test_every_cell_of_the_table_for_websockets(
    world: World, phone: Device, path: str, who: Who
) -> None:
    """A Portal opens no WebSocket: upgrades aren't carried between Portals."""
    world.bob_app.script(switched())
    own = ("Origin", f"http://{world.bob.app_host('box')}")
    fields = (phone.cookie, own) if who == "terminal" else (own,)
    asked = handshake(world.bob.app_host("box"), path, *fields)
    expected = TABLE[path][who]
    if who == "peer":
        asked = _signed_handshake(world, path)
        expected = 501
    if expected == 200:
        with RawSocket(world.bob.public) as wire:
            wire.open(asked)
        assert world.bob_app.request.one("x-ptl-client-type") == who.encode()
        assert not world.bob_app.request.all("cookie")
        return
    got = exchange(world.bob.public, asked)
    assert got.status == expected
    assert got.code == CODES.get(expected, "upgrade_unsupported")
    assert world.bob_app.connections == 0


def _signed_handshake(world: World, path: str) -> bytes:
    call = sign_call(world.cleo, world.bob, "box", path.encode())
    usual = handshake("", path).partition(b"\r\n")[2].partition(b"\r\n")[2]  # less its Host
    return call.with_field(usual.rstrip())


@pytest.mark.parametrize("who", _CALLERS)
def test_an_app_that_is_not_there_is_nobodys(world: World, phone: Device, who: Who) -> None:
    if who == "peer":
        got = world.bobs(sign_call(world.cleo, world.bob, "none", b"/public/x").raw)
    else:
        got = world.stranger("none", "/public/x", *((phone.cookie,) if who == "terminal" else ()))
    assert got.status in (403, 404)
    assert got.code == ("not_allowed" if got.status == 403 else "no_such_app")


def test_where_no_rule_matches_it_is_private(world: World, phone: Device) -> None:
    assert world.stranger("box", "/anything/else").status == 401
    assert world.stranger("box", "/anything/else", phone.cookie).status == 200


@pytest.mark.parametrize("path", ["/private/x", "/public/x"])
def test_a_cookie_in_an_envelope_means_nothing(world: World, phone: Device, path: str) -> None:
    name, value = phone.cookie
    field = (name.lower().encode(), value.encode())
    sender = Sender(world.cleo, world.bob)

    got = sender.ask(sender.unsigned("box", path.encode(), field))

    assert (got.status, got.code) == (401, "proof_required")
    assert not got.all("location")
    assert world.bob_app.connections == 0
    assert world.stranger("box", path, phone.cookie).status == 200


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_a_peers_cookie_makes_it_no_terminal_and_reaches_no_app(
    world: World, phone: Device, mode: str
) -> None:
    name, value = phone.cookie
    field = (name.lower().encode(), f"a=1; {value}".encode())

    def asked(path: bytes) -> Raw:
        if mode == "signed":
            return world.bobs(sign_call(world.cleo, world.bob, "box", path, fields=(field,)).raw)
        sender = Sender(world.cleo, world.bob)
        return sender.ask(sender.head("box", path, fields=(field,)))

    assert (asked(b"/private/x").status, asked(b"/peer/x").status) == (403, 200)
    assert world.bob_app.request.one("x-ptl-client-type") == b"peer"
    assert world.bob_app.request.one("cookie") == b"a=1"
