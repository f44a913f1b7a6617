"""The apps of this Portal while a proxy runs: their files are followed, and read as they change.

Of an app that is broken now the last good version stays; of one whose files can't be read, only for
a while.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from proxy.config.apps import (
    APP_FILES,
    APPS_FOLDER,
    Catalogue,
    is_without_author,
    load_catalogue,
    names_in,
)
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.state.file_watch import STALE_AFTER, FileWatch, Look, Versions
from proxy.state.files import FileVersion, Unreadable, file_version

SETTLING = 0.1
"""Seconds for which a file may still be being written: a part of proxy.yaml can look whole."""

_log = logging.getLogger("proxy.apps")
_ANY_FOLDER = FileVersion(0, 0, 0, 0, 0)
_NO_APPS: frozenset[str] = frozenset()
_WHILE_UNREAD = (
    f"a file in it couldn't be read for {STALE_AFTER:g} seconds or more: nobody reaches the app "
    "until it can be read"
)


class CatalogueWatch(FileWatch[Catalogue]):
    """The current apps of the config ``folder``; the last good version of each that is broken."""

    _while_stale = "no app is served until it can be read"

    def __init__(
        self,
        folder: Path,
        settling: float = SETTLING,
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(Catalogue(), steady=steady)
        self._folder = folder
        self._unread: dict[str, float] = {}
        """Since when files of single apps can't be read, by the steady clock."""
        self._listing: tuple[FileVersion | None, list[str]] | None = None
        """The version of the folder of the apps, and what was in it then."""
        self._settling = settling * 1e9
        self._has_waited = False
        self.refresh()
        self._log_faults()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they are; those apps are older, or missing."""
        stale = (
            Problem(str(self._folder / APPS_FOLDER / name), "", _WHILE_UNREAD)
            for name in sorted(self.unavailable)
            if not self.is_stale
        )
        return (*super().problems, *self.current.problems, *stale)

    @property
    def unavailable(self) -> frozenset[str]:
        """The apps that nobody reaches now: their files couldn't be read for too long.

        By an old rule somebody could be let in who isn't any more, or by an app that is gone.
        """
        if self.is_stale:
            return frozenset(self.current.apps)
        if not self._unread:
            return _NO_APPS
        now = self._steady()
        return frozenset(n for n, since in self._unread.items() if now - since >= STALE_AFTER)

    def apply(self, look: Look[Catalogue]) -> bool:
        """Take over what a look found; note which apps' files can't be read."""
        changed = super().apply(look)
        names, now = self.current.unreadable, self._steady()
        self._unread = {name: self._unread.get(name, now) for name in names}
        return changed

    @property
    def _name(self) -> str:
        return str(self._folder / APPS_FOLDER)

    def _look(self) -> Versions:
        apps = self._folder / APPS_FOLDER
        folders = [apps / name for name in self._list(apps)]
        # Nothing else can be an app's: what nobody may read, lost+found say, mustn't matter.
        of_apps = (folder for folder in folders if is_dns_label(folder.name))
        named = (folder / name for folder in of_apps for name in APP_FILES)
        return {path: _version_of(path) for path in (*folders, *named, *self.current.sources)}

    def _list(self, apps: Path) -> list[str]:
        """Return what is in the folder; raises ``Unreadable``.

        One that is as it was when it was listed holds what it held: without a descriptor, too.
        """
        version, before = file_version(apps, follow_links=True), self._listing
        try:
            names = names_in(apps)
        except Unreadable:
            if before is None or version is None or before[0] != version:
                raise
            return before[1]
        self._listing = version, names
        return names

    def _is_settled(self, versions: Versions) -> bool:
        """Wait for one look where a file changed a moment ago, or is gone.

        Many programs take the old one away before they write the new one.
        """
        is_changing = _is_fresh(versions, self._settling) or self._is_between(versions)
        self._has_waited = is_changing and not self._has_waited
        return not self._has_waited

    def _is_between(self, versions: Versions) -> bool:
        """Tell whether an app that is served has a folder, but no author's file in it."""
        folders = (self._folder / APPS_FOLDER / name for name in self.current.apps)
        return any(is_without_author(folder) for folder in folders if folder in versions)

    def _read(self) -> Catalogue:
        names = self._listing[1] if self._listing is not None else ()
        return load_catalogue(self._folder, names).after(self.current)

    def _is_complete(self, value: Catalogue) -> bool:
        return not value.unreadable

    def _log_change(self) -> None:
        _log.info("the apps changed: %s", ", ".join(sorted(self.current.apps)) or "none")
        self._log_faults()

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the apps can't be read, those that were there stay in use: %s", invalid)

    def _log_faults(self) -> None:
        for problem in self.current.problems:
            _log.error(
                "an app is wrong, its last good version stays in use if there is one: %s", problem
            )
        for notice in self.current.notices:
            _log.warning("%s", notice)


def _version_of(path: Path) -> FileVersion | None:
    """Return a file's version. Every folder has the same: what else is in it is the app's own.

    One that can't be told is another one at each look: that app is read again, and no other.
    """
    try:
        version = file_version(path, follow_links=True)
    except Unreadable:
        if not os.path.isdir(path.parent):  # noqa: PTH112 - never raises
            return None  # a file in the place of an app's folder
        return FileVersion(0, 0, 0, 0, time.monotonic_ns())
    if version is None or path.name in APP_FILES:
        return version
    return _ANY_FOLDER if os.path.isdir(path) else version  # noqa: PTH112 - never raises


def _is_fresh(versions: Versions, settling: float) -> bool:
    now = time.time_ns()
    return any(0 <= now - version.changed < settling for version in versions.values() if version)
