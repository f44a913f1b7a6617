"""A ``Portal`` that the module's own functions share: made when first asked, by the environment."""

import os
import threading
from typing import Any

from portal_peers.portal import Peer, Portal
from portal_peers.settings import Settings, current

_lock = threading.Lock()
_shared: dict[Settings, Portal] = {}
_MOST = 8
"""Portals that are kept: a program has one, a test may have several."""


def portal() -> Portal:
    """Return the one that the environment tells of."""
    settings = current()
    with _lock:
        found = _shared.get(settings)
        if found is None:
            while len(_shared) >= _MOST:
                _shared.pop(next(iter(_shared))).close()
            found = _shared[settings] = Portal(settings=settings)
        return found


def peers(name: str = "") -> list[Peer]:
    """Return the peers that the app may know; see ``Portal.peers``."""
    return portal().peers(name)


def peer(peer_id: str) -> Peer:
    """Return one of them; see ``Portal.peer``."""
    return portal().peer(peer_id)


def whoareyou() -> dict[str, Any]:
    """Return what the Portal says of itself."""
    return portal().whoareyou()


def _forget() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when this process was forked
    _lock = threading.Lock()
    _shared.clear()  # whose connections belong to the process that was forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
