"""The apps of this Portal: every folder under apps/, its author's file and the owner's settings.

One bad app never stops the others: it is left out and its problems are reported, all of them, of
all files, in one pass. On a reload, ``Catalogue.after`` keeps its last good version.
"""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.app_settings import Settings, load_settings
from proxy.config.config_file import read_config_file
from proxy.core.access.manifest import Manifest, parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.access.rules import Rules
from proxy.core.app_fields import DEFAULT_POLICY, FieldPolicy
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.core.text_files.text import shown
from proxy.http.upstream import Destination
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import FileVersion, Unreadable, file_version

APPS_FOLDER = "apps"
KINDS: tuple[Kind, ...] = ("app.json", "app_meta.json")
SETTLING = 0.1
"""Seconds for which a file may still be being written: a part of proxy.yaml can look whole."""

_log = logging.getLogger("proxy.apps")
_FILES = (*KINDS, SETTINGS_FILE)
_ANY_FOLDER = FileVersion(0, 0, 0, 0, 0)


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
    is_whole: bool = True
    """Whether the folder of the apps could be read: otherwise nobody can tell which are gone."""

    def after(self, previous: "Catalogue") -> "Catalogue":
        """Return this catalogue with the last good version of every app that is broken now.

        An app whose folder is gone, or its author's file, stays gone.
        """
        kept = {name: app for name, app in previous.apps.items() if name in self.broken}
        return replace(self, apps=MappingProxyType({**kept, **self.apps}))


def load_catalogue(folder: Path) -> Catalogue:
    """Read every app under ``folder``/apps; never raises for what is in there."""
    try:
        names = sorted(path.name for path in (folder / APPS_FOLDER).iterdir())
    except FileNotFoundError:
        return Catalogue()
    except OSError as error:
        what = f"can't be read: {error.strerror}"
        problem = Problem(str(folder / APPS_FOLDER), "", what)
        return Catalogue(problems=(problem,), is_whole=False)
    reading = _Reading(folder / APPS_FOLDER)
    for name in names:
        if not name.startswith("."):
            reading.add(name)
    return reading.catalogue()


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

    def __init__(self, folder: Path, settling: float = SETTLING) -> None:
        super().__init__(Catalogue())
        self._folder = folder
        self._settling = settling * 1e9
        self._has_waited = False
        self.refresh()
        self._log_faults()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they are; those apps are older, or missing."""
        return (*super().problems, *self.current.problems)

    def _look(self) -> Versions:
        apps = self._folder / APPS_FOLDER
        try:
            folders = [apps / name for name in os.listdir(apps)]  # noqa: PTH208 - names are enough
        except OSError:
            folders = []
        named = (folder / name for folder in folders for name in _FILES)
        return {path: _version_of(path) for path in (*folders, *named, *self.current.sources)}

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
        found = load_catalogue(self._folder)
        if not found.is_whole:
            raise Unreadable(list(found.problems))
        return found.after(self.current)

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
    """Return a file's version. Every folder has the same: what else is in it is the app's own."""
    version = file_version(path, follow_links=True)
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
        self._chosen_by_author: set[str] = set()

    def catalogue(self) -> Catalogue:
        self._refuse_borrowed()
        return Catalogue(
            MappingProxyType(self._apps),
            tuple(self._problems),
            tuple(self._notices),
            frozenset(self._broken),
            frozenset(self._sources),
        )

    def add(self, name: str) -> None:
        folder = self._folder / name
        if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises where it may not look
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
        kinds = [kind for kind in KINDS if os.path.lexists(folder / kind)]
        if len(kinds) != 1:
            what = "both app.json and app_meta.json" if kinds else "no app.json or app_meta.json"
            problems.append(Problem(str(folder), "", f"{what}; expected one of the two"))
            return None
        path = folder / kinds[0]
        try:
            manifest = parse_manifest(str(path), folder.name, kinds[0], read_config_file(path))
        except Invalid as error:
            problems.extend(error.problems)
            return None
        self._notices.extend(manifest.notices)
        return manifest

    def _settings(self, folder: Path, problems: list[Problem]) -> Settings | None:
        try:
            settings = load_settings(folder)
        except Invalid as error:
            problems.extend(error.problems)
            self._sources |= {Path(problem.file) for problem in error.problems}
            return None
        self._sources |= settings.sources
        return settings

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
            if others or any((self._folder / host).is_dir() for host in folders):
                what = (
                    f"its author's file leads to {upstream}, which is "
                    f"{', '.join(sorted(others or folders))}'s; expected a container of its own, "
                    f"or upstream in its {SETTINGS_FILE}"
                )
                self._problems.append(Problem(str(self._folder / name), "", what))
                self._broken.add(name)
        for name in self._broken & self._apps.keys():
            del self._apps[name]

    def _refuse_shared(self, folder: Path, token_file: Path, problems: list[Problem]) -> None:
        """Two apps with one token file: each would hold the other's token in turn."""
        wanted = os.path.normpath(token_file.absolute())
        for app in self._apps.values():
            if app.token_file and os.path.normpath(app.token_file.absolute()) == wanted:
                what = f"{shown(str(token_file))} is the token file of {app.name} too"
                problems.append(Problem(str(folder / SETTINGS_FILE), "token_file", what))
