"""The apps of this Portal: every folder under apps/, its author's file and the owner's settings.

One bad app never stops the others: it is left out and its problems are reported, all of them, of
all files, in one pass. On a reload, ``Catalogue.after`` keeps its last good version.
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.app_settings import Settings, load_settings
from proxy.config.config_file import is_there, read_config_file
from proxy.core.access.manifest import Manifest, parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.access.rules import Rules
from proxy.core.app_fields import DEFAULT_POLICY, FieldPolicy
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.core.text_files.text import shown
from proxy.http.upstream import Destination
from proxy.state.file_watch import STALE_AFTER, FileWatch, Look, Versions
from proxy.state.files import FileVersion, Unreadable, file_version, unreadable

APPS_FOLDER = "apps"
KINDS: tuple[Kind, ...] = ("app.json", "app_meta.json")
SETTLING = 0.1
"""Seconds for which a file may still be being written: a part of proxy.yaml can look whole."""

_log = logging.getLogger("proxy.apps")
_FILES = (*KINDS, SETTINGS_FILE)
_ANY_FOLDER = FileVersion(0, 0, 0, 0, 0)
_NO_APPS: frozenset[str] = frozenset()
_WHILE_UNREAD = (
    f"a file in it couldn't be read for {STALE_AFTER:g} seconds or more: nobody reaches the app "
    "until it can be read"
)


@dataclass(frozen=True)
class App:
    """One app: what its paths ask for, where it listens, and where it wants its token."""

    name: str
    rules: Rules
    upstream: Destination
    token_file: Path | None = None
    answer_timeout: float | None = None
    """Seconds that it may be silent; None as all apps."""
    host: bytes | None = None
    """What it is told as its ``Host``; None is the one that was asked for."""
    fields: FieldPolicy = DEFAULT_POLICY
    """What it gets of a client's fields."""
    minor: int | None = None
    """The minor version of HTTP that it speaks, where the owner settled it."""


@dataclass(frozen=True)
class Catalogue:
    """The apps that can be served, by name, and what is wrong with the others."""

    apps: Mapping[str, App] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()
    broken: frozenset[str] = frozenset()
    """Names of the apps that are there, but can't be served as they are."""
    sources: frozenset[Path] = frozenset()
    """Further files that settings were read from, or would be if they were right."""
    unreadable: frozenset[str] = frozenset()
    """Those of the broken ones of which a file couldn't be read: that may pass by itself."""
    chosen_by_author: frozenset[str] = frozenset()
    """Those of which the author's file says where they listen."""
    is_whole: bool = True
    """Whether the folder of the apps could be read: otherwise nobody can tell which are gone."""

    def after(self, previous: "Catalogue") -> "Catalogue":
        """Return this catalogue with the last good version of every app that is broken now.

        An app whose folder is gone, or its author's file, stays gone.
        """
        kept = {name: app for name, app in previous.apps.items() if name in self.broken}
        hosts = {app.upstream.origin.host for app in kept.values()}
        # Had their files been right, it would have shown: the author's file aims at another app.
        borrowed = {
            name
            for name in self.chosen_by_author & self.apps.keys()
            if (host := self.apps[name].upstream.origin.host) in hosts and host != name
        }
        found = {name: app for name, app in self.apps.items() if name not in borrowed}
        return replace(self, apps=MappingProxyType({**kept, **found}))


def load_catalogue(folder: Path, names: Collection[str] | None = None) -> Catalogue:
    """Read every app under ``folder``/apps; never raises for what is in there.

    ``names`` is what is there, where that is known.
    """
    try:
        found = _names(folder / APPS_FOLDER) if names is None else names
    except Unreadable as failure:
        return Catalogue(problems=tuple(failure.problems), is_whole=False)
    reading = _Reading(folder / APPS_FOLDER)
    for name in sorted(found):
        if not name.startswith("."):
            reading.add(name)
    return reading.catalogue()


def _names(apps: Path) -> list[str]:
    """Return what is in the folder of the apps; raises ``Unreadable``."""
    try:
        return os.listdir(apps)  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(apps, error) from None


def _is_folder(path: Path) -> bool:
    """Tell whether there is a folder; raises ``Unreadable`` where nobody can tell."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from None


def is_without_author(folder: Path) -> bool:
    """Tell whether an app's folder surely holds no author's file: then there is no app."""
    for kind in KINDS:
        try:
            (folder / kind).lstat()
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return False
    return True


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
        named = (folder / name for folder in of_apps for name in _FILES)
        return {path: _version_of(path) for path in (*folders, *named, *self.current.sources)}

    def _list(self, apps: Path) -> list[str]:
        """Return what is in the folder; raises ``Unreadable``.

        One that is as it was when it was listed holds what it held: without a descriptor, too.
        """
        version, before = file_version(apps, follow_links=True), self._listing
        try:
            names = _names(apps)
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
    if version is None or path.name in _FILES:
        return version
    return _ANY_FOLDER if os.path.isdir(path) else version  # noqa: PTH112 - never raises


def _is_fresh(versions: Versions, settling: float) -> bool:
    now = time.time_ns()
    return any(0 <= now - version.changed < settling for version in versions.values() if version)


class _Reading:
    """Collects one catalogue."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apps: dict[str, App] = {}
        self._problems: list[Problem] = []
        self._notices: list[Problem] = []
        self._broken: set[str] = set()
        self._sources: set[Path] = set()
        self._unreadable: set[str] = set()
        self._chosen_by_author: set[str] = set()

    def catalogue(self) -> Catalogue:
        self._refuse_borrowed()
        return Catalogue(
            MappingProxyType(self._apps),
            tuple(self._problems),
            tuple(self._notices),
            frozenset(self._broken),
            frozenset(self._sources),
            frozenset(self._unreadable),
            frozenset(self._chosen_by_author),
        )

    def add(self, name: str) -> None:
        folder = self._folder / name
        try:
            is_folder = _is_folder(folder)
        except Unreadable as failure:
            self._problems += failure.problems
            self._broken.add(name)
            self._unreadable.add(name)
            return
        if not is_folder:
            what = "isn't a folder, so it isn't an app"
            self._notices.append(Problem(str(self._folder), shown(name), what))
            return
        if not is_dns_label(name):
            what = "an app's folder has the app's name: a-z, 0-9 and hyphens, at most 63"
            self._problems.append(Problem(str(self._folder), shown(name), what))
            return
        problems: list[Problem] = []
        manifest = self._manifest(folder, problems)
        settings = self._settings(folder, problems)
        app = self._app(folder, manifest, settings, problems) if manifest and settings else None
        if app is not None and not problems:
            self._apps[name] = app
            return
        self._problems.extend(problems)
        if not is_without_author(folder):
            self._broken.add(name)

    def _manifest(self, folder: Path, problems: list[Problem]) -> Manifest | None:
        try:
            kinds = [kind for kind in KINDS if is_there(folder / kind)]
            if len(kinds) != 1:
                both = "both app.json and app_meta.json"
                what = (
                    f"{both if kinds else 'no app.json or app_meta.json'}; expected one of the two"
                )
                problems.append(Problem(str(folder), "", what))
                return None
            path = folder / kinds[0]
            manifest = parse_manifest(str(path), folder.name, kinds[0], read_config_file(path))
        except Invalid as error:
            self._note(error, folder.name, problems)
            return None
        self._notices.extend(manifest.notices)
        return manifest

    def _settings(self, folder: Path, problems: list[Problem]) -> Settings | None:
        try:
            settings = load_settings(folder)
        except Invalid as error:
            self._note(error, folder.name, problems)
            self._sources |= {Path(problem.file) for problem in error.problems}
            return None
        self._sources |= settings.sources
        return settings

    def _note(self, error: Invalid, name: str, problems: list[Problem]) -> None:
        problems.extend(error.problems)
        if isinstance(error, Unreadable):
            self._unreadable.add(name)

    def _app(
        self, folder: Path, manifest: Manifest, settings: Settings, problems: list[Problem]
    ) -> App | None:
        upstream = settings.upstream
        if settings.token_file is not None:
            self._refuse_shared(folder, settings.token_file, problems)
        if upstream is None:
            self._chosen_by_author.add(folder.name)
            if manifest.upstream is None:
                what = (
                    f"doesn't say where the app listens; expected upstream in its {SETTINGS_FILE}"
                )
                problems.append(Problem(str(folder), "", what))
                return None
            upstream = Destination(manifest.upstream)
        return App(
            folder.name,
            manifest.rules,
            upstream,
            settings.token_file,
            settings.answer_timeout,
            settings.host,
            settings.fields,
            settings.minor,
        )

    def _refuse_borrowed(self) -> None:
        """Leave out apps whose author's file aims at another app.

        Its paths would be open to whom *this* app's rules let in. The owner may still say so, in
        proxy.yaml.
        """
        for name in sorted(self._chosen_by_author & self._apps.keys()):
            upstream = self._apps[name].upstream.origin
            if upstream.host == name:
                continue  # its own name is its own, whoever else claims it
            others = {
                app.name for app in self._apps.values() if app.upstream.origin.host == upstream.host
            } - {name}
            folders = {upstream.host} - {name}
            if others or any(self._may_be_app(host) for host in folders):
                what = (
                    f"its author's file leads to {upstream}, which is "
                    f"{', '.join(sorted(others or folders))}'s; expected a container of its own, "
                    f"or upstream in its {SETTINGS_FILE}"
                )
                self._problems.append(Problem(str(self._folder / name), "", what))
                self._broken.add(name)
        for name in self._broken & self._apps.keys():
            del self._apps[name]

    def _may_be_app(self, name: str) -> bool:
        try:
            return _is_folder(self._folder / name)
        except Unreadable:
            return True

    def _refuse_shared(self, folder: Path, token_file: Path, problems: list[Problem]) -> None:
        """Two apps with one token file: each would hold the other's token in turn."""
        wanted = os.path.normpath(token_file.absolute())
        for app in self._apps.values():
            if app.token_file and os.path.normpath(app.token_file.absolute()) == wanted:
                what = f"{shown(str(token_file))} is the token file of {app.name} too"
                problems.append(Problem(str(folder / SETTINGS_FILE), "token_file", what))
