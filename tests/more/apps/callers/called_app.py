"""The app that is called: pages, one that redirects by a whole URL, and a repository of git's."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.wire.harness.raw import Raw, read_message, response
from tests.wire.harness.recorder import Accepted, Server

if TYPE_CHECKING:
    import socket

REPOSITORY = "/things.git"


class CalledApp(Server):
    """It answers ``ok``, and notes what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.requests: list[tuple[bytes, bytes, bytes]] = []
        """Method, target and body of each."""
        git = ["git", "-C", str(self.repository)]
        self.repository.mkdir(parents=True)
        subprocess.run([*git, "init", "--quiet", "--bare"], check=True)
        subprocess.run([*git, "config", "http.receivepack", "true"], check=True)
        super().__init__()

    @property
    def repository(self) -> Path:
        return self._folder / REPOSITORY.strip("/")

    def clear(self) -> None:
        """Forget what it was asked for."""
        with self._lock:
            self.requests.clear()

    def commits(self) -> list[str]:
        """Return what the commits say that were pushed, the last one first."""
        log = ["git", "-C", str(self.repository), "log", "--branches", "--format=%s"]
        done = subprocess.run(log, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        while True:
            request = read_message(wire)
            with self._lock:
                method = request.first_line.partition(b" ")[0]
                self.requests.append((method, request.target, request.body))
            wire.send(self._answer(request))

    def _answer(self, request: Raw) -> bytes:
        if request.target.startswith(f"{REPOSITORY}/".encode()):
            return self._git(request)
        if request.target == b"/moved":
            scheme, host = request.one("x-forwarded-proto"), request.one("host")
            return response(302, ("Location", scheme + b"://" + host + b"/entries"))
        return response(200, ("Content-Type", "text/plain"), body=b"ok")

    def _git(self, request: Raw) -> bytes:
        """Answer as git's own program does, which speaks CGI."""
        path, _, query = request.target.decode().partition("?")
        fields = dict(request.fields)
        variables = {
            "GIT_PROJECT_ROOT": str(self._folder), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.first_line.split(b" ")[0].decode(), "PATH_INFO": path,
            "QUERY_STRING": query, "CONTENT_LENGTH": str(len(request.body)),
            "CONTENT_TYPE": fields.get(b"content-type", b"").decode(),
            "HTTP_CONTENT_ENCODING": fields.get(b"content-encoding", b"").decode(),
            "GIT_PROTOCOL": fields.get(b"git-protocol", b"").decode(),
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=request.body, capture_output=True, check=True,
            env={**os.environ, **variables},
        )  # fmt: skip
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        pairs = [line.partition(b": ") for line in head.split(b"\r\n")]
        status = [value for name, _, value in pairs if name == b"Status"] or [b"200"]
        told = [(name.decode(), value) for name, _, value in pairs if name != b"Status"]
        return response(int(status[0].split(b" ")[0]), *told, body=body)
