"""A running proxy's view of its apps: follows config/apps, keeps the last good form of each.

A file that can't be read must not take an app away, nor leave an old one without a word: what is
wrong is kept beside the apps, and logged once for each change.
"""

import logging
import os
import time
from pathlib import Path

from proxy.config.app_settings import FILE_NAME
from proxy.config.apps import APPS_FOLDER, KINDS, Catalogue, is_without_author, load_catalogue

SETTLING = 0.1
"""Seconds for which a file may still be being written: a part of proxy.yaml can look whole."""

_log = logging.getLogger("proxy.apps")
_FILES = (*KINDS, FILE_NAME)

_Version = dict[Path, tuple[int, ...] | None]


class CatalogueWatch:
    """The current apps of the config ``folder``; reads them when made."""

    def __init__(self, folder: Path, settling: float = SETTLING) -> None:
        self._folder = folder
        self._settling = settling * 1e9
        self._has_waited = False
        self.current = Catalogue()
        self._version = self._files()
        self.current = load_catalogue(folder)
        _report(self.current)

    def refresh(self) -> bool:
        """Read the apps again if a file changed; tells whether something is new.

        What changed a moment ago is left until the next time, and so is a file that is gone: many
        programs take the old one away before they write the new one.
        """
        # Taken before the files are read: a change in between is seen the next time.
        version = self._files()
        if version == self._version:
            return False
        is_settled = not _is_fresh(version, self._settling) and not self._is_between(version)
        if not self._has_waited and not is_settled:
            self._has_waited = True
            return False
        self._has_waited = False
        self._version = version
        found = load_catalogue(self._folder).after(self.current)
        if found == self.current:
            return False
        self.current = found
        _log.info("the apps changed: %s", ", ".join(sorted(self.current.apps)) or "none")
        _report(self.current)
        return True

    def _is_between(self, version: _Version) -> bool:
        """Tell whether an app that is served has a folder, but no author's file in it."""
        folders = (self._folder / APPS_FOLDER / name for name in self.current.apps)
        return any(is_without_author(folder) for folder in folders if folder in version)

    def _files(self) -> _Version:
        """Return what changes with every change of a file that an app is read from."""
        apps = self._folder / APPS_FOLDER
        try:
            folders = [apps / name for name in os.listdir(apps)]  # noqa: PTH208 - names are enough
        except OSError:
            folders = []
        named = (folder / name for folder in folders for name in _FILES)
        return {path: _stat(path) for path in (*folders, *named, *self.current.sources)}


def _stat(path: Path) -> tuple[int, ...] | None:
    """Return the file's version, the time of its last change first; a folder has none."""
    try:
        status = path.stat()
    except OSError:
        return None
    if path.name not in _FILES and os.path.isdir(path):  # noqa: PTH112 - never raises
        return ()
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino


def _is_fresh(version: _Version, settling: float) -> bool:
    now = time.time_ns()
    return any(0 <= now - stat[0] < settling for stat in version.values() if stat)


def _report(catalogue: Catalogue) -> None:
    for problem in catalogue.problems:
        _log.error("an app is wrong, its last good form stays in use if there is one: %s", problem)
    for notice in catalogue.notices:
        _log.warning("%s", notice)
