"""What ``dev`` is told of the apps: their names, an address for each Portal, their app.json.

Nothing of it is guessed: what can't be meant is refused with what could have been.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.output import USAGE, Stop
from proxy.config.apps import KINDS
from proxy.config.listen import socket_path_problem
from proxy.core.http.origin import LAST_PORT, is_dns_label, parse_origin
from proxy.core.text_files.text import shown
from proxy.http.upstream import Destination

MOST_PORTALS = 8
EXAMPLE = "--app chat=http://127.0.0.1:3000,http://127.0.0.1:3001"

_UNIX = "unix:"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class DevApp:
    """An app under test: where each Portal has it, in the Portals' order."""

    name: str
    upstreams: tuple[str, ...]
    manifest: Path | None = None
    """The author's file; None where there is none yet."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it is, as far as that is at ports."""
        found = (port_of(each) for each in self.upstreams)
        return tuple(port for port in found if port is not None)


def destination_of(upstream: str) -> Destination:
    """Return where an app is, by its address in its one spelling."""
    if upstream.startswith(_UNIX):
        return Destination.at_socket(upstream.removeprefix(_UNIX), "app")
    return Destination(parse_origin(upstream))


def port_of(upstream: str) -> int | None:
    """Return an app's port; None where it is at a socket."""
    to = destination_of(upstream)
    return None if to.unix else to.origin.port


def read_apps(
    typed: Sequence[str], app_json: Sequence[str], here: Path = Path()
) -> tuple[DevApp, ...]:
    """Read ``--app`` and ``--app-json``; raises ``Stop``.

    ``here`` is where an app.json is looked for where none is named.
    """
    if not typed:
        raise Stop(f"say which app, and where two of it listen: {EXAMPLE}", status=USAGE)
    found: dict[str, tuple[str, ...]] = {}
    for text in typed:
        name, upstreams = _app(text)
        if name in found:
            raise Stop(f"--app {name}= is given twice: put all its addresses in one", status=USAGE)
        found[name] = upstreams
    _refuse_twice(found.items())
    named = _named(app_json, found)
    return tuple(
        DevApp(name, upstreams, named.get(name) or _found(here, name, is_alone=len(found) == 1))
        for name, upstreams in found.items()
    )


def _app(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, addresses = text.partition("=")
    if not equals:
        what = f"expected NAME=ADDRESS,ADDRESS, not {shown(text)}, as in {EXAMPLE}"
        raise Stop(f"--app: {what}", status=USAGE)
    if not is_dns_label(name):
        what = "can't be an app's name: a-z, 0-9 and hyphens, at most 63"
        raise Stop(f"--app: {shown(name)} {what}", status=USAGE)
    upstreams = tuple(_upstream(name, each.strip()) for each in addresses.split(","))
    if len(upstreams) < 2:  # noqa: PLR2004 - who calls, and who is called
        what = "an app calls itself on another Portal, so two of it are needed, at two addresses"
        raise Stop(f"--app {name}: {what}, as in {EXAMPLE}", status=USAGE)
    if len(upstreams) > MOST_PORTALS:
        what = f"a Portal for each address, and at most {MOST_PORTALS} of them"
        raise Stop(f"--app {name}: {what}", status=USAGE)
    return name, upstreams


def _upstream(name: str, text: str) -> str:
    """Return an address in its one spelling; a port alone is one of this machine."""
    if text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= LAST_PORT:
        return f"http://127.0.0.1:{int(text)}"
    if text.startswith(_UNIX):
        return _UNIX + _socket(name, text)
    try:
        return str(parse_origin(text))
    except ValueError:
        pass
    try:
        hint = "" if text.isdecimal() else f"; did you mean {parse_origin(f'http://{text}')}?"
    except ValueError:
        hint = ""
    what = f"expected http://host:port, unix:path, or a port alone, not {shown(text)}{hint}"
    raise Stop(f"--app {name}: {what}", status=USAGE)


def _socket(name: str, text: str) -> str:
    typed = text.removeprefix(_UNIX)
    path = str(absolute(Path(typed).expanduser()))
    problem = socket_path_problem(path)
    if not typed or not path.isprintable():
        problem = "expected a path after unix:"
    if problem:
        raise Stop(f"--app {name}: {problem}, not {shown(text)}", status=USAGE)
    return path


def _refuse_twice(apps: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Refuse one address for two: a call would come back to who made it."""
    seen: dict[tuple[str, int], str] = {}
    for name, upstreams in apps:
        for text in upstreams:
            to = destination_of(text)
            host = "127.0.0.1" if to.origin.host in _LOOPBACK else to.origin.host
            other = seen.setdefault((to.unix or host, to.origin.port), name)
            if other != name or upstreams.count(text) > 1 or _is_respelled(upstreams, text):
                whose = f"{name} and {other}" if other != name else f"two of {name}"
                what = f"{text} is given twice, for {whose}: each needs a server of its own"
                raise Stop(f"--app: {what}", status=USAGE)


def _is_respelled(upstreams: Sequence[str], text: str) -> bool:
    """Tell whether another address is this one by another of loopback's names."""
    one = destination_of(text).origin
    others = [destination_of(each).origin for each in upstreams if each != text]
    return one.host in _LOOPBACK and any(
        each.host in _LOOPBACK and each.port == one.port for each in others
    )


def _named(app_json: Sequence[str], apps: Iterable[str]) -> dict[str, Path]:
    """Return the author's files that were named, by the apps' names."""
    names = list(apps)
    found: dict[str, Path] = {}
    for text in app_json:
        name, equals, path = text.partition("=")
        if not equals or name not in names:
            name, path = names[0], text
            if len(names) > 1:
                what = f"with several apps say whose it is: NAME=PATH, not {shown(text)}"
                raise Stop(f"--app-json: {what}", status=USAGE)
        if name in found:
            raise Stop(f"--app-json: {name} has two", status=USAGE)
        found[name] = _file(Path(path))
    return found


def _file(path: Path) -> Path:
    """Return the author's file at ``path``, or in that folder."""
    if not path.is_dir():
        if not path.is_file():
            raise Stop(f"--app-json: there is no file {path}")
        return absolute(path)
    return _in_folder(path) or _no_file_in(path)


def _no_file_in(folder: Path) -> Path:
    raise Stop(f"--app-json: {folder} holds no {' or '.join(KINDS)}")


def _in_folder(folder: Path) -> Path | None:
    found = [folder / kind for kind in KINDS if (folder / kind).is_file()]
    if len(found) > 1:
        raise Stop(f"{folder} holds {' and '.join(KINDS)}: say which counts, by --app-json")
    return absolute(found[0]) if found else None


def _found(here: Path, name: str, *, is_alone: bool) -> Path | None:
    """Return the author's file where one is looked for: in the app's folder, else right here."""
    return _in_folder(here / name) or (_in_folder(here) if is_alone else None)


def absolute(path: Path) -> Path:
    """Return the path from the root, with the links in it as they are: they may be changed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib's follows no "..", or every link
