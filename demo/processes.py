"""The stage as processes: three proxies and six apps on this machine's loopback.

Every process is the leader of a group of its own, and every group is ended on the way out, whatever
the way out is.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from demo.conversation import NAMES
from demo.report import tell
from demo.stage import PATIENCE, DemoError, Response, finish_undisturbed

_ROOT = Path(__file__).resolve().parent.parent
_DEMO = _ROOT / "demo"
_BASES = {"ada": 9100, "bob": 9200, "cleo": 9300}
_OFFSETS = {"postcards": 1, "files": 2, "public": 80, "apps": 81, "owner": 82}
"""A Portal's ports, counted from its base: the same as in config/."""
_RELAY = 9289
"""Where Ada's proxy finds Bob's: a relay that listens in."""
_GRACE = 5.0
"""Seconds that a process has to end by itself."""
_LOG_TAIL = 20


class Processes:
    """A stage of processes; ``root`` is where config/ and demo/state/ are. A context manager."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._config = root / "config"
        self._state = root / "demo" / "state"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        finish_undisturbed()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        for process in self._running.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()

    def prepare(self) -> None:
        """See that every port is free, and make the keys and contact lists that are missing."""
        _refuse_ports_in_use()
        tell(f"   Making the keys that are missing; all that lasts is in {self._state}")
        for key in NAMES:
            (self._state / key).mkdir(parents=True, exist_ok=True)
            self.command(key, "init")

    def start(self) -> None:
        """Start the relay, the apps with their tokens and the proxies; return when all answer."""
        tell("   Starting the proxies and the apps ...")
        overheard = self._state / "overheard"
        overheard.unlink(missing_ok=True)
        relay = [sys.executable, str(_DEMO / "relay.py"), str(_RELAY), f"127.0.0.1:{_port('bob')}"]
        self._start("relay", relay, overheard, {})
        for key in NAMES:
            self._start_apps(key)
            proxy = [sys.executable, "-m", "proxy", "--config", str(self._config / key), "serve"]
            self._start(f"{key} proxy", proxy, self._log(key, "proxy"), {})
        for key in NAMES:
            self._wait_for(key)

    def ended(self) -> str:
        """Return the name of a process that has ended, or ""."""
        return next(
            (name for name, process in self._running.items() if process.poll() is not None), ""
        )

    def command(self, portal: str, *arguments: str) -> str:
        """Run ``portal-proxy`` for a Portal; return what it printed, or raise with what it said."""
        line = [sys.executable, "-m", "proxy", "--config", str(self._config / portal), *arguments]
        done = subprocess.run(  # noqa: S603 - our own program with our own words
            line, cwd=_ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode != 0:
            shown = f"portal-proxy --config {self._config / portal} {' '.join(arguments)}"
            raise DemoError(f"{shown}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def command_line(self, portal: str) -> str:
        """Return how a person runs ``portal-proxy`` for a Portal."""
        return f"{sys.executable} -m proxy --config {self._config / portal}"

    def connect(self, portal: str, to: str) -> str:
        """Return where a proxy finds another; Ada finds Bob through the relay."""
        port = _RELAY if (portal, to) == ("ada", "bob") else _port(to)
        return f"127.0.0.1:{port}"

    def port(self, portal: str) -> int:
        """Return the port of the public listener."""
        return _port(portal)

    def call_as_app(self, portal: str, app: str, method: str, path: str) -> Response:
        """Ask the apps listener as the app does: as an HTTP proxy that takes its token."""
        handler = urllib.request.ProxyHandler({"http": self._proxy_for(portal, app)})
        request = urllib.request.Request(f"http://portal_core{path}", method=method)
        try:
            with urllib.request.build_opener(handler).open(request, timeout=PATIENCE) as response:
                return Response(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.read())
        except OSError as error:
            raise DemoError(f"{portal}'s apps listener doesn't answer: {error}") from error

    def log(self, portal: str, part: str) -> str:
        """Return what a process has logged."""
        path = self._log(portal, part)
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def overheard(self) -> bytes:
        """Return the relay's record of what went by between Ada's proxy and Bob's."""
        return (self._state / "overheard").read_bytes()

    def log_tails(self) -> str:
        """Return the end of every proxy's log, for somebody who looks for a fault."""
        tails = []
        for key, name in NAMES.items():
            lines = self.log(key, "proxy").splitlines()[-_LOG_TAIL:]
            if not lines:
                continue
            tails.append("\n".join([f"--- {name}'s proxy, {self._log(key, 'proxy')}", *lines]))
        return "\n".join(tails)

    def _start_apps(self, key: str) -> None:
        """Start the two apps as they are; the postcard box finds its Portal by HTTP_PROXY."""
        port = str(_port(key, "postcards"))
        storage = str(self._state / key / "postcards.sqlite")
        postcards = [sys.executable, "-m", "postcards", "--port", port, "--storage", storage]
        environment = {"HTTP_PROXY": self._proxy_for(key, "postcards")}
        self._start(f"{key} postcards", postcards, self._log(key, "postcards"), environment)
        port = str(_port(key, "files"))
        files = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"]
        files += ["--directory", str(_DEMO / "files" / "folder")]
        self._start(f"{key} files", files, self._log(key, "files"), {})

    def _start(self, name: str, line: list[str], log: Path, environment: dict[str, str]) -> None:
        # What this shell has set for proxies is not for the demo's loopback.
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with log.open("wb") as sink:
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own programs
                line,
                cwd=_DEMO if "postcards" in line else _ROOT,
                env=inherited | environment,
                # The relay ends with its standard input, so even a killed demo leaves none.
                stdin=subprocess.PIPE if name == "relay" else subprocess.DEVNULL,
                stdout=sink,
                stderr=None if name == "relay" else subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(self, key: str) -> None:
        """Wait until every listener and every app of a Portal answers."""
        end = time.monotonic() + PATIENCE
        while True:
            gone = self.ended()
            if gone:
                # The relay has no log: what it says is at the terminal already.
                portal, _, part = gone.partition(" ")
                raise DemoError(f"the process '{gone}' has ended:\n{self.log(portal, part)}")
            try:
                self.command(key, "health")
                for app in ("postcards", "files"):
                    socket.create_connection(("127.0.0.1", _port(key, app)), timeout=1).close()
            except (DemoError, OSError) as error:
                if time.monotonic() > end:
                    raise DemoError(f"{NAMES[key]}'s Portal didn't start: {error}") from error
                time.sleep(0.1)
            else:
                return

    def _proxy_for(self, key: str, app: str) -> str:
        if (key, app) not in self._tokens:
            self._tokens[key, app] = self.command(key, "apps", "token", app).strip()
        return f"http://{app}:{self._tokens[key, app]}@127.0.0.1:{_port(key, 'apps')}"

    def _log(self, key: str, part: str) -> Path:
        return self._state / key / f"{part}.log"


def _port(key: str, what: str = "public") -> int:
    return _BASES[key] + _OFFSETS[what]


def _refuse_ports_in_use() -> None:
    wanted = {_RELAY: "the relay"}
    wanted |= {_port(key, what): f"{NAMES[key]}'s {what}" for key in NAMES for what in _OFFSETS}
    taken = []
    for port, whose in wanted.items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            taken.append(f"{port} ({whose})")
    if taken:
        raise DemoError(f"in use already: port {', '.join(taken)}. Is another demo running?")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
