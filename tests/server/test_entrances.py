"""The listeners at apps' entrances, without any proxy around them: nothing before they begin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.config.listen import Address
from proxy.server.entrance_sockets import EntranceSockets
from proxy.server.entrances import Entrances, OwnSockets
from proxy.transfer.disk_thread import DiskThread
from tests.server.test_entrance_sockets import _app

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_without_listeners_opens_none(tmp_path: Path) -> None:
    """As under another server, where apps have no way out."""
    path = tmp_path / "portal.sock"
    apps = _app("one", Address(unix=str(path)))
    entrances = Entrances(lambda: apps, OwnSockets(EntranceSockets({})))
    asyncio.run(entrances.follow(DiskThread("none")))
    assert not path.exists()
    assert entrances.problems() == ()
