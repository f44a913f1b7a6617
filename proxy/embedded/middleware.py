"""What another program serves a Portal with: around its own app, or alone (docs/middleware.md).

Both open a Portal from the same files as ``serve``, less what is for our own sockets.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.config.apps import APPS_FOLDER
from proxy.config.portal_yaml import Config, load_config
from proxy.core.errors import Invalid, Problem
from proxy.embedded.portal_app import PortalApp
from proxy.http.in_process.engine import AsgiUpstream
from proxy.server.compose import compose
from proxy.server.running import Running

Settings = Config | str | Path
"""A Portal's settings, or the path of the folder that holds portal.yaml."""


class PortalMiddleware:
    """Wraps an ASGI app: every request passes the Portal's checks first.

    ``config`` is the folder that holds portal.yaml, or a ``Config``; ``name`` is the app's, whose
    app.json is below that folder. The Portal opens when the server starts (ASGI's lifespan), and
    says then what is wrong with its files. Only two hosts are answered: the app's and the Portal's
    own; any other is 421.
    """

    def __init__(self, app: ASGIApp, config: Settings, *, name: str) -> None:
        self._portal_app = PortalApp(partial(open_for, app, name, config), app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket, or the server's whole life."""
        await self._portal_app(scope, receive, send)


def create_app(config: Settings = "config") -> ASGIApp:
    """Return the ASGI app that serves strangers and peers, as the public listener does.

    ``config`` is the folder that holds portal.yaml, or a ``Config``. The Portal opens when the
    server starts (ASGI's lifespan), and says then what is wrong with its files.
    """
    return PortalApp(partial(open_portal, config))


def open_portal(settings: Settings) -> Running:
    """Open a Portal whose apps are where their files say; raises ``Invalid``."""
    return compose(_read(settings))


def open_for(app: ASGIApp, name: str, settings: Settings) -> Running:
    """Open a Portal for the one app ``name``, which is ``app``; raises ``Invalid``.

    Unlike a proxy, which serves what it can, this one has nothing to serve without its app's file.
    """
    config = _read(settings)
    running = compose(config, only=name, upstream=AsgiUpstream(app))
    if name in running.portal.apps:
        return running
    running.replays.close()
    folder = config.folder / APPS_FOLDER / name
    catalogue = running.portal.catalogue.current
    found = [problem for problem in catalogue.problems if Path(problem.file).is_relative_to(folder)]
    raise Invalid(found or [Problem(str(folder), "", "there is no such app")])


def _read(settings: Settings) -> Config:
    """Return the settings; TLS is the server's that we are under."""
    config = settings if isinstance(settings, Config) else load_config(Path(settings))
    return replace(config, tls=None)
