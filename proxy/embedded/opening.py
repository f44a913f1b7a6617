"""Opening a Portal for somebody else's server: the same files, less what is for our own sockets."""

from dataclasses import replace
from pathlib import Path

from starlette.types import ASGIApp

from proxy.config.apps import APPS_FOLDER
from proxy.config.portal_yaml import Config, load_config
from proxy.core.errors import Invalid, Problem
from proxy.http.in_process.engine import AsgiUpstream
from proxy.server.compose import Running, compose

Settings = Config | str | Path
"""A Portal's settings, or the path of the folder that holds portal.yaml."""


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
