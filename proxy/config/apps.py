"""The apps of this Portal: every folder under apps/, its author's file and the owner's settings.

One bad app never stops the others: it is left out and its problems are reported, all of them, of
all files, in one pass. On a reload, ``Catalogue.after`` keeps its last good version.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.app_settings import Settings, load_settings
from proxy.config.read_file import read_source
from proxy.core.access.manifest import Manifest, parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.access.rules import Rules
from proxy.core.errors import Invalid, Problem
from proxy.core.files.text import shown
from proxy.core.http.origin import is_dns_label
from proxy.http.upstream import Destination

APPS_FOLDER = "apps"
KINDS: tuple[Kind, ...] = ("app.json", "app_meta.json")


@dataclass(frozen=True)
class App:
    """One app: what its paths ask for, where it listens, and where it wants its token."""

    name: str
    rules: Rules
    upstream: Destination
    token_file: Path | None = None
    answer_timeout: float | None = None
    """Seconds that it may be silent; None as all apps."""


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
    """Whether the folder of the apps could be read."""

    def after(self, previous: "Catalogue") -> "Catalogue":
        """Return this catalogue with the last good version of every app that is broken now.

        An app whose folder is gone, or its author's file, stays gone. Where nobody can tell,
        nothing is gone.
        """
        kept = {
            name: app
            for name, app in previous.apps.items()
            if name in self.broken or not self.is_whole
        }
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
            manifest = parse_manifest(str(path), folder.name, kinds[0], read_source(path))
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
            folder.name, manifest.rules, upstream, settings.token_file, settings.answer_timeout
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
