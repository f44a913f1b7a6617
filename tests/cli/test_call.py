"""``call``, as a process, to Portals that run; the Portal that calls doesn't."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from typer.testing import CliRunner

from proxy.cli.root import with_what_is_needed
from tests.cli.remote_portals import WIDE, Done, Echo, Endless, Hasty, accept, in_mode, run
from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal, contact, environment, reserve_port
from tests.wire.harness.raw import response
from tests.wire.harness.recorder import Recorder, Relay, eventually
from tests.wire.harness.signer import new_key

if TYPE_CHECKING:
    from collections.abc import Iterator

VISIBLE: dict[str, Literal["all"]] = dict.fromkeys(("wide", "echo", "hasty", "endless"), "all")
BINARY = bytes(range(256)) * 64


@dataclass
class Street:
    """Ada, who never starts, and whom she knows.

    Bob is called sealed, over a relay; Sid is pinned to signed. Both have the same recording app
    ``wide``, and Bob one that echoes, a hasty one, one that doesn't end and one that hides. Old
    accepts signed calls alone, but is called sealed. Gone is down.
    """

    ada: Portal
    bob: Portal
    sid: Portal
    old: Portal
    app: Recorder
    endless: Endless
    relay: Relay

    def call(self, *words: str, stdin: bytes = b"") -> Done:
        return run(self.ada, "call", *words, stdin=stdin)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a call, with pipes on all sides."""
        return subprocess.Popen(
            self.ada.command_line("call", *words), env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("street")
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        portals = [Portal(folder / name, name) for name in ("Ada", "Bob", "Sid", "Old")]
        ada, bob, sid, old = portals
        for portal in portals:
            stack.callback(portal.release)
        relay = stack.enter_context(Relay(bob.public))
        gone = new_key().public.portal_id
        holder, refusing = reserve_port()
        stack.enter_context(holder)
        ada.knows(
            in_mode(bob.as_contact(connect=relay.port), "sealed"),
            in_mode(sid.as_contact(), "signed"),
            in_mode(old.as_contact(), "sealed"),
            contact(gone, "Gone", refusing, refusing),
            apps={},
        )
        accept(bob, "sealed")
        accept(sid, "sealed, signed")
        accept(old, "signed")
        endless = stack.enter_context(Endless())
        bob.add_app("endless", WIDE, endless.port)
        bob.add_app("echo", WIDE, stack.enter_context(Echo()).port)
        bob.add_app("hasty", WIDE, stack.enter_context(Hasty()).port)
        bob.add_app("hidden", WIDE, app.port)
        for portal in (bob, sid, old):
            portal.add_app("wide", WIDE, app.port)
            portal.knows(
                ada.as_contact(), apps=dict.fromkeys(("wide", "echo", "hasty", "endless"), "all")
            )
            portal.start()
        yield Street(ada, bob, sid, old, app, endless, relay)
        for portal in (bob, sid, old):
            assert "Traceback" not in portal.log, portal.log


@pytest.fixture
def street(built: Street) -> Street:
    built.app.clear()
    built.relay.clear()
    built.endless.breaks_off.clear()
    return built


modes = pytest.mark.parametrize("peer", ["Bob", "Sid"], ids=["sealed", "signed"])


@modes
def test_a_get_prints_the_responses_body_and_nothing_else(street: Street, peer: str) -> None:
    done = street.call(peer, "wide", "/x?y=%20z&q")
    assert done == Done(0, b"ok", "")
    asked = street.app.request
    assert asked.first_line == b"GET /x?y=%20z&q HTTP/1.1"
    assert asked.one("x-ptl-client-id") == street.ada.id.encode()
    assert {name for name, _ in asked.fields} == {
        b"host", b"x-ptl-client-type", b"x-ptl-client-id", b"x-ptl-client-name",
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded",
        b"x-request-id", b"cdn-loop",
    }  # fmt: skip


def test_who_is_called_sealed_is_called_sealed(street: Street) -> None:
    assert street.call("Bob", "wide", "/secret", "-d", "words").status == 0
    assert b"POST /.well-known/ohttp-gateway" in street.relay.sent
    for word in (b"secret", b"words", b"wide", street.ada.id.encode()):
        assert word not in street.relay.sent


@modes
def test_bytes_come_through_both_ways_as_they_are(
    street: Street, peer: str, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_bytes(BINARY)
    street.app.script(response(201, ("Content-Type", "image/x"), body=BINARY[::-1]))
    words = ("-X", "PUT", "-H", "Content-Type: image/x", "-H", "a:b", "-H", "A:  c ")
    done = street.call(peer, "wide", "/x", "-d", f"@{body}", *words)
    assert done == Done(0, BINARY[::-1], "")
    asked = street.app.request
    assert asked.first_line == b"PUT /x HTTP/1.1"
    assert asked.body == BINARY
    assert asked.one("content-length") == str(len(BINARY)).encode()
    assert asked.one("content-type") == b"image/x"
    assert asked.all("a") == [b"b", b"c"]


@modes
def test_data_makes_it_a_post_and_stdin_is_read_to_its_end(street: Street, peer: str) -> None:
    done = street.call(peer, "wide", "/x", "-d", "@-", stdin=BINARY)
    assert done == Done(0, b"ok", "")
    assert street.app.request.first_line == b"POST /x HTTP/1.1"
    assert street.app.request.body == BINARY


@modes
def test_no_data_at_all_is_a_body_of_no_bytes(street: Street, peer: str) -> None:
    assert street.call(peer, "wide", "/x", "-d", "").status == 0
    assert street.app.request.first_line == b"POST /x HTTP/1.1"
    assert street.app.request.one("content-length") == b"0"


def test_both_bodies_stream_at_once(street: Street) -> None:
    with street.start("Bob", "echo", "/x", "-d", "@-") as process:
        assert process.stdin
        assert process.stdout
        for piece in (b"first", b"second\x00"):
            process.stdin.write(piece)
            assert process.stdout.read(len(piece)) == piece
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(PATIENCE) == 0


def test_a_response_before_the_end_of_stdin_ends_the_call(street: Street) -> None:
    with street.start("Bob", "hasty", "/x", "-d", "@-") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"some")
        assert process.wait(PATIENCE) == 0
        assert process.stdout.read() == b"too much"


@pytest.mark.parametrize("length", [6, 10, 103])
def test_a_peer_is_found_by_the_beginning_of_its_id(street: Street, length: int) -> None:
    assert street.call(street.bob.id[:length], "wide", "/x").stdout == b"ok"


def test_head_has_no_body_and_its_fields_are_shown(street: Street) -> None:
    street.app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-A: \x9b31m b\r\n\r\n")
    done = street.call("Bob", "wide", "/x", "-X", "HEAD", "-i")
    assert done == Done(0, b"200 OK\nx-a: \\x9b31m b\ncontent-length: 12\n\n", "")


def test_include_puts_status_and_fields_before_the_body(street: Street) -> None:
    street.app.script(response(404, ("X-A", "1"), ("X-A", "2"), body=b"\x00none"))
    done = street.call("Bob", "wide", "/x", "--include")
    lines = b"404 Not Found\nx-a: 1\nx-a: 2\ncontent-length: 5\n\n"
    assert done == Done(0, lines + b"\x00none", "")


@modes
def test_fail_turns_an_error_of_the_app_into_a_reason(street: Street, peer: str) -> None:
    street.app.script(response(500, body=b"oops"))
    assert street.call(peer, "wide", "/x") == Done(0, b"oops", "")
    done = street.call(peer, "wide", "/x", "-f")
    reason = f"portal-proxy: wide at {peer} answered 500 Internal Server Error\n"
    assert done == Done(1, b"", reason)
    street.app.script(response(302, ("Location", "/y"), body=b"there"))
    assert street.call(peer, "wide", "/x", "-f") == Done(0, b"there", "")


def test_output_writes_the_body_into_a_file(street: Street, tmp_path: Path) -> None:
    file = tmp_path / "file"
    street.app.script(response(200, body=BINARY))
    assert street.call("Bob", "wide", "/x", "-o", str(file)) == Done(0, b"", "")
    assert file.read_bytes() == BINARY
    assert street.call("Bob", "hidden", "/x", "-o", str(file)).status == 1
    assert street.call("Gone", "wide", "/x", "-o", str(file)).status == 1
    assert file.read_bytes() == BINARY
    assert "Is a directory" in street.call("Bob", "wide", "/x", "-o", str(tmp_path)).reason


@modes
def test_a_refusal_of_the_peers_portal_is_a_reason_and_no_output(street: Street, peer: str) -> None:
    for app, code in (("hidden", "not_allowed"), ("missing", "no_such_app")):
        if (peer, app) == ("Sid", "hidden"):
            continue
        done = street.call(peer, app, "/x")
        assert (done.status, done.stdout) == (1, b"")
        assert done.reason.startswith(f"portal-proxy: {peer}'s Portal refuses (40")
        assert f" {code}: " in done.reason
    assert street.app.requests == []


def test_who_is_down_is_a_reason_and_the_way_to_find_out_more(street: Street) -> None:
    done = street.call("Gone", "wide", "/x", "-d", "x")
    assert (done.status, done.stdout) == (1, b"")
    assert "can't be reached" in done.reason
    assert done.reason.partition(". See: ")[2].startswith("portal-proxy ping Gone --config ")


def test_who_accepts_no_sealed_calls_is_never_called_signed_instead(street: Street) -> None:
    done = street.call("Old", "wide", "/x")
    assert (done.status, done.stdout) == (1, b"")
    assert "offers no key to seal a call with" in done.reason
    assert ": it accepts signed calls, and names no key that can be used now. See: " in done.reason
    assert street.app.requests == []
    assert not street.old.lines(path="/x")


@pytest.mark.parametrize("to_file", [False, True])
def test_a_sealed_answer_that_breaks_off_shows_its_part_and_fails(
    street: Street, tmp_path: Path, *, to_file: bool
) -> None:
    file = tmp_path / "file"
    words = ("-o", str(file)) if to_file else ()
    with street.start("Bob", "endless", "/x", *words) as process:
        assert process.stdout
        assert process.stderr
        if to_file:
            eventually(lambda: file.exists() and file.read_bytes() == b"more")
        else:
            assert process.stdout.read(4) == b"more"
        street.endless.breaks_off.set()
        assert process.wait(PATIENCE) == 1
        assert process.stdout.read() == b""
        reason = process.stderr.read().decode()
    assert reason.startswith("portal-proxy: the response broke off after 4 bytes: ")
    assert reason.count("\n") == 1


def test_a_signed_answer_that_breaks_off_fails_before_anything_is_shown(street: Street) -> None:
    street.app.script(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart", close=True)
    done = street.call("Sid", "wide", "/x")
    assert (done.status, done.stdout) == (1, b"")
    assert "Sid's Portal refuses (502). app_failed: " in done.reason


def test_verbose_tells_whom_how_and_how_fast_on_stderr(street: Street) -> None:
    done = street.call("Bob", "wide", "/x", "-v")
    assert (done.status, done.stdout) == (0, b"ok")
    told = dict(line.split(maxsplit=1) for line in done.stderr.splitlines())
    assert told["peer"] == f"Bob, {street.bob.id}"
    assert told["address"].startswith(f"http://{street.bob.host}, reached at 127.0.0.1:")
    assert told["call"] == f"GET http://wide.{street.bob.host}/x"
    assert told["mode"] == "sealed"
    assert told["document"].endswith(" s")
    assert told["sealing"].startswith("key  ")
    assert told["status"] == "200"
    assert told["first"].startswith("byte   0.")
    assert told["total"].endswith(" s, 2 bytes")


def test_a_signed_call_has_no_sealing_key_to_tell(street: Street) -> None:
    done = street.call("Sid", "wide", "/x", "-v")
    assert "\nmode         signed\n" in done.stderr
    assert "sealing" not in done.stderr


@modes
def test_json_tells_about_the_response_in_place_of_its_body(
    street: Street, peer: str, tmp_path: Path
) -> None:
    street.app.script(response(404, ("X-A", "é"), body=b"gone"))
    done = street.call(peer, "wide", "/x", "--json", "-o", str(tmp_path / "body"))
    told = json.loads(done.stdout)
    assert (done.status, told["ok"], told["error"], told["refusal"]) == (0, True, None, None)
    assert (told["status"], told["bytes"], told["peer"][:6]) == (404, 4, told["peer"][:6])
    assert told["mode"] == ("sealed" if peer == "Bob" else "signed")
    assert ["x-a", "\\xe9"] in told["fields"]
    assert (tmp_path / "body").read_bytes() == b"gone"
    assert isinstance(told["sealing_key"], int) == (peer == "Bob")
    assert told["seconds"]["total"] >= told["seconds"]["first_byte"] > 0


def test_json_tells_what_failed_too(street: Street) -> None:
    refused = street.call("Bob", "hidden", "/x", "--json")
    told = json.loads(refused.stdout)
    assert (refused.status, told["ok"], told["status"]) == (1, False, 403)
    assert (told["refusal"], told["bytes"]) == ("not_allowed", 0)
    assert told["error"] in refused.reason
    gone = json.loads(street.call("Gone", "wide", "/x", "--json").stdout)
    assert (gone["ok"], gone["status"], gone["refusal"]) == (False, None, None)


def test_what_no_app_could_send_is_not_sent_and_said(street: Street) -> None:
    words = [
        word
        for field in ("X-Forwarded-For: 1.2.3.4", "Host: x", "X-Ptl-Client-Id: y", "Kept: z")
        for word in ("-H", field)
    ]
    done = street.call("Bob", "wide", "/x", *words)
    assert (done.status, done.stdout) == (0, b"ok")
    dropped = [line.split()[2].rstrip(";") for line in done.stderr.splitlines()]
    assert dropped == ["x-forwarded-for", "host", "x-ptl-client-id"]
    assert street.app.request.one("kept") == b"z"
    assert street.app.request.one("x-ptl-client-id") == street.ada.id.encode()
    assert street.app.request.one("x-forwarded-for") == b"127.0.0.1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wide", "x"], "it begins with /"),
        (["wide", "/a/../b"], "dot segment"),
        (["wide", "/ö"], "likewise what isn't ASCII"),
        (["wide", "/a b"], "write a blank as %20"),
        (["wide", "/a#b"], "# as %23"),
        (["Wide", "/x"], "can't be the name of an app"),
        (["wide", "/x", "-H", "no colon"], "expected 'Name: value'"),
        (["wide", "/x", "-H", "a b: c"], "not a field name"),
        (["wide", "/x", "-H", "a: b\nc: d"], "control byte"),
        (["wide", "/x", "-H", "Portal-Key: x"], "field of the protocol itself"),
        (["wide", "/x", "-X", "GE T"], "isn't a method"),
        (["wide", "/x", "-X", "CONNECT"], "isn't a method"),
        (["wide", "/x", "--timeout", "0"], "timeout"),
        (["wide", "/x", "--json", "-i"], "leave out --include"),
        (["wide"], "See: portal-proxy call --help"),
    ],
)
def test_a_call_that_cannot_be_meant_is_status_2_and_asks_nobody(
    street: Street, words: list[str], said: str
) -> None:
    variables = {"PORTAL_CONFIG": str(street.ada.config)}
    result = CliRunner().invoke(with_what_is_needed("call"), ["call", "Bob", *words], env=variables)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert said in line
    assert street.relay.sent == b""


def test_a_body_that_is_not_there_is_a_reason(street: Street, tmp_path: Path) -> None:
    done = street.call("Bob", "wide", "/x", "-d", f"@{tmp_path / 'none'}")
    assert (done.status, done.stdout) == (1, b"")
    assert "No such file" in done.reason


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has such files")
def test_a_file_that_does_not_tell_its_size_is_sent_whole(street: Street) -> None:
    done = street.call("Bob", "wide", "/x", "-d", "@/proc/self/status")
    assert (done.status, done.stdout) == (0, b"ok")
    assert b"\nPid:\t" in street.app.request.body


def test_an_empty_file_is_a_body_of_no_bytes(street: Street, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert street.call("Bob", "wide", "/x", "-d", f"@{tmp_path / 'empty'}").status == 0
    assert street.app.request.one("content-length") == b"0"


def test_a_response_that_can_be_printed_nowhere_is_a_reason(street: Street) -> None:
    words = street.ada.command_line("call", "Bob", "wide", "/x")
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *words]
    done = subprocess.run(
        closed, env=environment(), stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert done.stderr == "portal-proxy: stdout is closed: there is nowhere to print the response\n"


def test_a_terminal_gets_no_control_character_of_the_response(street: Street) -> None:
    body = b"\x1b[31mred\ttab\r\nend\xff " + "\u202eü".encode()
    street.app.script(response(200, body=body))
    ours, theirs = pty.openpty()
    try:
        command = street.ada.command_line("call", "Bob", "wide", "/x")
        done = subprocess.run(
            command, env=environment(), stdout=theirs, check=False, timeout=PATIENCE
        )
        os.close(theirs)  # so that what was never printed is an error, and not waited for
        shown = os.read(ours, 4096)
    finally:
        os.close(ours)
    assert done.returncode == 0
    assert shown.decode() == "\\x1b[31mred\ttab\\r\r\nend\\xff \\u202eü"


def test_a_call_that_is_interrupted_says_so_in_a_line(street: Street) -> None:
    with street.start("Bob", "endless", "/x") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(4) == b"more"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 1
        reason = process.stderr.read().decode()
    assert reason == ("portal-proxy: stopped after 4 bytes; the call was perhaps carried out\n")


def test_a_reader_that_leaves_ends_the_call(street: Street) -> None:
    street.app.script(response(200, body=bytes(1 << 22)))
    with street.start("Bob", "wide", "/x") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(1) == b"\x00"
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert b"Traceback" not in process.stderr.read()


def test_silence_ends_a_call_after_the_time_that_was_given(street: Street) -> None:
    done = street.call("Bob", "endless", "/x", "--timeout", "0.5")
    assert (done.status, done.stdout) == (1, b"more")
    assert "nothing more of the response came for 0.5 s" in done.reason
    eventually(lambda: "endless" in street.bob.log)
