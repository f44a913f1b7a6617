"""Which header fields reach an app from outside, and that none of them speaks for us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.forwarding import NAMES, forwarding
from tests.wire.harness.raw import response
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from .conftest import World


def test_an_anonymous_request_passes_as_it_is(world: World) -> None:
    world.bob_app.script(
        response(
            203, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe4"), ("ETag", '"1"'), body=b"page"
        )
    )
    fields = (("X-A", "1"), ("X-A", "\xe4"), ("Cookie", "a=b"), ("Accept-Encoding", "gzip"))

    got = world.stranger("site", "/a%2Fb?b&c=%E4", *fields)

    arrived = world.bob_app.request
    assert arrived.first_line == b"GET /a%2Fb?b&c=%E4 HTTP/1.1"
    assert arrived.fields == [
        (b"host", world.bob.app_host("site").encode()),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in fields),
        (b"x-ptl-client-type", b"anonymous"),
        (b"x-ptl-client-id", b""),
        (b"x-ptl-client-name", b""),
        *forwarding(world.bob.app_host("site"), arrived.one("x-request-id")),
        (b"cdn-loop", world.bob.app_host("site").partition(":")[0].encode()),
    ]
    assert (got.status, got.body) == (203, b"page")
    assert got.fields == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=\xe4"),
        (b"etag", b'"1"'),
        (b"content-length", b"4"),
    ]


FORGED = [
    "X-Ptl-Client-Id", "x-ptl-client-type", "X_Ptl_Client_Id", "X.Ptl.Client.Id",
    "x-PTL-client-name", "X-Ptl-Anything", "X_PTL_NEW", "X~Ptl~Client~Id", "Remote-User",
    "REMOTE_USER", "Remote.User", "X-Ptl-Foo", "x_host", "X'Host",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_identity_field_reaches_no_app(world: World, name: str) -> None:
    world.stranger("box", "/public", (name, "evil"), (name, "evil"), ("X-Kept", "good"))
    fields = ((name.lower().encode(), b"evil"), (b"x-kept", b"good"))
    world.bobs(sign_call(world.cleo, world.bob, "box", b"/peer", fields=fields).raw)

    anonymous, peer = world.bob_app.requests
    assert b"evil" not in world.bob_app.received
    assert anonymous.one("x-kept") == peer.one("x-kept") == b"good"
    assert anonymous.one("x-ptl-client-type") == b"anonymous"
    assert anonymous.one("x-ptl-client-id") == b""
    assert anonymous.one("remote-user") == b"guest"
    assert peer.one("x-ptl-client-type") == b"peer"
    assert peer.one("x-ptl-client-id").decode() == world.cleo.public.portal_id
    assert peer.one("remote-user") == b"peer Cleo"
    assert peer.one("x-ptl-foo").decode() == f"{world.bob.id[:6]}@example.com"
    assert peer.one("x-host").decode() == world.bob.host.partition(":")[0]


def test_connection_cant_remove_what_we_say(world: World) -> None:
    options = "X-Ptl-Client-Id, x-ptl-client-type, Host, Remote-User, X-Gone"

    world.stranger("box", "/public", ("Connection", options), ("X-Gone", "1"))

    arrived = world.bob_app.request
    assert arrived.one("x-ptl-client-type") == b"anonymous"
    assert arrived.one("remote-user") == b"guest"
    assert arrived.one("host").decode() == world.bob.app_host("box")
    assert arrived.all("x-gone") == []


def test_intermediaries_fields_are_dropped(world: World) -> None:
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"):
        world.stranger("site", "/", (name, "evil"))
    assert b"evil" not in world.bob_app.received
    assert len(world.bob_app.requests) == 5


def test_a_strangers_own_signature_is_for_the_app(world: World) -> None:
    fields = (
        (
            "Signature",
            'keyId="https://a.example/u#main-key",headers="(request-target)",signature="x"',
        ),
        ("Signature-Input", 'sig1=("date");keyid="k";tag="somebody-elses"'),
        ("Content-Digest", "sha-256=:x:"),
        ("Digest", "SHA-256=x"),
    )

    assert world.stranger("site", "/inbox", *fields).status == 200

    arrived = world.bob_app.request
    for name, value in fields:
        assert arrived.one(name.lower()).decode() == value


def test_the_protocols_own_fields_reach_no_app(world: World) -> None:
    for name in ("Portal-Token", "Portal-Refusal", "Portal-App-Signature", "portal_app_signature"):
        world.stranger("site", "/", (name, "evil"))
    assert b"evil" not in world.bob_app.received
    assert len(world.bob_app.requests) == 4


def test_no_field_of_a_signature_reaches_the_app(world: World) -> None:
    world.bobs(sign_call(world.cleo, world.bob, "wide", b"/", fields=((b"x-a", b"1"),)).raw)

    names = [name for name, _ in world.bob_app.request.fields]
    assert names == [
        b"host",
        b"x-a",
        b"x-ptl-client-type",
        b"x-ptl-client-id",
        b"x-ptl-client-name",
        *(name.encode() for name in NAMES),
        b"cdn-loop",
    ]


def test_what_isnt_covered_is_not_forwarded(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide")

    world.bobs(call.with_field(b"X-Added: evil\r\nX-Forwarded-For: evil"))

    assert len(world.bob_app.requests) == 1
    assert b"evil" not in world.bob_app.received
