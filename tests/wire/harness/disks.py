"""Disks that are full when a test wants it."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .portals import Portal

_KIB = 1024


class Disk(Protocol):
    """Where a Portal's folder is."""

    def fill(self, portal: Portal) -> None:
        """Leave the running proxy no room."""

    def empty(self, portal: Portal) -> None:
        """Give it room again."""

    def command(self, *words: str) -> list[str]:
        """Return how a command is run that has no more room than the proxy has."""


class Limit:
    """No disk is needed: the system lets the process write nothing to any file."""

    _is_full = False

    def fill(self, portal: Portal) -> None:
        self.limit(portal, 0)

    def empty(self, portal: Portal) -> None:
        self.limit(portal, resource.RLIM_INFINITY)

    def command(self, *words: str) -> list[str]:
        return ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *words] if self._is_full else [*words]

    def limit(self, portal: Portal, limit: int) -> None:
        self._is_full = limit == 0
        if portal._process is None:
            return
        hard = resource.RLIM_INFINITY
        resource.prlimit(portal._process.pid, resource.RLIMIT_FSIZE, (limit, hard))


class FileSystem:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self, portal: Portal) -> None:
        del portal
        with self._filler.open("ab", buffering=0) as filler:
            for size in (64 * _KIB, 4 * _KIB, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue

    def empty(self, portal: Portal) -> None:
        del portal
        self._filler.unlink()

    def command(self, *words: str) -> list[str]:
        return [*words]
