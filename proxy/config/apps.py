"""The apps of this Portal: every folder under apps/, its author's file and the owner's settings.

One bad app never stops the others: it is left out and its problems are reported, all of them, of
all files, in one pass. On a reload, ``Catalogue.after`` keeps its last good version.
"""

import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.app_settings import Settings, load_settings
from proxy.config.config_file import is_there, read_config_file
from proxy.config.entrance import Entrance
from proxy.config.listen import Address
from proxy.core.access.manifest import Manifest, parse_manifest
from proxy.core.access.manifest_schema import Kind
from proxy.core.access.rules import Rules
from proxy.core.app_fields import DEFAULT_POLICY, FieldPolicy
from proxy.core.errors import Invalid, Problem
from proxy.core.http.forwarded import Scheme
from proxy.core.http.origin import is_dns_label
from proxy.core.text_files.text import shown
from proxy.http.upstream import Destination
from proxy.state.files import Unreadable, unreadable

APPS_FOLDER = "apps"
KINDS: tuple[Kind, ...] = ("app.json", "app_meta.json")
APP_FILES = (*KINDS, SETTINGS_FILE)
"""All that an app's folder may hold for the proxy, by their names."""


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
    peer_scheme: Scheme = "http"
    """By which scheme it is told that peers ask it."""
    entrance: Entrance | None = None
    """Where it alone comes in, on its way to peers."""
    device_tokens: bool = False
    """Whether devices that are no browsers come to it by a token."""


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
        found = names_in(folder / APPS_FOLDER) if names is None else names
    except Unreadable as failure:
        return Catalogue(problems=tuple(failure.problems), is_whole=False)
    reading = _Reading(folder / APPS_FOLDER)
    for name in sorted(found):
        if not name.startswith("."):
            reading.add(name)
    return reading.catalogue()


def names_in(apps: Path) -> list[str]:
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


def _is_at(upstream: Destination, address: Address) -> bool:
    """Tell whether an app is served at ``address``, as far as it is written there."""
    if upstream.unix or address.unix:
        return os.path.normpath(upstream.unix) == os.path.normpath(address.unix)
    return (upstream.origin.host, upstream.origin.port) == (address.host, address.port)


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
        self._refuse_taken_entrances()
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
            settings.peer_scheme,
            settings.entrance,
            settings.device_tokens,
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

    def _refuse_taken_entrances(self) -> None:
        """Leave out apps whose entrance is another app's, too: nobody could tell who comes there.

        Both are left out, as neither has it by right; what ran before goes on as it was.
        """
        wanted = {name: app.entrance for name, app in self._apps.items() if app.entrance}
        for name, entrance in wanted.items():
            others = [
                other
                for other, theirs in wanted.items()
                if other != name and theirs.address.overlaps(entrance.address)
            ]
            leads = [
                app.name for app in self._apps.values() if _is_at(app.upstream, entrance.address)
            ]
            what = ""
            if others:
                whose = ", ".join(others)
                what = f"{entrance} is the entrance of {whose}, too; expected one of its own"
            elif leads:
                what = (
                    f"{entrance} is where {', '.join(leads)} listens; expected a place of its own"
                )
            if what:
                self._problems.append(
                    Problem(str(self._folder / name / SETTINGS_FILE), "entrance", what)
                )
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
