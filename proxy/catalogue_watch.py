"""A running proxy's view of its apps: follows config/apps, keeps the last good form of each.

A file that can't be read must not take an app away, nor leave an old one without a word: what is
wrong is kept beside the apps, and logged once for each change.
"""

import logging
from pathlib import Path

from proxy.catalogue import APPS_FOLDER, Catalogue, load_catalogue

_log = logging.getLogger("proxy.catalogue")


class CatalogueWatch:
    """The current apps of the config ``folder``; reads them when made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = self._files()
        self.current = load_catalogue(folder)
        _report(self.current)

    def refresh(self) -> bool:
        """Read the apps again if a file changed; tells whether one did."""
        # Taken before the files are read: a change in between is seen the next time.
        version = self._files()
        if version == self._version:
            return False
        self._version = version
        self.current = load_catalogue(self._folder).after(self.current)
        _log.info("the apps changed: %s", ", ".join(sorted(self.current.apps)) or "none")
        _report(self.current)
        return True

    def _files(self) -> frozenset[tuple[object, ...]]:
        """Return what changes with every change of a file that an app is read from."""
        found: set[tuple[object, ...]] = set()
        for path in (self._folder / APPS_FOLDER).glob("*/*"):
            try:
                status = path.stat()
            except OSError:
                found.add((path, None))
            else:
                found.add((path, status.st_mtime_ns, status.st_size, status.st_ino))
        return frozenset(found)


def _report(catalogue: Catalogue) -> None:
    for problem in catalogue.problems:
        _log.error("an app is wrong, its last good form stays in use if there is one: %s", problem)
    for notice in catalogue.notices:
        _log.warning("%s", notice)
