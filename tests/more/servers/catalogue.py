"""Real servers and frameworks, each with a small app in its own idiom (``apps/``)."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.wire.harness.portals import ROOT, end, environment, reserve_port, wait_for_ports
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
APPS = HERE / "apps"
ENVIRONMENT = ROOT / ".venv-servers"
PRIVATE = "/public/private/secret"
"""What a stranger asks for; without its first part it is the private page."""


@dataclass(frozen=True)
class Server:
    """How to start one; ``{port}``, ``{apps}``, ``{files}`` and ``{config}`` stand for those.

    ``files`` is a folder with ``private/secret``, ``private/index.html`` and ``public/page``.
    """

    name: str
    command: tuple[str, ...]
    config: str = ""
    """The text of the file ``{config}``."""
    target: str = PRIVATE
    """What is asked for that another mount point turns into the private page."""
    mark: bytes = b'"private"'
    """What stands in the private page alone."""
    volatile: str = "(?!)"
    """What is another with each request."""
    settings: str = ""
    """Lines of proxy.yaml that it needs."""

    @property
    def is_here(self) -> bool:
        return shutil.which(self.executable) is not None and (
            not self.executable.startswith("node") or (HERE / "node_modules").exists()
        )

    @property
    def is_on_socket(self) -> bool:
        return any("{socket}" in word for word in self.command)

    @property
    def executable(self) -> str:
        command = self.command[0]
        in_environment = ENVIRONMENT / "bin" / command
        return str(in_environment) if in_environment.exists() else command


def _python(name: str, *words: str) -> Server:
    return Server(name, ("python", *words))


def _gunicorn(name: str, app: str, *more: str, bind: str = "127.0.0.1:{port}") -> Server:
    quiet = ("--log-level", "error", "--chdir", "{apps}", "--bind", bind)
    return Server(name, ("gunicorn", *quiet, *more, app))


def _uvicorn(name: str, app: str) -> Server:
    quiet = ("--log-level", "error", "--app-dir", "{apps}", "--port", "{port}")
    return Server(name, ("uvicorn", *quiet, app))


def _node(name: str, *more: str) -> Server:
    return Server(name, ("node", f"{{apps}}/{name}.mjs", "{port}", *more))


_LIGHTTPD = """
server.document-root = "{files}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ("mod_cgi")
server.errorlog = "/dev/null"
mimetype.assign = ("" => "text/plain")
index-file.names = ("index.html")
cgi.assign = (".cgi" => "/bin/sh")
"""
_NGINX = """
daemon off; pid {config}.pid; error_log /dev/null; worker_processes 1; master_process off;
events {}
http {
  access_log /dev/null; default_type text/plain;
  client_body_temp_path {config}.1; proxy_temp_path {config}.2; fastcgi_temp_path {config}.3;
  uwsgi_temp_path {config}.4; scgi_temp_path {config}.5;
  server { listen 127.0.0.1:{port}; root {files}; }
}
"""
_RADICALE = """
[server]
hosts = 127.0.0.1:{port}
[storage]
filesystem_folder = {config}.d
[auth]
type = none
[logging]
level = critical
"""
# These say HTTP/1.1, or say so to OPTIONS, and lose the body of a chunked request all the same.
_OLD = 'http: "1.0"\n'
_CGI = "/public/cgi/seen.cgi/public/private/secret"

SERVERS = (
    # WSGI
    _gunicorn("gunicorn", "wsgi:app"),
    _gunicorn("gunicorn-threads", "wsgi:app", "--worker-class", "gthread"),
    _gunicorn("gunicorn-asgi", "asgi:app", "--worker-class", "asgi"),
    _gunicorn("flask", "flask_app:app"),
    _gunicorn("flask-socket", "flask_app:app", bind="unix:{socket}"),
    _gunicorn("flask-snippet", "flask_app:proxied"),
    _gunicorn("flask-proxyfix", "flask_app:fixed"),
    _gunicorn("django", "django_app:app"),
    _python("waitress", "{apps}/wsgi.py", "waitress", "{port}"),
    _python("cheroot", "{apps}/wsgi.py", "cheroot", "{port}"),
    _python("wsgiref", "{apps}/wsgi.py", "wsgiref", "{port}"),
    _python("gevent", "{apps}/wsgi.py", "gevent", "{port}"),
    _python("werkzeug", "{apps}/wsgi.py", "werkzeug", "{port}"),
    _python("twisted", "{apps}/wsgi.py", "twisted", "{port}"),
    _python("bottle", "{apps}/bottle_app.py", "{port}", "{files}"),
    # ASGI, and servers of their own
    Server("daphne", ("daphne", "-v", "0", "-p", "{port}", "asgi:app")),
    Server("daphne-django", ("daphne", "-v", "0", "-p", "{port}", "django_app:asgi")),
    _uvicorn("uvicorn", "asgi:app"),
    _uvicorn("fastapi", "fastapi_app:app"),
    Server("hypercorn", ("hypercorn", "--bind", "127.0.0.1:{port}", "asgi:app")),
    Server("hypercorn-wsgi", ("hypercorn", "--bind", "127.0.0.1:{port}", "wsgi:app")),
    _python("sanic", "{apps}/sanic_app.py", "{port}"),
    _python("tornado", "{apps}/tornado_app.py", "{port}"),
    _python("aiohttp", "{apps}/aiohttp_app.py", "{port}"),
    _python("http-server", "{apps}/http_server.py", "careful", "{port}"),
    _python("http-server-careless", "{apps}/http_server.py", "careless", "{port}"),
    replace(_python("http-server-kept", "{apps}/http_server.py", "kept", "{port}"),
            settings=_OLD),
    Server("radicale", ("python", "-m", "radicale", "--config", "{config}"), _RADICALE,
           "/public/.web/index.html", b"Radicale Web Interface"),
    Server("wsgidav", ("wsgidav", "--host", "127.0.0.1", "--port", "{port}", "--root", "{files}",
                       "--auth", "anonymous", "--no-config", "-q"),
           mark=b"the secret", volatile=r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*"),
    # node
    _node("express"),
    _node("polka"),
    _node("koa"),
    _node("fastify"),
    _node("url"),
    Server("sirv", _node("sirv", "{files}").command, mark=b"the secret"),
    # Debian
    Server("php", ("php", "-S", "127.0.0.1:{port}", "{apps}/router.php")),
    Server("webrick", ("ruby", "{apps}/webrick.rb", "{port}")),
    Server("lighttpd", ("lighttpd", "-D", "-f", "{config}"), _LIGHTTPD, mark=b"the secret"),
    Server("lighttpd-cgi", ("lighttpd", "-D", "-f", "{config}"), _LIGHTTPD, _CGI),
    Server("nginx", ("nginx", "-c", "{config}"), _NGINX, mark=b"the secret"),
    Server("webfsd", ("webfsd", "-F", "-i", "127.0.0.1", "-p", "{port}", "-r", "{files}",
                      "-f", "index.html"), mark=b"the secret"),
    Server("mini-httpd-cgi", ("mini_httpd", "-D", "-h", "127.0.0.1", "-p", "{port}",
                              "-d", "{files}", "-c", "public/cgi/*"), target=_CGI, settings=_OLD),
)  # fmt: skip
BY_NAME = {server.name: server for server in SERVERS}


def movers() -> Mapping[str, Mapping[str, str]]:
    """Return the names by which somebody takes another path or the like, and who reads them."""
    data: Mapping[str, Mapping[str, str]] = json.loads((HERE / "movers.json").read_text("utf-8"))
    return data


class Running:
    """Each server's port, and those servers that were asked for so far; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._started: set[str] = set()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        # /tmp/pytest-of-root is 0700; webfsd and mini_httpd step down from root.
        self.files = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.files.chmod(0o755)
        for name, text in _FILES.items():
            (self.files / name).parent.mkdir(exist_ok=True)
            (self.files / name).write_text(text, "utf-8")
        for odd in ODD_NAMES:
            (self.files / "private" / os.fsdecode(odd)).write_text("an odd name", "ascii")
        (self.files / "public/cgi").mkdir()
        shutil.copy(APPS / "seen.cgi", self.files / "public/cgi")
        self._reserved = {server.name: reserve_port() for server in SERVERS}
        for holder, _ in self._reserved.values():
            self._stack.enter_context(holder)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:  # all at once: some take a second
            process.terminate()
        self._stack.close()

    def port(self, server: Server) -> int:
        """Return where a server is or will be."""
        return self._reserved[server.name][1]

    def socket(self, server: Server) -> Path:
        return self.folder / f"{server.name}.sock"

    def start(self, server: Server) -> None:
        """Start a server that isn't running."""
        if server.name in self._started:
            return
        self._started.add(server.name)
        holder, port = self._reserved[server.name]
        config, log_file = (self.folder / f"{server.name}.{end}" for end in ("config", "log"))
        places = {"port": port, "apps": APPS, "files": self.files, "config": config,
                  "socket": self.socket(server)}  # fmt: skip

        def filled(text: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), text)

        config.write_text(filled(server.config), "utf-8")
        command = [server.executable, *map(filled, server.command[1:])]
        holder.close()  # some servers ask for the port without SO_REUSEADDR
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                command, env={**environment(), "PYTHONPATH": str(APPS)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=APPS,
            )  # fmt: skip
        self._processes.append(process)
        self._stack.callback(end, process)
        if server.is_on_socket:
            eventually(lambda: _takes_connections(self.socket(server)))
        else:
            wait_for_ports(process, port, log=log_file)


def _takes_connections(path: Path) -> bool:
    """Tell whether somebody listens there; the file is there a moment sooner."""
    with socket.socket(socket.AF_UNIX) as wire:
        return wire.connect_ex(str(path)) == 0


ODD_NAMES = (b"caf\xe9", "caf\xe9".encode(), b"back\\slash", b"two\nlines")
"""Files in ``private`` whose names aren't UTF-8, or have characters that some take for others."""
_FILES = {
    "private/secret": "the secret",
    "private/index.html": "the secret index",
    "public/page": "a page",
    "public/index.html": "an index",
}
