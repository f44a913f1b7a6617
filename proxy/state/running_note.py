"""Where a running proxy listens, noted for ``health``: to find that out anew costs half a second.

What reads it is ``proxy.server.quick_health``. It says nothing that portal.yaml doesn't, and a note
that is old does no harm: who is there is asked. Nothing depends on it.
"""

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from proxy.state.files import write_atomically
from proxy.state.system_errors import explained

VERSION = "1"

_log = logging.getLogger("proxy")


class NotedListener(NamedTuple):
    """One listener."""

    name: str
    address: str
    """As portal.yaml has it."""
    bound: str | tuple[str, int]
    """Its socket's own address: a path, or an IP address and a port."""
    tls: bool
    host: str
    """The Host that it is asked for."""


def note_running(
    path: Path, portal_id: str, folder: Path, listeners: Iterable[NotedListener]
) -> None:
    """Write the note to ``path``; ``folder`` is portal.yaml's.

    Waits for the disk, and raises nothing.
    """
    note = {
        "v": VERSION,
        "id": portal_id,
        "folder": os.path.realpath(folder),
        "listeners": [listener._asdict() for listener in listeners],
    }
    try:
        write_atomically(path, json.dumps(note).encode("ascii"))
    except OSError as error:
        _log.info("health will cost more: %s can't be written: %s", path, explained(error))
