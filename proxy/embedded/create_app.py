"""A Portal's public listener as an ASGI app, for any server (docs/middleware.md)."""

from functools import partial

from starlette.types import ASGIApp

from proxy.embedded.front import Front
from proxy.embedded.opening import Settings, open_portal


def create_app(config: Settings = "config") -> ASGIApp:
    """Return the ASGI app that serves strangers and peers, as the public listener does.

    ``config`` is the folder that holds portal.yaml, or a ``Config``. The Portal opens when the
    server starts (ASGI's lifespan), and says then what is wrong with its files.
    """
    return Front(partial(open_portal, config))
