"""The Portal in front of the real servers, and how strangers, devices and peers ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.wire.harness.raw import Raw, exchange, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.access.policy import Mode
    from proxy.core.identity import PrivateKey
    from tests.more.servers.catalogue import Running, Server
    from tests.wire.harness.portals import Portal
    from tests.wire.harness.terminals import Device

RULES = {
    "opened": {"": "private", "/public/": "public", "/static/public/": "public"},
    "closed": {"": "public", "/private/": "private"},
    "peers": {"": "private", "/public/": "peer"},
    "all": {"": "public"},
}
"""The rules that a server is an app with, each under another name."""


def app_name(server: Server, kind: str) -> str:
    return f"{server.name}-{kind}"


@dataclass(frozen=True)
class Front:
    """What runs: the servers, the Portal, and who may come to it."""

    running: Running
    portal: Portal
    phone: Device
    """A device of the owner's."""
    cleo: PrivateKey
    """A contact's key, to sign odd calls with."""
    callers: Mapping[Mode, Portal]
    """Two contacts' Portals, by the mode in which they call."""

    def host(self, server: Server, kind: str) -> str:
        return self.portal.app_host(app_name(server, kind))

    def ask(
        self,
        server: Server,
        kind: str,
        target: str | bytes,
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
    ) -> Raw:
        """Ask through the Portal, on a connection of its own."""
        host = ("Host", self.host(server, kind))
        return exchange(self.portal.public, request(method, target, host, *fields, body=body))

    def ask_directly(self, server: Server, target: str | bytes) -> Raw:
        """Ask the server itself."""
        raw = request("GET", target, ("Host", "app.test"), ("Connection", "close"))
        return exchange(self.running.port(server), raw)
