"""Who gets to which path of an app, under which host, and what a refusal tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import RawConnection, request, response
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from .conftest import World


TABLE = [
    # caller, app, path, status, code
    ("anonymous", "box", "/public", 200, ""),
    ("anonymous", "box", "/public/a?b", 200, ""),
    ("anonymous", "site", "/any", 200, ""),
    ("anonymous", "box", "/peer", 401, "proof_required"),
    ("anonymous", "box", "/", 401, "proof_required"),
    ("anonymous", "box", "/publicity", 401, "proof_required"),
    ("anonymous", "box", "/PUBLIC", 401, "proof_required"),
    ("anonymous", "box", "/public;x/../peer", 400, "bad_target"),
    ("anonymous", "box", "/public/%2e%2e/peer", 400, "bad_target"),
    ("anonymous", "box", "//public", 401, "proof_required"),
    ("anonymous", "nosuch", "/public", 404, "no_such_app"),
    ("cleo", "box", "/public", 200, ""),
    ("cleo", "box", "/peer", 200, ""),
    ("cleo", "box", "/peer/a?b", 200, ""),
    ("cleo", "box", "/peerage", 403, "not_allowed"),
    ("cleo", "box", "/", 403, "not_allowed"),
    ("cleo", "site", "/any", 200, ""),
    ("cleo", "nosuch", "/", 404, "no_such_app"),
    ("cleo", "box", "/peer/%2e%2e/x", 400, "bad_target"),
    ("dora", "box", "/public", 403, "not_allowed"),
    ("dora", "box", "/peer", 403, "not_allowed"),
    ("dora", "site", "/any", 200, ""),
    ("mallory", "box", "/public", 403, "not_allowed"),
    ("mallory", "box", "/peer", 403, "not_allowed"),
    ("mallory", "box", "/", 403, "not_allowed"),
    ("mallory", "site", "/any", 403, "not_allowed"),
    ("mallory", "nosuch", "/", 403, "not_allowed"),
]


@pytest.mark.parametrize(("caller", "app", "path", "status", "code"), TABLE)
def test_who_may_come_in(
    world: World, caller: str, app: str, path: str, status: int, code: str
) -> None:
    if caller == "anonymous":
        got = world.stranger(app, path)
    else:
        call = sign_call(getattr(world, caller), world.bob, app, path.encode())
        got = world.bobs(call.raw)
        assert call.believes(got, world.bob.id)  # refusals are signed too

    assert got.status == status
    if code:
        assert got.code == code
        assert got.one("portal-refusal").decode() == code
    assert len(world.bob_app.requests) == (status == 200)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "{bob}.evil.example", "x{bob}", "wide.{mallory}", "a.wide.{bob}", "{bob}:1",
        "{name}.:{port}", "wide..{bob}", "wide_x.{bob}", "{name}:0{port}", "127.0.0.1.nip.io", "",
        "wide.{bob}/public", "user@wide.{bob}", "wide.{bob} x",
    ],
)  # fmt: skip
def test_a_host_that_isnt_ours_is_misdirected(world: World, host: str) -> None:
    filled = host.format(
        bob=world.bob.host,
        name=world.bob.host.partition(":")[0],
        port=world.bob.public,
        mallory=world.mallory.public.portal_id[:6] + ".portal.localhost",
    )

    got = world.bobs(request("GET", "/", ("Host", filled)))

    assert (got.status, got.code) == (421, "misdirected")
    assert world.bob_app.connections == 0


@pytest.mark.parametrize(
    "host", ["site.{bob}", "SITE.{BOB}", "site.{name}", "site.bob.example", "site.bob.example:99"]
)
def test_every_way_to_write_our_host_is_ours(world: World, host: str) -> None:
    filled = host.format(
        bob=world.bob.host, BOB=world.bob.host.upper(), name=world.bob.host.partition(":")[0]
    )

    assert world.bobs(request("GET", "/", ("Host", filled))).status == 200
    assert world.bob_app.request.one("host").decode() == filled


@pytest.mark.parametrize("hosts", [(), ("site.bob.example", "site.bob.example"), ("a", "b")])
def test_exactly_one_host_is_needed(world: World, hosts: tuple[str, ...]) -> None:
    got = world.bobs(request("GET", "/", *(("Host", host) for host in hosts)))

    assert (got.status, got.code) == (400, "bad_request")


def test_a_browser_gets_a_page_that_tells_no_detail(world: World) -> None:
    accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")

    got = world.stranger("box", "/peer/secret-path", accept)

    assert got.status == 401
    assert got.one("content-type") == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in got.one("content-security-policy")
    assert b"proof_required" in got.body
    assert b"secret-path" not in got.body
    assert got.one("cache-control") == b"no-store"


def test_no_refusal_tells_its_detail(world: World) -> None:
    call = sign_call(world.mallory, world.bob, "box", b"/peer/detail")
    for got in (world.stranger("box", "/detail"), world.bobs(call.raw)):
        assert set(got.json()) == {"type", "title", "status", "code"}
        assert b"detail" not in got.body


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_bytes_behind_a_response_that_has_none_arent_passed_on(
    world: World, method: str, status: int
) -> None:
    world.bob_app.script(response(status, ("Content-Length", "2"), body=None) + b"ok", close=True)
    asked = request(method, "/", ("Host", world.bob.app_host("site")))
    with RawConnection(world.bob.public) as wire:
        wire.send(asked)
        got = wire.read(to_head=True)
        assert got.status == status
        wire.send(asked)  # the client's own connection is as good as before
        assert wire.read(to_head=True).status == status
