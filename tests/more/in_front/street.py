"""Ada's Portal behind a web server, and Bob's and Cleo's, which call it sealed and signed."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import pytest
from websockets.sync.client import ClientConnection, connect

from proxy.core.access.policy import Contact, Mode
from tests.certificates import authority
from tests.more.in_front.web_servers import HTTPS, NAMES, web_server
from tests.patience import PATIENCE
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Accepted, Live, Recorder
from tests.wire.harness.sockets import WebSocketApp

START = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SILENT = 65.0
"""Seconds: longer than nginx and Traefik wait by themselves."""


@dataclass
class Fronted(Portal):
    """A Portal that a web server with TLS is in front of; it listens where the files say."""

    called: str = ""
    scheme: str = "https"

    @property
    def host(self) -> str:
        return self.called

    def write_config(self, folder: Path, *, listen: tuple[int, int, int] | None = None) -> None:
        self.public = 8080
        super().write_config(folder, listen=listen)
        file = folder / "portal.yaml"
        own = f"public_url: {self.scheme}://{self.called}"
        lines = file.read_text().splitlines()
        lines = [own if line.startswith("public_url:") else line for line in lines]
        file.write_text("\n".join([*lines, ""]))

    def as_contact(self, *, connect: int | None = None, mode: Mode = "sealed") -> Contact:
        where = f"{LOOPBACK}:{connect or HTTPS}"
        return Contact(self.id, self.name, f"{self.scheme}://{self.host}", where, mode)


class Secure(RawConnection):
    """A connection to a web server, for a host whose certificate it must have."""

    def __init__(self, trusted: bytes, host: str, came_from: str = "") -> None:
        super().__init__(HTTPS, came_from)
        context = ssl.create_default_context(cadata=trusted.decode())
        context.set_alpn_protocols(["http/1.1"])
        self.socket = context.wrap_socket(self.socket, server_hostname=host)


@dataclass
class Street:
    """Everybody, and what is behind Ada's apps."""

    kind: str
    mode: str
    ada: Fronted
    bob: Portal
    cleo: Portal
    trusted: bytes
    seen: Recorder
    live: Live
    slow: Live
    go_on: threading.Event = field(default_factory=threading.Event)
    """Set: the slow app answers."""

    def ask(self, host: str, raw: bytes, came_from: str = "") -> Raw:
        """Ask Ada's Portal by way of the web server, as anybody can."""
        with Secure(self.trusted, host, came_from) as wire:
            wire.send(raw)
            return wire.read()

    def call(self, caller: Portal, app: str, target: str, *fields: tuple[str, str],
             method: str = "GET", body: bytes | None = None) -> Raw:  # fmt: skip
        """Call an app of Ada's from another Portal."""
        return exchange(caller.apps, self.call_bytes(caller, app, target, *fields, method=method,
                                                     body=body))  # fmt: skip

    def call_bytes(self, caller: Portal, app: str, target: str, *fields: tuple[str, str],
                   method: str = "GET", body: bytes | None = None) -> bytes:  # fmt: skip
        """Return what an app sends to its Portal for that."""
        own = (("Host", "portal_core"), ("Portal-Token", caller.token(app)))
        path = f"/internal/call_peer/{self.ada.id}{target}"
        return request(method, path, *own, *fields, body=body)


@contextmanager
def street(kind: str, mode: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Street]:
    """Start everybody, with the web server ``kind`` in front of Ada's Portal."""
    with ExitStack() as stack:
        trusted = stack.enter_context(web_server(kind, mode, folder / kind, authority()))
        (folder / "trusted.pem").write_bytes(trusted)
        patch.setenv("SSL_CERT_FILE", str(folder / "trusted.pem"))
        seen = stack.enter_context(Recorder())
        live, slow = (stack.enter_context(Live()) for _ in range(2))
        sockets = stack.enter_context(WebSocketApp())
        own = "app_hosts: false\n" if mode == "one-name" else ""
        settings = f"{own}trusted_proxies: [{LOOPBACK}]\n"
        ada = Fronted(folder / "ada", "Ada", settings=settings, called=NAMES[mode][0])
        bob, cleo = Portal(folder / "bob", "Bob"), Portal(folder / "cleo", "Cleo")
        apps = {"seen": seen.port, "live": live.port, "slow": slow.port, "sock": sockets.port}
        everybody: dict[str, Literal["all"]] = dict.fromkeys(apps, "all")
        for portal in (ada, bob, cleo):
            stack.callback(portal.release)
            for name, port in apps.items():
                # Else they are asked first what they speak, and these do as the test says.
                portal.add_app(name, SITE, port, 'http: "1.1"\n')
        ada.knows(bob.as_contact(mode="sealed"), cleo.as_contact(), apps=everybody)
        bob.knows(ada.as_contact(), apps=everybody)
        cleo.knows(ada.as_contact(mode="signed"), apps=everybody)
        for portal in (ada, bob, cleo):
            portal.start()
        made = Street(kind, mode, ada, bob, cleo, trusted, seen, live, slow)
        slow.act = made_slow(made.go_on)
        yield made
        made.go_on.set()
        for portal in (ada, bob, cleo):
            portal.stop()
            assert portal.MISTAKE not in portal.log, portal.log


def made_slow(go_on: threading.Event) -> Callable[[Accepted], None]:
    """Return an app that says nothing until it is told to."""

    def act(wire: Accepted) -> None:
        wire.until(b"\r\n\r\n")
        go_on.wait(PATIENCE * 2)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    return act


class Silence:
    """Requests that are silent for more than a minute, while tests go on; a context manager."""

    def __init__(self, made: Street) -> None:
        self._street = made
        self._began = time.monotonic()
        self._open = ExitStack()
        self.answers: dict[str, Raw] = {}
        ways = {"sealed": self._sealed}
        if made.mode == "app-hosts":
            ways["a stranger's"] = self._strange
        self._threads = [
            threading.Thread(target=self._ask, args=(name, ask), daemon=True)
            for name, ask in ways.items()
        ]
        for thread in self._threads:
            thread.start()
        self.websocket: ClientConnection | None = None

    def __enter__(self) -> Self:
        if self._street.mode == "app-hosts":
            self.websocket = self._open.enter_context(dial(self._street, "/public/echo"))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def over(self) -> dict[str, Raw]:
        """Wait for the end of the minute, have all answered, and return what came."""
        time.sleep(max(0.0, self._began + SILENT - time.monotonic()))
        self._street.go_on.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.answers

    def _ask(self, name: str, ask: Callable[[], Raw]) -> None:
        with suppress(OSError, EOFError):  # then there is no answer, and a test says so
            self.answers[name] = ask()

    def _sealed(self) -> Raw:
        return self._street.call(self._street.bob, "slow", "/")

    def _strange(self) -> Raw:
        host = self._street.ada.app_host("slow")
        return self._street.ask(host, request("GET", "/", ("Host", host)))


def dial(made: Street, path: str) -> ClientConnection:
    """Open a WebSocket at an app of Ada's, by way of the web server."""
    host = made.ada.app_host("sock")
    context = ssl.create_default_context(cadata=made.trusted.decode())
    opened = socket.create_connection((LOOPBACK, HTTPS), timeout=PATIENCE)
    return connect(
        f"wss://{host}{path}", sock=opened, ssl=context, server_hostname=host, proxy=None,
        max_size=None, open_timeout=PATIENCE, ping_interval=None,
    )  # fmt: skip
