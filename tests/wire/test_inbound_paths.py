"""Targets: which pass, and that every byte of them comes to the app as the client wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wire.harness.raw import RawConnection, request

if TYPE_CHECKING:
    from .conftest import World

AS_IN_NGINX = [
    b"/%F6", b"/pri%80vate", b"/a%5Cb", b"/a%0Ab", b"/a%0D%0Ab", b"/%C0%AF", b"/%25F6", b"/\xe4",
    b"/\xc3\xa4", b"/x?\xe4", b"/x?\xc3\xa4", b"/\xff\xfe", b"/%ED%A0%80", b"/%7F",
]  # fmt: skip


def _ask(world: World, app: str, target: bytes, method: bytes = b"GET") -> tuple[int, str]:
    host = world.bob.app_host(app).encode()
    with RawConnection(world.bob.public) as wire:
        wire.send(b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, target, host))
        got = wire.read()
    return got.status, got.code if got.status != 200 else ""


@pytest.mark.parametrize("target", AS_IN_NGINX, ids=repr)
def test_where_all_paths_are_public_odd_bytes_pass_as_they_came(
    world: World, target: bytes
) -> None:
    assert _ask(world, "site", target) == (200, "")
    assert world.bob_app.request.first_line == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize("target", [b"/public" + each for each in AS_IN_NGINX[:8]], ids=repr)
def test_where_rules_differ_they_are_for_nobody_unknown(world: World, target: bytes) -> None:
    assert _ask(world, "box", target) == (401, "proof_required")
    assert world.bob_app.requests == []


@pytest.mark.parametrize(
    "target", [b"/a\\b", b"/a b", b"/a\tb", b"/a\x7f", b"/\x01", b"/x#y", b"/%00", b"/.%80./x"]
)
def test_what_no_reader_takes_well_is_refused_everywhere(world: World, target: bytes) -> None:
    status, code = _ask(world, "site", target)
    assert status == 400
    assert code in ("bad_target", "bad_request")
    assert world.bob_app.requests == []


@pytest.mark.parametrize(
    ("rest", "expected"),
    [(b"/x%2Fy?a=%E4&b", b"/x%2Fy?a=%E4&b"), (b"/\xe4", b"/\xe4"), (b"", b"/"), (b"?a", b"/?a")],
)
def test_the_app_gets_the_origin_form_of_an_absolute_one(
    world: World, rest: bytes, expected: bytes
) -> None:
    host = world.bob.app_host("site").encode()
    assert _ask(world, "site", b"http://" + host + rest) == (200, "")
    assert world.bob_app.request.first_line == b"GET " + expected + b" HTTP/1.1"
    assert world.bob_app.request.one("host") == host


def test_an_absolute_form_of_the_portal_itself_is_answered_by_it(world: World) -> None:
    target = f"http://{world.bob.host}/.well-known/portal-identity"
    assert world.bobs(request("GET", target, ("Host", world.bob.host))).status == 200
    other = f"http://{world.bob.app_host('site')}/x"
    got = world.bobs(request("GET", other, ("Host", world.bob.host)))
    assert (got.status, got.code) == (421, "misdirected")


@pytest.mark.parametrize("method", [b"TRACE", b"trace", b"CONNECT"])
def test_no_app_is_asked_to_trace_or_to_open_a_tunnel(world: World, method: bytes) -> None:
    with RawConnection(world.bob.public) as wire:
        host = world.bob.app_host("site").encode()
        wire.send(b"%b / HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, host))
        got = wire.read()
    assert (got.status, got.code) == (405, "method_not_allowed")
    assert got.one("allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert world.bob_app.requests == []


def test_at_the_apps_listener_bytes_outside_ascii_are_refused(world: World) -> None:
    for target in ("/internal/peers/\u00e4", f"/internal/call_peer/{world.bob.id}/\u00e4"):
        head = f"GET {target} HTTP/1.1\r\nHost: portal_core\r\n{': '.join(world.token())}\r\n\r\n"
        got = world.call(head.encode("latin-1"))
        assert (got.status, got.code) == (400, "bad_target")
