"""What a Portal says of itself: the identity document and ``whoareyou``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.identity_document import verify_document
from proxy.core.signature.base import Message
from proxy.core.signature.response import Untrusted
from proxy.portal_paths import LONGEST_WAIT, wait_asked
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import sign_call
from tests.wire.harness.terminals import pair, remove

if TYPE_CHECKING:
    from .conftest import World

DOCUMENT = "/.well-known/portal-identity"
GATEWAY = "/.well-known/ohttp-gateway"
WHOAREYOU = "/core/public/meta/whoareyou"
WHOAMI = "/core/public/meta/whoami"
HEALTH = "/core/public/health"


def ask(world: World, path: str, method: str = "GET") -> Raw:
    return world.bobs(request(method, path, ("Host", world.bob.host)))


def test_the_document_proves_who_it_is(world: World) -> None:
    got = ask(world, DOCUMENT)

    head = Message(fields=got.fields, status=got.status)
    now = time.time()
    document = verify_document(world.bob.id, head, got.body, now=now)
    assert document.portal_id == world.bob.id
    assert document.key.raw == world.bob.key.public.raw
    assert (document.name, document.domain) == ("Bob", world.bob.host.partition(":")[0])
    assert document.modes == {"sealed", "signed"}
    assert now < document.expires <= now + 1801
    assert document.largest_chunk == 65_536
    (offer,) = document.sealing_keys
    assert now + 86_400 < offer.until <= now + 90_001
    assert verify_document(world.bob.id[:6], head, got.body, now=now) == document
    with pytest.raises(Untrusted):
        verify_document(world.ada.id, head, got.body, now=now)
    with pytest.raises(Untrusted):
        verify_document(world.bob.id, head, got.body.replace(b"Bob", b"Eve"), now=now)


def test_the_document_tells_nothing_else(world: World) -> None:
    got = ask(world, DOCUMENT)

    assert got.one("content-type") == b"application/json"
    assert set(got.json()) == {
        "id",
        "name",
        "public_key_pem",
        "domain",
        "modes",
        "sealing_keys",
        "largest_chunk",
        "epoch",
    }


def test_the_gateway_gives_its_keys_to_any_client_of_oblivious_http(world: World) -> None:
    got = ask(world, GATEWAY)

    assert got.status == 200
    assert got.one("content-type") == b"application/ohttp-keys"
    head = ask(world, DOCUMENT)
    message = Message(fields=head.fields, status=head.status)
    document = verify_document(world.bob.id, message, head.body, now=time.time())
    config = document.sealing_keys[0].config.serialise()
    assert got.body == len(config).to_bytes(2, "big") + config


def test_whoareyou_has_the_fields_of_the_ecosystem(world: World) -> None:
    expected = {
        "id": world.bob.id,
        "name": "Bob",
        "email": None,
        "description": None,
        "is_default": True,
        "public_key_pem": world.bob.key.public.pem,
        "domain": world.bob.host.partition(":")[0],
    }

    assert ask(world, WHOAREYOU).json() == expected
    at_apps = exchange(world.bob.apps, request("GET", "/public/meta/whoareyou", ("Host", "x")))
    assert at_apps.json() == expected


def test_who_asks_is_told_who_that_is_and_no_more(world: World) -> None:
    anonymous = {"type": "anonymous", "id": None, "name": None}
    assert ask(world, WHOAMI).json() == anonymous
    assert ask(world, WHOAMI).one("cache-control") == b"no-store"

    # What the owner calls a peer is nothing for the peer.
    call = sign_call(world.cleo, world.bob, None, WHOAMI.encode())
    got = world.bobs(call.raw)
    assert call.believes(got, world.bob.id)
    assert got.json() == {"type": "peer", "id": world.cleo.public.portal_id, "name": None}


def test_a_device_is_told_its_name_and_no_other_page_is_told_for_it(world: World) -> None:
    device = pair(world.bob, "Phone \u260e")

    def who(*fields: tuple[str, str]) -> Any:
        asked = request("GET", WHOAMI, ("Host", world.bob.host), *fields)
        return world.bobs(asked).json()

    assert who(device.cookie) == {"type": "terminal", "id": device.id, "name": "Phone \u260e"}
    for field in (("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")):
        assert who(device.cookie, field)["type"] == "anonymous"
    remove(world.bob, device.id)
    eventually(lambda: who(device.cookie)["type"] == "anonymous")


def test_health_tells_that_the_portal_is_there_and_not_how_it_is(world: World) -> None:
    got = ask(world, HEALTH)
    assert (got.status, got.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", [DOCUMENT, GATEWAY, WHOAREYOU, WHOAMI, HEALTH])
def test_head_has_the_length_and_no_body(world: World, path: str) -> None:
    whole, head = ask(world, path), ask(world, path, "HEAD")

    assert head.status == 200
    assert head.one("content-length") == whole.one("content-length")
    assert head.body == b""


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", DOCUMENT, "method_not_allowed"),
        ("PUT", GATEWAY, "method_not_allowed"),
        ("OPTIONS", WHOAREYOU, "method_not_allowed"),
        ("get", WHOAREYOU, "method_not_allowed"),
        ("GET", "/", "not_found"),
        ("GET", DOCUMENT + "/", "not_found"),
        ("GET", "/.well-known/Portal-Identity", "not_found"),
        ("GET", "/.well-known/portal%2Didentity", "not_found"),
        ("GET", "/protected/peers", "not_found"),
        ("GET", "/health", "not_found"),
        ("GET", "/public/health", "not_found"),
        ("GET", "/public/meta/whoami", "not_found"),
        ("POST", WHOAMI, "method_not_allowed"),
        ("POST", HEALTH, "method_not_allowed"),
    ],
)
def test_the_portal_itself_answers_nothing_else(
    world: World, method: str, path: str, code: str
) -> None:
    assert ask(world, path, method).code == code


@pytest.mark.parametrize("target", [b"/.well-known/portal-identity?x", b"/nothing"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_signed_request_to_the_portal_itself_is_answered_signed(
    world: World, target: bytes, method: bytes
) -> None:
    call = sign_call(world.cleo, world.bob, None, target, method=method)

    got = world.bobs(call.raw)

    assert call.believes(got, world.bob.id)
    found = b"identity" in target
    assert got.status == (404 if not found else 405 if method == b"POST" else 200)


def test_who_isnt_a_contact_is_refused_there_too(world: World) -> None:
    call = sign_call(world.mallory, world.bob, None, DOCUMENT.encode())

    assert world.bobs(call.raw).code == "not_allowed"


@pytest.mark.parametrize(
    ("version", "status", "code"), [("13", 200, None), ("8", 426, b"websocket_version")]
)
def test_a_websockets_handshake_is_told_where_it_arrives_spoiled(
    world: World, version: str, status: int, code: bytes | None
) -> None:
    """So that ``ping`` learns whether what stands before it passes handshakes on."""
    handshake = (
        ("Connection", "Upgrade"), ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", version), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )  # fmt: skip
    got = world.bobs(request("GET", WHOAREYOU, ("Host", world.bob.host), *handshake))
    assert got.status == status
    assert got.all("portal-refusal") == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ([b"wait=0"], 0),
        ([b"wait=65"], 65),
        ([b"wait=9999"], LONGEST_WAIT),
        ([b"wait=99999"], 0),
        ([b"wait=-1"], 0),
        ([b"wait=1", b"wait=2"], 0),
        ([b"respond-async"], 0),
        ([], 0),
    ],
)
def test_a_peer_may_have_it_wait_for_so_long_and_no_longer(
    asked: list[bytes], seconds: int
) -> None:
    assert wait_asked([(b"prefer", value) for value in asked]) == seconds


def test_a_stranger_has_nobody_wait(world: World) -> None:
    began = time.monotonic()
    got = world.bobs(
        request("GET", WHOAREYOU, ("Host", world.bob.host), ("Prefer", f"wait={LONGEST_WAIT}"))
    )
    assert got.status == 200
    assert time.monotonic() - began < LONGEST_WAIT
