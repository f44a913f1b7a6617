"""A process that may open few descriptors: it says so, and never runs out of them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.config.limits import DEFAULT_LIMITS
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_life import health
from tests.wire.test_limits_connections import keep

FEW = 64
LIMITS = replace(DEFAULT_LIMITS, descriptors=FEW)
FIT = LIMITS.at("public").connections


class Poor(Portal):
    """A Portal whose processes may open ``FEW`` descriptors and no more."""

    def command_line(self, *words: str, config: Path | None = None) -> list[str]:
        usual = super().command_line(*words, config=config)
        return ["sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh", *usual]

    def said_by(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as poorly."""
        return subprocess.run(
            self.command_line(command), env=environment(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip


@pytest.fixture
def paula(tmp_path: Path, app: Recorder) -> Iterator[Poor]:
    portal = Poor(tmp_path / "paula", "Paula")
    for name in ("site", "other", "third"):
        portal.add_app(name, SITE, app.port)
    portal.start()
    yield portal
    portal.release()
    assert "Traceback" not in portal.log, portal.log


def ask(portal: Portal, app: str = "site") -> bytes:
    return request("GET", "/", ("Host", portal.app_host(app)))


def test_who_doesn_t_fit_is_told_and_who_is_there_goes_on(paula: Poor) -> None:
    with ExitStack() as stack:
        kept = keep(paula, stack, "127.0.0.1", FIT)
        crowd = [stack.enter_context(RawConnection(paula.public)) for _ in range(2 * FEW)]
        for number, wire in enumerate(kept):
            wire.send(ask(paula, ("site", "other", "third")[number % 3]))
            assert wire.read().body == b"ok"
        # Those that can't be told are closed; nobody waits.
        heard = [wire.rest() for wire in crowd]
        assert all(text.startswith(b"HTTP/1.1 503 ") for text in heard if text)
        assert any(b"too_many_connections" in text for text in heard)
        assert health(paula).status == 200

    def is_served() -> bool:
        with suppress(OSError, EOFError):  # until then a connection may be one too many
            return exchange(paula.public, ask(paula)).status == 200
        return False

    eventually(is_served)
    assert "Too many open files" not in paula.log


class _Ok(BaseHTTPRequestHandler):
    """Answers, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


def test_idle_connections_to_apps_take_none_that_is_needed(paula: Poor) -> None:
    """One client may ask many apps, each of which keeps a connection for a while."""
    with ThreadingHTTPServer(("0.0.0.0", 0), _Ok) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        paula.stop()
        for number in range(FEW):
            name = f"app{number}"
            paula.add_app(name, SITE, 9)
            upstream = f"upstream: http://127.0.1.{number + 1}:{server.server_port}\n"
            (paula.config / "apps" / name / "proxy.yaml").write_text(upstream)
        paula.start()
        with ExitStack() as stack:
            [wire] = keep(paula, stack, "127.0.0.1", 1)
            for number in range(FEW):
                wire.send(ask(paula, f"app{number}"))
                assert wire.read().body == b"ok", number
        server.shutdown()


def test_the_owner_is_told_by_check_and_by_the_log(paula: Poor) -> None:
    told = LIMITS.shortage()
    eventually(lambda: f"limits.connections: {told}" in paula.log)
    done = paula.said_by("check")
    assert f"limits.connections: {told}" in done.stdout
    assert done.returncode == 0


def test_with_enough_nobody_is_told_anything(gina: Portal) -> None:
    gina.stop()
    gina.settings += "limits:\n  connections: 16\n"
    gina.write_config(gina.config)
    assert "limits.connections" not in gina.command("check").stdout
