"""The stage as containers: docker-compose.yml, driven with ``docker compose``.

Runs as a project of its own, so that it never touches containers that somebody started by hand.
"""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from demo.conversation import NAMES
from demo.report import tell, wait_until
from demo.stage import DemoError, Portal, Response, finish_undisturbed

_ROOT = Path(__file__).resolve().parent.parent
_PROJECT = "portal-demo"
_COMPOSE = ("docker", "compose", "--project-name", _PROJECT)
_PORTS = {"ada": 8180, "bob": 8280, "cleo": 8380}
_PUBLIC = 8080
_RELAY = 8099
_PATIENCE = 900.0
"""Seconds for the longest command: the first build, over a slow line."""
_LOG_TAIL = "20"
_CLEAR_LINE = "\033[2K"
"""What some versions of Compose write before each line of a log, whatever one asks for."""

_CALL = """
import base64, json, sys, urllib.error, urllib.request
method, path = sys.argv[1:]
request = urllib.request.Request("http://portal_core" + path, method=method)
try:
    response = urllib.request.urlopen(request, timeout=30)
except urllib.error.HTTPError as error:
    response = error
print(json.dumps([response.status, base64.b64encode(response.read()).decode()]))
"""
_KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except OSError as error:
    print("closed:", error)
else:
    print("open")
"""
_RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


class Containers:
    """A stage of containers. A context manager: at its end all of it is removed, unless kept."""

    end_command = " ".join([*_COMPOSE, "down --volumes"])

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._started = False
        self._relay: subprocess.Popen[bytes] | None = None
        self._overheard = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        finish_undisturbed()
        if self._relay is not None:
            self._relay.communicate()  # ends the relay's standard input, and so the relay
        self._overheard.close()
        if self._started and (error is not None or not self._keep):
            tell("Removing the containers, networks and volumes ...")
            _compose("down", "--volumes", "--timeout", "5")

    def start(self) -> None:
        """Build and start everything, and wait until every health check passes."""
        _refuse_without_engine()
        tell("   Building the images and starting them; the first time this takes some minutes ...")
        self._started = True
        _compose("up", "--detach", "--build", "--wait", "--quiet-pull")
        # The ear on the wire: in Ada's proxy's container, where her calls to Bob pass through.
        source = (_ROOT / "demo" / "relay.py").read_text()
        line = (*_COMPOSE, "exec", "-T", "ada-proxy", "python3", "-c", source)
        self._relay = subprocess.Popen(  # noqa: S603 - our own program
            [*line, str(_RELAY), f"bob-proxy:{_PUBLIC}"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=self._overheard,
        )
        wait_until("the relay", lambda: _knock("ada-proxy", "127.0.0.1", _RELAY))

    def command(self, portal: str, *arguments: str) -> str:
        """Run ``portal-proxy`` in a Portal's container."""
        return _compose("exec", "-T", f"{portal}-proxy", "portal-proxy", *arguments)

    def command_line(self, portal: str) -> str:
        """Return how a person runs ``portal-proxy`` for a Portal."""
        return " ".join([*_COMPOSE, "exec", f"{portal}-proxy", "portal-proxy"])

    def connect(self, portal: str, to: str) -> str:
        """Return where a proxy finds another; Ada finds Bob through the relay."""
        if (portal, to) == ("ada", "bob"):
            return f"127.0.0.1:{_RELAY}"
        return f"{to}-proxy:{_PUBLIC}"

    def port(self, portal: str) -> int:
        """Return the published port of the public listener."""
        return _PORTS[portal]

    def call_as_app(self, portal: str, app: str, method: str, path: str) -> Response:
        """Ask at the app's entrance, from inside its container: it needs no token there."""
        line = ("exec", "-T", f"{portal}-{app}", "python3", "-c", _CALL)
        status, body = json.loads(_compose(*line, method, path))
        return Response(status, base64.b64decode(body))

    def log(self, portal: str, part: str) -> str:
        """Return what a container has logged."""
        said = _compose("logs", "--no-log-prefix", "--no-color", f"{portal}-{part}")
        return said.replace(_CLEAR_LINE, "")

    def overheard(self) -> bytes:
        """Return the relay's record of what went by between Ada's proxy and Bob's."""
        return Path(self._overheard.name).read_bytes()

    def log_tails(self) -> str:
        """Return the end of every proxy's log, for somebody who looks for a fault."""
        proxies = [f"{key}-proxy" for key in NAMES]
        line = [*_COMPOSE, "logs", "--no-color", "--tail", _LOG_TAIL, *proxies]
        return subprocess.run(  # noqa: S603 - our own words
            line, cwd=_ROOT, capture_output=True, text=True, check=False
        ).stdout

    def try_the_walls(self) -> None:
        """Try to get from one network into another; the open doors are tried as well."""
        tell("\n12. What one Portal's containers can reach of another's, and one app of another:")
        entrance = _address_of("ada-proxy", "proxy.postcards.ada.internal")
        ada, bob = (_address_of(f"{key}-proxy", f"{key}-proxy") for key in ("ada", "bob"))
        box = _address_of("ada-postcards", "postcards.ada.internal")
        tries = (
            ("bob-proxy", "ada-proxy", _PUBLIC, True, "Bob's proxy, Ada's public listener"),
            (
                "bob-proxy",
                "ada-proxy",
                80,
                False,
                "Bob's proxy, the entrance of Ada's postcard box",
            ),
            ("bob-proxy", entrance, 80, False, "... by its address on that app's own network"),
            ("bob-proxy", "ada-proxy", 8081, False, "Bob's proxy, Ada's apps listener"),
            ("bob-proxy", "ada-proxy", 8082, False, "Bob's proxy, Ada's owner's listener"),
            ("ada-postcards", "portal-core", 80, True, "Ada's postcard box, its own entrance"),
            ("ada-postcards", "shard_core", 80, True, "... by the name that older apps know"),
            ("ada-files", "portal_core", 80, True, "Ada's files, their own entrance"),
            ("ada-files", entrance, 80, False, "Ada's files, her postcards' entrance"),
            ("ada-files", box, 8000, False, "... the postcard box itself"),
            ("ada-postcards", entrance, 8081, False, "Ada's postcard box, her apps listener"),
            ("ada-postcards", entrance, 8082, False, "... her owner's listener"),
            ("ada-postcards", ada, _PUBLIC, False, "... her proxy's other network"),
            ("ada-postcards", bob, _PUBLIC, False, "... Bob's proxy"),
        )
        for service, host, port, expected, told in tries:
            if _knock(service, host, port) is not expected:
                raise DemoError(f"{told}: {'closed' if expected else 'open'}, and must not be")
            tell(f"   {told}: {'open' if expected else 'closed'}, as it should be")

    def connect_directly(self, portals: dict[str, Portal]) -> None:
        """Let Ada's proxy find Bob's without the relay, which ends with this program."""
        bob = portals["bob"]
        self.command("ada", "peers", "remove", bob.id)
        address = ("--address", f"http://{bob.host}", "--connect", f"bob-proxy:{_PUBLIC}")
        self.command("ada", "peers", "add", bob.id, "--name", "Bob", *address)
        self.command("ada", "apps", "allow", "postcards", bob.id)


def _refuse_without_engine() -> None:
    for line, what in (
        (["docker", "compose", "version"], "Docker with Compose v2"),
        (["docker", "info"], "a running Docker engine that you may use"),
    ):
        if shutil.which("docker") is None or _status(line) != 0:
            raise DemoError(f"this needs {what}; there is none here. `make demo` needs neither.")


def _status(line: list[str]) -> int:
    return subprocess.run(line, capture_output=True, check=False).returncode  # noqa: S603 - fixed


def _compose(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own words
        [*_COMPOSE, *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(arguments)[:200]
        raise DemoError(f"docker compose {shown}: {done.stderr.strip()[-3000:]}")
    return done.stdout


def _knock(service: str, host: str, port: int) -> bool:
    """Tell whether a connection can be made from a container."""
    said = _compose("exec", "-T", service, "python3", "-c", _KNOCK, host, str(port))
    return said.startswith("open")


def _address_of(service: str, host: str) -> str:
    """Return the IP address that a container resolves a name to."""
    return _compose("exec", "-T", service, "python3", "-c", _RESOLVE, host).strip()
