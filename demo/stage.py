"""The stage: what the conversation needs of three Portals, be they processes or containers."""

import http.client
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

DOMAIN = "portal.localhost"
PATIENCE = 30.0
"""Seconds that any one response may take."""


class DemoError(Exception):
    """Something isn't as it must be; the text says what, for a person."""


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def code(self) -> str:
        """The ``code`` of a problem document (RFC 9457), or ""."""
        try:
            problem = json.loads(self.body)
        except ValueError:
            return ""
        return str(problem.get("code", "")) if isinstance(problem, dict) else ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True)
class Portal:
    """One Portal on the stage; ``port`` is that of its public listener on this machine."""

    key: str
    name: str
    id: str
    port: int

    @property
    def host(self) -> str:
        """The Portal's own host and port, as others reach it."""
        return f"{self.id[:6]}.{DOMAIN}:{self.port}"

    def page(self, app: str) -> str:
        """Return the address of an app's page."""
        return f"http://{app}.{self.host}/"


class Stage(Protocol):
    """Three Portals with two apps each, whatever they run in."""

    def command(self, portal: str, *arguments: str) -> str:
        """Run ``portal-proxy`` with ``arguments`` for a Portal; return what it printed."""

    def command_line(self, portal: str) -> str:
        """Return how a person runs ``portal-proxy`` for a Portal."""

    def connect(self, portal: str, to: str) -> str:
        """Return ``host:port`` where one Portal's proxy finds another, without DNS."""

    def port(self, portal: str) -> int:
        """Return the port of the public listener on this machine."""

    def call_as_app(self, portal: str, app: str, method: str, path: str) -> Response:
        """Ask ``http://portal_core`` for ``path`` as an app does, with its token."""

    def log(self, portal: str, part: str) -> str:
        """Return what the proxy (``part`` "proxy") or an app has logged."""

    def overheard(self) -> bytes:
        """Return the relay's record of all that went by between Ada's proxy and Bob's."""


def finish_undisturbed() -> None:
    """Ignore a further Ctrl-C or SIGTERM: what was started is being ended already."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def visit(
    portal: Portal,
    app: str,
    method: str,
    path: str,
    body: bytes | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """Ask a Portal's public listener as any visitor can; needs no DNS. App "" is the Portal."""
    connection = http.client.HTTPConnection("127.0.0.1", portal.port, timeout=PATIENCE)
    try:
        host = f"{app}.{portal.host}" if app else portal.host
        own = {"Host": host, "Connection": "close"}
        connection.request(method, path, body, own | dict(fields or {}))
        response = connection.getresponse()
        return Response(response.status, response.read(), dict(response.getheaders()))
    except (OSError, http.client.HTTPException) as error:
        raise DemoError(f"{portal.page(app)} doesn't answer: {error!r}") from error
    finally:
        connection.close()
