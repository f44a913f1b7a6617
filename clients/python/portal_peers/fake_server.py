"""The fake Portal at a port, for what doesn't call by this package: requests, urllib, a program.

It takes calls in both forms that a Portal takes: by path, and as a forward proxy.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from portal_peers.fake import FakePortal

_LOOPBACK = "127.0.0.1"
_TOKEN = "fake-token"  # noqa: S105 - anything is taken for one
_ABSOLUTE = re.compile(r"http://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_OWN = frozenset({"portal_core", "portal-core", "shard_core"})
_OF_CONNECTION = frozenset({"connection", "proxy-connection", "proxy-authorization", "keep-alive"})
_SET_ANEW = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})


@contextmanager
def served(fake: "FakePortal", app: str) -> Iterator[dict[str, str]]:
    """Serve ``fake`` at a free port; in the context are the variables that an app needs."""

    class Handler(_Handler):
        portal = fake

    server = ThreadingHTTPServer((_LOOPBACK, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    address = f"{_LOOPBACK}:{server.server_address[1]}"
    through = f"http://{app}:{_TOKEN}@{address}"
    try:
        yield {
            "HTTP_PROXY": through,
            "http_proxy": through,
            "NO_PROXY": "127.0.0.1,::1,*:443",
            "no_proxy": "127.0.0.1,::1,*:443",
            "PORTAL_CORE_URL": f"http://{address}",
            "PORTAL_TOKEN": _TOKEN,
        }
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    portal: "FakePortal"
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        """Answer one request."""
        content = self._content()
        fields = [
            (name, value)
            for name, value in self.headers.items()
            if name.lower() not in _OF_CONNECTION
        ]
        request = httpx.Request(
            self.command,
            "http://portal_core",
            headers=fields,
            content=content,
            extensions={"target": self._target().encode("latin-1")},
        )
        response = self.portal.handle_request(request)
        body = response.read()
        self.send_response(response.status_code)
        for name, value in response.headers.multi_items():
            if name not in _SET_ANEW:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _target(self) -> str:
        """Return the target in the path form."""
        match = _ABSOLUTE.fullmatch(self.path)
        if match is None:
            return self.path
        host, rest = match[1].partition(":")[0].lower(), match[2] or "/"
        if host in _OWN:
            return rest
        short_id = [*host.split("."), ""][1]  # <app>.<short ID>.<domain>
        return f"/internal/call_peer/{short_id}{rest}"

    def _content(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):  # http.server asks for a method of the request's name
            return self.handle_any
        raise AttributeError(name)
