"""One line a request, in which nothing that anybody sends forges a line or leaves a secret.

The rows of ``tests/attacks/logs`` go to a Portal that writes JSON and to one that writes text.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.log_line import LONGEST
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.websocket.frames import Close, close_frame
from tests.core.websocket.framing import Frame
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, end, environment, wait_for_ports
from tests.wire.harness.raw import Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import sign_call
from tests.wire.harness.sockets import RawSocket, handshake, switched

if TYPE_CHECKING:
    from .conftest import World

ROWS = json.loads(
    (Path(__file__).parents[1] / "attacks" / "logs" / "requests.json").read_text("utf-8")
)
NAMES = [row["attack"] for row in ROWS]
TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) [a-z_.]+[ :][ -~]*")
FORGED = "2026-01-01T00:00:00.000Z INFO owner: logged in"
ALWAYS = {"time", "level", "listener", "outcome", "method", "host", "path", "bytes_in", "bytes_out",
          "ms", "request_id", "client"}  # fmt: skip


@dataclass
class Writer:
    """A Portal, and how it writes its log; it believes what comes from this machine."""

    form: str
    portal: Portal
    app: Recorder

    def log_of(self, raw: bytes) -> str:
        """Return what is written about a request."""
        before = len(self.portal.settled_log())
        with RawConnection(self.portal.public) as wire:
            wire.send(raw)
            wire.read()
        eventually(lambda: self.portal.log[before:].endswith("\n"))
        return self.portal.log[before:]

    def filled(self, text: str) -> str:
        """Return a row's text with what it stands for."""
        lengths = {"{long}": "x" * 8000, "{longish}": "x" * (LONGEST - 1)}
        for name, value in {"{host}": self.portal.app_host("site"), **lengths}.items():
            text = text.replace(name, value)
        return text

    def put(self, row: dict[str, Any]) -> bytes:
        return (self.filled(row["send"]) + "\r\n\r\n").encode("latin-1")


@pytest.fixture(scope="module", params=["json", "text"])
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
           ) -> Iterator[Writer]:  # fmt: skip
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        settings = f"log: {request.param}\ntrusted_proxies: [127.0.0.1]\n"
        portal = Portal(tmp_path_factory.mktemp("writer") / "w", "Wim", settings=settings)
        stack.callback(portal.release)
        portal.add_app("site", SITE, app.port)
        portal.start()
        eventually(lambda: "owner listener:" in portal.log)
        yield Writer(request.param, portal, app)
        assert "Traceback" not in portal.log, portal.log


def strings_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from (name, *strings_in(member))
    elif isinstance(value, str):
        yield value


def hold_harmless(form: str, log: str) -> None:
    """Hold that each line is ours, and plain, also when its JSON has been decoded."""
    assert log.endswith("\n")
    for line in log.splitlines():
        assert (line.isascii(), line.isprintable()) == (True, True), line
        assert not line.startswith(FORGED)
        if form == "text":
            assert TEXT.fullmatch(line), line
            assert f" {FORGED[:5]}" not in line.partition(" detail=")[0]
        else:
            decoded = json.loads(line)
            assert {"time", "level"} <= decoded.keys()
            assert all(text.isascii() and text.isprintable() for text in strings_in(decoded)), line


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_no_request_forges_a_line_or_colours_a_terminal(
    writer: Writer, row: dict[str, Any]
) -> None:
    log = writer.log_of(writer.put(row))
    assert len(log.splitlines()) == 1
    assert len(log) < 3000
    hold_harmless(writer.form, log)
    for secret in ("secret", '"level":"error"'):
        assert secret not in log


@pytest.mark.parametrize("row", [row["twin"] for row in ROWS], ids=NAMES)
def test_the_same_without_the_forgery_is_shown_as_it_is(
    writer: Writer, row: dict[str, Any]
) -> None:
    log = writer.log_of(writer.put(row))
    hold_harmless(writer.form, log)
    shown = {name: writer.filled(value) if isinstance(value, str) else value
             for name, value in row["shows"].items()}  # fmt: skip
    if writer.form == "json":
        (line,) = map(json.loads, log.splitlines())
        assert shown.items() <= line.items()
        assert line.keys() >= ALWAYS
    else:
        for value in shown.values():
            assert str(value) in log.replace("INFO", "info")


def test_a_response_forges_no_line_either(world: World) -> None:
    forged, escape = FORGED.encode(), b"\x1b[2J\x9b31m"
    for data in (b"HTTP/1.1 200 OK\nX: " + forged + b"\r\n\r\n", forged + b"\r\n\r\n", escape * 9):
        before = len(world.bob.settled_log())
        world.bob_app.script(data + b"\r\n\r\n", close=True)
        world.stranger("site", "/")
        eventually(lambda: world.bob.log[before:].endswith("\n"))  # noqa: B023 - waited for here
        hold_harmless("json", world.bob.log[before:])


def test_no_proof_no_query_no_body_and_no_field_is_logged(world: World) -> None:
    world.bob.settled_log(), world.ada.settled_log()
    before = len(world.bob.lines()), len(world.ada.lines())
    call = sign_call(
        world.cleo, world.bob, "box", b"/peer/shown?secret-query", method=b"POST",
        fields=((b"authorization", b"Bearer secret-field"),), body=b"secret-body",
    )  # fmt: skip
    world.bobs(call.raw)
    world.bobs(call.raw)
    world.bobs(call.raw.replace(b"/shown", b"/%zz", 1))
    world.bobs(call.raw.replace(b"secret-query", b"secret-queri", 1))
    world.ask(world.bob.id, "/peer/shown?secret-query", ("Authorization", "secret-field"))
    eventually(lambda: len(world.bob.lines()) >= before[0] + 5)
    eventually(lambda: len(world.ada.lines()) > before[1])

    signature = re.findall(rb"signature: portal=:([^:]+):", call.raw + bytes(world.relay.sent))
    log = json.dumps([world.bob.lines()[before[0] :], world.ada.lines()[before[1] :]])
    assert "/peer/shown" in log
    assert len(signature) == 2
    for secret in ("secret-", *(value.decode() for value in signature)):
        assert secret not in log


# What a line tells.


def line_of(portal: Portal, got: Raw) -> dict[str, Any]:
    """Return the line of a request that was answered with its ID."""
    return the_line(portal, request_id=got.one("x-request-id").decode())


def the_line(portal: Portal, **facts: object) -> dict[str, Any]:
    eventually(lambda: portal.lines(**facts))
    (line,) = portal.lines(**facts)
    return line


def test_a_strangers_line(world: World) -> None:
    world.bob_app.script(response(201, body=b"four"))
    host = world.bob.app_host("box")
    raw = request("PUT", "/public/a?b", ("Host", host), body=b"three")
    assert world.bobs(raw).status == 201
    request_id = world.bob_app.request.one("x-request-id").decode()

    line = the_line(world.bob, request_id=request_id)
    assert line["ms"] >= line["first_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    del line["ms"], line["first_ms"], line["time"]
    assert line == {
        "level": "info", "listener": "public", "outcome": "answered", "status": 201,
        "method": "PUT", "host": host, "path": "/public/a", "caller": "anonymous", "app": "box",
        "rule": "/public", "mode": "plain", "bytes_in": 5, "bytes_out": 4,
        "request_id": request_id, "client": "127.0.0.1",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_the_lines_of_a_call_at_both_ends(sealed: World, mode: str) -> None:
    caller = sealed.eda if mode == "sealed" else sealed.ada
    path = f"/lines/{mode}"
    call = sealed.ask_sealed if mode == "sealed" else lambda t, **k: sealed.ask(
        sealed.bob.id, t, **k
    )  # fmt: skip
    assert call(path, method="POST", body=b"x" * 300).status == 200

    there = the_line(sealed.bob, path=path)
    assert (there["caller"], there["caller_id"]) == ("peer", caller.id)
    assert (there["caller_name"], there["app"], there["rule"]) == ("Ada Größe", "wide", "")
    assert (there["mode"], there["status"], there["outcome"]) == (mode, 200, "answered")
    assert there["request_id"] == sealed.bob_app.request.one("x-request-id").decode()
    # Of a sealed call, what went over the connection.
    assert there["bytes_in"] == 300 if mode == "signed" else there["bytes_in"] > 1000
    here = the_line(caller, path=f"/internal/call_peer/{sealed.bob.id}{path}")
    assert (here["listener"], here["app"], here["mode"]) == ("apps", "wide", mode)
    assert (here["peer"], here["peer_name"]) == (sealed.bob.id, "Bob")
    assert (here["bytes_in"], here["bytes_out"], here["status"]) == (300, 2, 200)
    assert here["request_id"] != there["request_id"]


def test_an_at_sign_in_the_path_of_a_call_is_shown(world: World) -> None:
    host = world.bob.app_host("wide")
    for path in ("/@ada/notes@home/x", "/lines/plain"):
        call = request("GET", f"http://{host}{path}?a@b", ("Host", host), world.basic())
        assert world.call(call).status == 200
        assert the_line(world.ada, path=f"http://{host}{path}")["listener"] == "apps"
    secret = request("GET", f"http://ada:secret@{host}/@ada/x", ("Host", host), world.basic())
    world.call(secret)
    assert the_line(world.ada, path=f"{host}/@ada/x")["listener"] == "apps"
    assert "ada:secret" not in world.ada.log


def test_a_refusal_at_the_peer_is_in_the_lines_of_both(sealed: World) -> None:
    for caller, mode in ((sealed.ada, "signed"), (sealed.eda, "sealed")):
        path = f"/lines/private/{mode}"
        token = ("Portal-Token", caller.token("box"))
        target = f"/internal/call_peer/{sealed.bob.id}{path}"
        assert exchange(caller.apps, request("GET", target, ("Host", "a"), token)).status == 403

        there = the_line(sealed.bob, path=path)
        assert (there["outcome"], there["status"], there["code"]) == ("refused", 403, "not_allowed")
        assert (there["mode"], there["level"]) == (mode, "warning")
        assert "private" in there["detail"]
        here = the_line(caller, path=target)
        assert (here["outcome"], here["status"]) == ("answered", 403)
        assert here["peer_code"] == "not_allowed"


def test_what_opens_no_envelope_is_in_the_log(world: World) -> None:
    sealed_type = ("Content-Type", "message/ohttp-chunked-req")
    raw = request("POST", GATEWAY.decode(), ("Host", world.bob.host), sealed_type, body=b"x" * 99)
    line = line_of(world.bob, world.bobs(raw))
    assert (line["mode"], line["code"]) == ("sealed", "sealing_key_unknown")
    assert (line["outcome"], line["bytes_in"]) == ("refused", 99)
    assert "caller" not in line


def test_a_response_that_breaks_off_has_a_line(world: World) -> None:
    world.bob_app.script(response(200, ("Content-Length", "100"), body=None) + b"part", close=True)
    with RawConnection(world.bob.public) as wire:
        wire.send(request("GET", "/lines/broken", ("Host", world.bob.app_host("site"))))
        with pytest.raises((EOFError, ConnectionResetError)):
            wire.read()

    line = the_line(world.bob, path="/lines/broken")
    assert (line["outcome"], line["status"], line["level"]) == ("broken", 200, "warning")
    assert line["bytes_out"] == 4
    assert line["detail"]


def test_a_client_that_leaves_has_a_line(world: World) -> None:
    head = request(
        "POST", "/lines/left", ("Host", world.bob.app_host("site")), ("Content-Length", "1000")
    )
    with RawConnection(world.bob.public) as wire:
        wire.send(head + b"half of it")
        eventually(lambda: b"half of it" in world.bob_app.received)

    line = the_line(world.bob, path="/lines/left")
    assert (line["outcome"], line["level"], line["bytes_in"]) == ("left", "info", 10)
    assert "status" not in line


def test_an_app_that_is_down_has_its_code_in_the_line(world: World) -> None:
    got = world.ask(world.gone)
    line = line_of(world.ada, got)
    assert (line["outcome"], line["status"], line["code"]) == ("refused", 502, "peer_unreachable")
    assert line["mode"] == "signed"
    assert world.gone in line["detail"]


def test_a_websocket_has_its_line_when_it_is_over(world: World) -> None:
    world.bob_app.script(switched() + close_frame(Close.GOING_AWAY), close=True)
    with RawSocket(world.bob.public) as ws:
        ws.open(handshake(world.bob.app_host("site"), "/lines/socket"))
        ws.say(Frame(1, b"hello"))
        ws.rest()

    line = the_line(world.bob, path="/lines/socket")
    assert (line["status"], line["mode"]) == (101, "plain")
    assert (line["bytes_in"], line["bytes_out"]) == (11, 4)


def test_health_checks_fill_no_log_and_refusals_are_told(world: World) -> None:
    with RawConnection(world.bob.owner) as wire:
        wire.send(request("GET", "/health", ("Host", "localhost")))
        assert wire.read().status == 200
        wire.send(request("GET", "/lines/owner", ("Host", "localhost")))
        line = line_of(world.bob, wire.read())
    assert (line["listener"], line["code"], line["path"]) == ("owner", "not_found", "/lines/owner")
    assert not world.bob.lines(path="/health")


def test_other_messages_are_lines_of_the_same_form(world: World) -> None:
    started = world.bob.lines(logger="proxy")
    assert any(f"Portal {world.bob.id}" in line["message"] for line in started)
    assert started[0].keys() == {"time", "level", "logger", "message"}


# Where it goes.


def test_at_a_terminal_it_is_text(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "p", "Pam")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        portal.command_line("serve"), env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        portal.log_file.touch()
        wait_for_ports(process, portal.public, portal.apps, portal.owner, log=portal.log_file)
        with RawConnection(portal.public) as wire:
            wire.send(b"GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n")
            wire.read()
        seen = b""
        while b"not a request" not in seen:
            seen += os.read(ours, 65536)
        assert portal.id.encode() in seen
        for line in seen.decode("ascii").splitlines():
            assert TEXT.match(line), line
    finally:
        end(process, signal.SIGTERM)
        os.close(ours)
        portal.release()
