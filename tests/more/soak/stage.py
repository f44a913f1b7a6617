"""Who takes part: Bob, who is measured; Eda, who calls him sealed and is measured too; an app."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from proxy.core.websocket.handshake import accept_for
from tests.core.websocket.framing import frames_of
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import read_message, response
from tests.wire.harness.recorder import Accepted, Server
from tests.wire.harness.signer import new_key

if TYPE_CHECKING:
    import socket
    from pathlib import Path

PRIVATE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "private"}}}'


class App(Server):
    """Takes what comes, says ``ok``, and returns each frame of a WebSocket; remembers nothing."""

    def handle(self, accepted: socket.socket) -> None:
        wire = Accepted(accepted, lambda _: None)
        while True:
            head = wire.until(b"\r\n\r\n")
            wire.put_back(head)
            got = read_message(wire)
            key = [value for name, value in got.fields if name == b"sec-websocket-key"]
            if key:
                switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                accept = b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + accept_for(key[0])
                wire.send(switched + accept + b"\r\n\r\n")
                _echo(wire)
                return
            wire.send(response(200, body=b"ok"))


def _echo(wire: Accepted) -> None:
    rest = b""
    while piece := wire.piece():
        frames, rest = frames_of(rest + piece)
        for frame in frames:
            wire.send(frame.raw())
            if frame.opcode == 8:
                return


class Stage:
    """The Portals as they run; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self.app = self._stack.enter_context(App())
        # One address holds a quarter of an app's places, unless it is a web server's.
        settings = "accept: [sealed, signed]\ntrusted_proxies: [127.0.0.1]\n"
        self.bob = Portal(folder / "bob", "Bob", settings=settings)
        self.eda = Portal(folder / "eda", "Eda", settings=settings)
        self.cleo = new_key()
        for portal in self.portals:
            self._stack.callback(portal.release)
            for name, manifest in (("wide", WIDE), ("site", SITE), ("mine", PRIVATE)):
                portal.add_app(name, manifest, self.app.port)
            portal.add_app("old", SITE, self.app.port, 'http: "1.0"\n')
        self.eda.knows(self.bob.as_contact(mode="sealed"), apps={"wide": "all"})
        cleo = contact(self.cleo.public.portal_id, "Cleo", 9, 9)
        self.bob.knows(self.eda.as_contact(), cleo, apps={"wide": "all"})

    @property
    def portals(self) -> tuple[Portal, Portal]:
        return self.bob, self.eda

    def __enter__(self) -> Self:
        for portal in self.portals:
            portal.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
