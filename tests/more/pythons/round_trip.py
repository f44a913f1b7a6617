"""Two Portals from the wheel: one's app calls the same app at the other, and is proven.

Everything is done with the program alone, as its owners would, in a folder of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.patience import PATIENCE

_LOOPBACK = "127.0.0.1"
_APP = {"v": "3.2", "port": 80, "paths": {"": {"access": "private"}, "/peer": {"access": "peer"}}}
_LISTENERS = ("public", "apps", "owner")


class _Echo(BaseHTTPRequestHandler):
    """Answers with who called, and the body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        caller = self.headers["X-Ptl-Client-Type"], self.headers["X-Ptl-Client-Id"]
        told = json.dumps([*caller, body.decode()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class _Portal:
    program: Path
    folder: Path
    name: str
    ports: dict[str, int] = field(default_factory=dict)
    holders: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for listener in _LISTENERS:
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((_LOOPBACK, 0))
            self.holders.append(holder)
            self.ports[listener] = holder.getsockname()[1]

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("PORTAL_", "PYTHON")) and not name.lower().endswith("_proxy")
        }  # fmt: skip
        listen = {
            f"PORTAL_LISTEN_{listener.upper()}": f"{_LOOPBACK}:{port}"
            for listener, port in self.ports.items()
        }
        address = f"http://{{short_id}}.portal.localhost:{self.ports['public']}"
        return {**kept, **listen, "PORTAL_PUBLIC_URL": address}

    def run(self, *words: str) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(
            [str(self.program), *words], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def add_app(self, upstream: int) -> None:
        folder = self.folder / "config" / "apps" / "echo"
        folder.mkdir(parents=True)
        (folder / "app.json").write_text(json.dumps(_APP))
        (folder / "proxy.yaml").write_text(f"upstream: http://{_LOOPBACK}:{upstream}\n")

    def serve(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        log = stack.enter_context((self.folder / "log").open("wb"))
        process = subprocess.Popen(
            [str(self.program), "serve"], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.kill)
        end = time.monotonic() + PATIENCE
        while not self._is_ready():
            said = (self.folder / "log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.05)
        return process

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(_LOOPBACK, self.ports["owner"], timeout=PATIENCE)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def make_a_round_trip(program: Path, folder: Path) -> None:
    """Have an app of Ada's call the same app of Bob's; raises ``AssertionError``."""
    with ExitStack() as stack:
        echo = stack.enter_context(ThreadingHTTPServer((_LOOPBACK, 0), _Echo))
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        stack.callback(echo.shutdown)
        ada, bob = (_Portal(program, folder / name, name) for name in ("Ada", "Bob"))
        cards = {}
        for portal in (ada, bob):
            for holder in portal.holders:
                stack.callback(holder.close)
            portal.run("init", "--name", portal.name, "--domain", "portal.localhost")
            portal.add_app(echo.server_port)
            cards[portal.name] = json.loads(portal.run("card", "--json"))
        for portal, other in ((ada, bob), (bob, ada)):
            there = f"{_LOOPBACK}:{other.ports['public']}"
            portal.run("peers", "add", cards[other.name]["card"], "--connect", there)
            portal.run("apps", "allow", "echo", "all")
        processes = [portal.serve(stack) for portal in (ada, bob)]
        for portal in (ada, bob):
            portal.run("health")
            portal.run("check")
        ada.run("ping", "Bob")
        proven = ["peer", cards["Ada"]["id"], "hello"]
        assert json.loads(ada.run("call", "Bob", "echo", "/peer/x", "-d", "hello")) == proven
        assert _call_of_app(ada, cards["Bob"]["id"]) == proven
        for process in processes:
            process.terminate()
            assert process.wait(PATIENCE) == 0
        for portal in (ada, bob):
            said = (portal.folder / "log").read_text()
            assert "Traceback" not in said, said


def _call_of_app(portal: _Portal, peer: str) -> object:
    """Call the peer's app as the app here would."""
    token = portal.run("apps", "token", "echo").strip()
    connection = http.client.HTTPConnection(_LOOPBACK, portal.ports["apps"], timeout=PATIENCE)
    try:
        fields = {"Portal-Token": token}
        connection.request("POST", f"/internal/call_peer/{peer}/peer/x", "hello", fields)
        response = connection.getresponse()
        body = response.read()
        assert response.status == http.client.OK, body
        return json.loads(body)
    finally:
        connection.close()
