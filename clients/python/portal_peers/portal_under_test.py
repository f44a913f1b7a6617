"""One real Portal in a temporary folder: its files, its proxy, and clients of every kind for it.

Nothing needs DNS or a certificate: its hosts are below ``localhost``, and its clients find them at
this machine's loopback.
"""

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from portal_peers.app_servers import LOOPBACK, NotStarted, environment
from portal_peers.async_portal import AsyncPortal
from portal_peers.errors import PortalError
from portal_peers.portal import Peer, Portal
from portal_peers.settings import Settings

DOMAIN = "portal.localhost"
PATIENCE = 120.0
"""Seconds that anything may take before it counts as failed."""
NO_PROXY = "127.0.0.1,::1,*:443"
"""Not ``localhost``, which to many libraries is every host below it: the peers' are."""

_PORTAL_YAML = """\
id: new
name: {name}
domain: {domain}
public_url: "http://{{short_id}}.{domain}:{public}"
state: ../state
log: json
listen: {{public: "{loopback}:{public}", apps: "{loopback}:{apps}", owner: "{loopback}:{owner}"}}
"""
_SHORT = 6
_MOST_SHOWN = 4000


class PortalUnderTest:
    """One Portal that runs, with the app under test behind it."""

    def __init__(self, folder: Path, name: str, app_name: str) -> None:
        self.folder = folder
        self.name = name
        self.app_name = app_name
        self.id = ""
        self._holders = [_held_port() for _ in range(4)]
        ports = [holder.getsockname()[1] for holder in self._holders]
        self.public_port, self._apps, self._owner_port, self.app_port = ports
        self._token = ""
        self._ended = ExitStack()
        self._owner: httpx.Client | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.visitor = self.client()
        """A stranger's client, with the app's public address as its base."""
        self.portal: Portal
        """The app's own client, as the app itself would have it."""

    @property
    def host(self) -> str:
        """The Portal's own host and port, as others reach it."""
        return f"{self.id[:_SHORT]}.{DOMAIN}:{self.public_port}"

    @property
    def url(self) -> str:
        """The app's public address; only this object's clients find the way to it."""
        return f"http://{self.app_name}.{self.host}"

    @property
    def settings(self) -> Settings:
        return Settings(f"http://{LOOPBACK}:{self._apps}", token=self._token)

    @property
    def environment(self) -> dict[str, str]:
        """What the app needs in its environment to call peers, with this package or without."""
        proxy = f"http://{self.app_name}:{self._token}@{LOOPBACK}:{self._apps}"
        return {
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "NO_PROXY": NO_PROXY,
            "no_proxy": NO_PROXY,
            "PORTAL_CORE_URL": self.settings.url,
            "PORTAL_TOKEN": self._token,
        }

    def client(self, **headers: str) -> httpx.Client:
        """Return a client of a stranger's, for the app's public address."""
        base = self.url if self.id else f"http://{LOOPBACK}"
        client = httpx.Client(
            base_url=base,
            transport=_ToLoopback(self.public_port),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=PATIENCE,
            trust_env=False,
        )
        self._ended.callback(client.close)
        return client

    @property
    def owner(self) -> httpx.Client:
        """A client that is paired with the Portal: one of its owner's devices."""
        if self._owner is None:
            self._owner = self.pair()
        return self._owner

    def pair(self, name: str = "Test") -> httpx.Client:
        """Pair one more device of the owner's with the Portal; return its client."""
        code = json.loads(self.command("terminals", "pair", "--json"))["code"]
        form = {"code": code, "name": name, "to": f"{self.url}/"}
        with httpx.Client(transport=_ToLoopback(self.public_port), timeout=PATIENCE) as browser:
            paired = browser.post(
                f"http://{self.host}/core/public/pair",
                content=urlencode(form),
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Origin": f"http://{self.host}",
                },
            )
        cookies = [each.partition(";")[0] for each in paired.headers.get_list("set-cookie")]
        if paired.status_code != httpx.codes.SEE_OTHER or not cookies:
            raise PortalError(f"{self.name}'s Portal pairs no device: {paired.text[:300]}")
        return self.client(Cookie="; ".join(cookies))

    def async_portal(self) -> AsyncPortal:
        """Return the app's own client for an event loop; close it there."""
        return AsyncPortal(settings=self.settings)

    def peer(self, other: "PortalUnderTest") -> Peer:
        """Return another Portal as the app here may call it."""
        return self.portal.peer(other.id)

    def allow(self, *peers: "PortalUnderTest | str") -> None:
        """Say whom the app may know: Portals, or ``"all"`` or ``"none"``; and wait for it."""
        words = [each if isinstance(each, str) else each.id for each in peers] or ["none"]
        self.command("apps", "allow", self.app_name, *words)
        known = None if words == ["all"] else {each for each in words if each != "none"}
        eventually(
            lambda: known is None or {each.id for each in self.portal.peers()} == known,
            f"{self.name}'s Portal doesn't follow who is allowed",
        )

    def command(self, *words: str) -> str:
        """Run ``portal-proxy`` for this Portal; return what it printed."""
        done = subprocess.run(  # noqa: S603 - our own program
            [*_program(), "--config", str(self._config), *words],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise PortalError(f"portal-proxy {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def log(self, **members: object) -> list[dict[str, Any]]:
        """Return the Portal's log, once it tells of all that was answered before.

        Each line is an object; ``members`` choose those that have them, as in
        ``log(listener="public", caller="peer")``.
        """
        mark = f"/{secrets.token_hex(8)}"
        with httpx.Client(transport=_ToLoopback(self.public_port), timeout=PATIENCE) as client:
            client.get(f"http://{self.host}{mark}")
        eventually(lambda: mark in self._whole_log(), f"{self.name}'s log has no line of {mark}")
        lines = [json.loads(line) for line in self._whole_log().splitlines() if line[:1] == "{"]
        return [
            line for line in lines if line.get("path") != mark and members.items() <= line.items()
        ]

    def start(self) -> None:
        """Start the proxy, and wait until it is there."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*_program(), "--config", str(self._config), "serve", "--init"],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.id = self._find_id()

    def stop(self) -> None:
        """End the proxy, so that peers find nobody; ``start`` brings it back."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def set_up(self, app_json: Mapping[str, Any] | Path, upstream: str) -> None:
        """Write the Portal's files, start its proxy and find out who it is."""
        app = self._config / "apps" / self.app_name
        app.mkdir(parents=True)
        if isinstance(app_json, Path):
            shutil.copy(app_json, app / "app.json")
        else:
            (app / "app.json").write_text(json.dumps(app_json), "utf-8")
        (app / "proxy.yaml").write_text(f"upstream: {upstream}\n", "utf-8")
        text = _PORTAL_YAML.format(
            name=json.dumps(self.name, ensure_ascii=False),
            domain=DOMAIN,
            loopback=LOOPBACK,
            public=self.public_port,
            apps=self._apps,
            owner=self._owner_port,
        )
        (self._config / "portal.yaml").write_text(text, "utf-8")
        self._ended.callback(self.stop)
        self.start()
        if problems := self._problems():
            raise NotStarted("\n".join([f"{self.name}'s Portal serves no such app:", *problems]))
        self._token = self.command("apps", "token", self.app_name).strip()
        self.visitor.base_url = httpx.URL(self.url)
        self.portal = Portal(settings=self.settings, timeout=PATIENCE)
        self._ended.callback(self.portal.close)

    def befriend(self, others: Sequence["PortalUnderTest"]) -> None:
        """Let this Portal know ``others``, and its app all of them."""
        peers = [
            {
                "id": other.id,
                "name": other.name,
                "address": f"http://{other.host}",
                "connect": f"{LOOPBACK}:{other.public_port}",
            }
            for other in others
        ]
        # As one would by hand; JSON is YAML. A command for each takes its second.
        lists = {"peers": peers, "apps": {self.app_name: "all"}}
        text = json.dumps(lists, indent=1, ensure_ascii=False)
        new = self.folder / "state" / "contacts.new"
        new.touch(0o600)
        new.write_text(text, "utf-8")
        new.replace(self.folder / "state" / "contacts.yaml")

    def wait_until_known(self, others: Sequence["PortalUnderTest"]) -> None:
        """Wait until the app here may call ``others``, and they take its calls."""
        wanted = {other.id for other in others}

        def known() -> bool:
            try:
                found = self.portal.peers()
            except PortalError:
                return False
            return {each.id for each in found if each.is_reachable} >= wanted

        eventually(known, f"{self.name}'s app doesn't reach its peers")

    def close(self) -> None:
        """End the proxy, and let go of the ports."""
        self._ended.close()
        for holder in self._holders:
            holder.close()

    def __repr__(self) -> str:
        return f"PortalUnderTest({self.name!r}, {self.id[:_SHORT]})"

    @property
    def _config(self) -> Path:
        return self.folder / "config"

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _whole_log(self) -> str:
        return self._log_file.read_text("utf-8", "replace").rpartition("\n")[0]

    def _problems(self) -> list[str]:
        """Return what the proxy finds wrong with the app's files; it says so before it listens."""
        lines = [json.loads(line) for line in self._whole_log().splitlines() if line[:1] == "{"]
        # A request's line names no logger.
        said = [each for each in lines if (each.get("logger"), each["level"]) == ("apps", "error")]
        return [str(line["message"]).partition(": ")[2] for line in said]

    def _find_id(self) -> str:
        found: list[str] = []

        def answers() -> bool:
            process = self._process
            if process is not None and process.poll() is not None:
                log = self._log_file.read_text("utf-8", "replace")
                raise NotStarted(f"{self.name}'s Portal has ended:\n{log[-_MOST_SHOWN:]}")
            try:
                told = httpx.get(
                    f"http://{LOOPBACK}:{self._apps}/public/meta/whoareyou", trust_env=False
                )
                found.append(str(told.json()["id"]))
            except (httpx.TransportError, ValueError, KeyError):
                return False
            return True

        eventually(answers, f"{self.name}'s Portal doesn't start")
        return found[0]


def _program() -> list[str]:
    """Return how ``portal-proxy`` of this environment is run, whatever ``proxy`` a test imports."""
    script = Path(sysconfig.get_path("scripts")) / "portal-proxy"
    return [str(script)] if script.exists() else [sys.executable, "-m", "proxy"]


def eventually(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until ``condition`` is true; raise with ``otherwise`` where it takes too long."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise NotStarted(otherwise)
        time.sleep(0.05)


def _held_port() -> socket.socket:
    """Return a socket that keeps a free port for whoever asks for it with SO_REUSEADDR."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    return holder


class _ToLoopback(httpx.BaseTransport):
    """Every host is this machine at one port: names below ``localhost`` needn't resolve."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._network = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        here = request.url.copy_with(host=LOOPBACK, port=self._port)
        return self._network.handle_request(
            httpx.Request(
                request.method,
                here,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    def close(self) -> None:
        self._network.close()
