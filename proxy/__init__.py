"""A peering proxy for Portals: apps call the same app on another Portal, authenticated by keys.

``cli`` are the commands, ``server`` is the process that ``serve`` starts, and ``embedded`` the same
under somebody else's server. ``inbound`` brings requests to apps, ``outbound`` apps' calls to
peers, on what they share in ``transfer`` and over ``http``. ``config`` is what the owner wrote,
``state`` what the proxy wrote. In ``core``, pure functions over bytes, every decision is made.

What others' code may import stands here: ``PortalMiddleware`` and ``create_app``, which put the
public listener under their own server, and ``Config`` with ``load_config``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.config.portal_yaml import Config, load_config
    from proxy.embedded.middleware import PortalMiddleware, create_app

__all__ = ["Config", "PortalMiddleware", "create_app", "load_config"]

_MODULES = {
    "Config": "proxy.config.portal_yaml",
    "PortalMiddleware": "proxy.embedded.middleware",
    "create_app": "proxy.embedded.middleware",
    "load_config": "proxy.config.portal_yaml",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, so that ``import proxy`` costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
