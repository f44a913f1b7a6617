"""Nothing that anybody sends can forge a line of the log, or leave a secret in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .harness.raw import Wire, request
from .harness.signer import sign_call

if TYPE_CHECKING:
    from .conftest import World

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) proxy[.a-z]* [^\x00-\x1f\x7f-\x9f]*"
)
FORGED = b"2026-01-01 00:00:00,000 INFO proxy owner logged in"
ESCAPE = b"\x1b[2J\x9b31m"


def test_no_bytes_forge_a_line_or_colour_a_terminal(world: World) -> None:
    before = len(world.bob.log)
    host = world.bob.app_host("site").encode()
    keyid = b'sig=();keyid="%b";tag="portal-peering"' % FORGED
    for raw in (
        b"GET /%0d%0a" + FORGED.replace(b" ", b"%20") + b" HTTP/1.1\r\nHost: " + host,
        b"GET /\x1b[31m HTTP/1.1\r\nHost: " + host,
        b"GET / HTTP/1.1\r\nHost: " + ESCAPE + b"x",
        b"GET / HTTP/1.1\r\nHost: \xc2\x85\xe2\x80\xa8\xe2\x80\xae",
        b"GET / HTTP/1.1\r\nHost: x\r\n " + FORGED,
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nX" + ESCAPE + b": y",
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nX: " + ESCAPE,
        b"GET\n" + FORGED + b" / HTTP/1.1\r\nHost: " + host,
        b"A'$`|~ / HTTP/1.1\r\nHost: " + host,
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nSignature-Input: " + keyid,
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nSignature-Input: " + ESCAPE + b"portal-peering",
        b"GET / HTTP/1.1\r\nHost: " + host + b'\r\nPortal-To: "' + FORGED + b'"',
    ):
        with Wire(world.bob.public) as wire:
            wire.send(raw + b"\r\n\r\n")
            assert wire.read().status < 500

    lines = world.bob.log[before:].splitlines()
    assert len(lines) > 4
    for line in lines:
        assert LINE.fullmatch(line), line
        assert not line.startswith(FORGED.decode())


def test_an_answer_cant_forge_a_line_either(world: World) -> None:
    for data in (b"HTTP/1.1 200 OK\nX: " + FORGED + b"\r\n\r\n", FORGED + b"\r\n\r\n", ESCAPE * 9):
        before = len(world.bob.log)
        world.bob_app.script(data + b"\r\n\r\n", close=True)
        world.bobs(request("GET", "/", ("Host", world.bob.app_host("site"))))
        for line in world.bob.log[before:].splitlines():
            assert LINE.fullmatch(line), line
            assert not line.startswith(FORGED.decode())


def test_no_proof_no_query_no_body_and_no_field_is_logged(world: World) -> None:
    before = len(world.bob.log), len(world.ada.log)
    call = sign_call(
        world.cleo, world.bob, "box", b"/peer/shown?secret-query", method=b"POST",
        fields=((b"authorization", b"Bearer secret-field"),), body=b"secret-body",
    )  # fmt: skip
    world.bobs(call.raw)
    world.bobs(call.raw)
    world.bobs(call.raw.replace(b"/shown", b"/%zz", 1))
    world.bobs(call.raw.replace(b"secret-query", b"secret-queri", 1))
    world.ask(world.bob.id, "/peer/shown?secret-query", ("Authorization", "secret-field"))

    signature = re.findall(rb"signature: portal=:([^:]+):", call.raw + bytes(world.relay.sent))
    log = world.bob.log[before[0] :] + world.ada.log[before[1] :]
    assert "/peer/shown" in log
    assert len(signature) == 2
    for secret in ("secret-", *(value.decode() for value in signature)):
        assert secret not in log
