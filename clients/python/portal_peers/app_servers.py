"""How an app under test is served: in a thread of the test, or by a command of its own."""

import inspect
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from portal_peers.errors import PortalError
from portal_peers.settings import Settings, settings_here

LOOPBACK = "127.0.0.1"
_OF_WSGI = 2
_MOST_SHOWN = 4000
_GRACE = 10.0

Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class NotStarted(PortalError):
    """A Portal or an app under test isn't there, or doesn't do what it was told in time."""


def environment() -> dict[str, str]:
    """Return this process's environment without the HTTP proxies and Portals that it knows."""
    return {name: value for name, value in os.environ.items() if not _leads_elsewhere(name)}


def _leads_elsewhere(name: str) -> bool:
    return name.lower().endswith("_proxy") or name.startswith("PORTAL_")


def serve_in_thread(app: Callable[..., Any], port: int, settings: Settings) -> Callable[[], None]:
    """Serve an ASGI or WSGI app at ``port``; return what ends that.

    To what runs in the app, ``settings`` are its Portal.
    """
    return _serve_wsgi(app, port, settings) if _is_wsgi(app) else _serve_asgi(app, port, settings)


def _is_wsgi(app: Callable[..., Any]) -> bool:
    called = app if inspect.isroutine(app) else type(app).__call__
    if inspect.iscoroutinefunction(called):
        return False
    bound = 0 if inspect.isroutine(app) else 1
    taken = inspect.signature(called).parameters.values()
    needed = [each for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD]
    return len(needed) - bound == _OF_WSGI


def _serve_asgi(app: Asgi, port: int, settings: Settings) -> Callable[[], None]:
    async def at_its_portal(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        with settings_here(settings):
            await app(scope, receive, send)

    # Without a configuration of its own: that would take the log from the test's runner.
    config = uvicorn.Config(at_its_portal, log_level="warning", log_config=None)
    server = uvicorn.Server(config)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((LOOPBACK, port))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join(_GRACE)
        listening.close()

    until = time.monotonic() + 60
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            end()
            raise NotStarted("The app didn't start; what it said is in the captured log.")
        time.sleep(0.01)
    return end


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the Portal's log tells of each request."""


def _serve_wsgi(app: Wsgi, port: int, settings: Settings) -> Callable[[], None]:
    def at_its_portal(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        with settings_here(settings):
            body = app(environ, start_response)
            try:
                yield from body
            finally:
                if hasattr(body, "close"):
                    body.close()

    server = make_server(LOOPBACK, port, at_its_portal, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        thread.join(_GRACE)
        server.server_close()

    return end


class CommandServer:
    """An app that a command starts; it and all that it started end with ``close``."""

    def __init__(self, words: list[str], own: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - the test's own app
                words,
                env={**environment(), **own},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def wait(self, port: int, patience: float) -> None:
        """Wait until the app takes connections."""
        end = time.monotonic() + patience
        while True:
            try:
                socket.create_connection((LOOPBACK, port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    said = self._log.read_text("utf-8", "replace")[-_MOST_SHOWN:]
                    raise NotStarted(f"The app doesn't listen at {port}:\n{said}") from None
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
