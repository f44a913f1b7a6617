"""The files of a new app: what stands in them, whether they are right, and how they get there."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from proxy.cli.apps_questions import Paths
from proxy.cli.check_entrances import about_entrances
from proxy.cli.check_upstreams import about_loops, about_trusting_apps
from proxy.cli.output import Stop
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import PortalFiles
from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.apps import APP_FILES, APPS_FOLDER, App, load_catalogue, names_in
from proxy.core.access.hosts import Hosts
from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import Origin
from proxy.schemas.files import FOLDER, schema_name, yaml_line
from proxy.state.files import create_atomically, sync_folder

AppFiles = Mapping[str, bytes]
"""What each file of an app holds, by its name."""

_FILE_MODE = 0o644
_FOLDER_MODE = 0o755
_RANDOM_BYTES = 8
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:/._-]*[A-Za-z0-9/_]")
"""What needs no quotes in YAML."""
_VERSION = "3.2"
_TO_SCHEMAS = f"../../{FOLDER}"


def app_json(name: str, paths: Paths, port: int | None = None) -> bytes:
    """Return an app.json, a line for each prefix."""
    rules = ",\n".join(
        f"    {json.dumps(prefix)}: {json.dumps({'access': access})}"
        for prefix, access in paths.items()
    )
    head: dict[str, object] = {
        "$schema": f"{_TO_SCHEMAS}/{schema_name('app.json')}",
        "v": _VERSION,
        "name": name,
        **({"port": port} if port is not None else {}),
    }
    lines = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    return f'{{\n{lines}  "paths": {{\n{rules}\n  }}\n}}\n'.encode()


def proxy_yaml(name: str, upstream: str, host: str = "", entrance: str = "") -> bytes:
    """Return a commented proxy.yaml; without ``upstream`` the author's file says where it is."""
    own = entrance or f"proxy.{name}.internal:80"
    lines = [
        yaml_line(f"{_TO_SCHEMAS}/{schema_name('proxy.yaml')}"),
        f"# Your settings for {name}. After a change: portal-proxy check",
        "",
        "# Where the app listens: http://host:port, https://host:port, or unix:path. Nobody but",
        "# the proxy should reach it there.",
        f"upstream: {_scalar(upstream)}" if upstream else "# upstream: http://127.0.0.1:3000",
        "",
        "# What the app is told as its Host, for one that takes certain names alone.",
        f"host: {_scalar(host)}" if host else "# host: localhost",
        "",
        "# Where the app alone comes in to call peers, with no token: a name or an address on a",
        "# network that it shares with the proxy and nobody else, or unix:path.",
        f"{'' if entrance else '# '}entrance: {_scalar(own)}",
        "",
        "# Or where the proxy writes the app's token, which it shows at the apps listener.",
        f"# token_file: /run/{name}/token",
        "",
        "# true lets devices of yours that are no browsers come in (DAV, git, an app on a phone),",
        "# each by a token: portal-proxy terminals add --token",
        "# device_tokens: true",
        "",
        "# https tells an app that insists on it that its peers ask by https.",
        "# peer_scheme: https",
        "",
    ]
    return "\n".join(lines).encode()


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def try_out(portal: PortalFiles, name: str, files: AppFiles) -> tuple[App, list[Problem]]:
    """Return the app as it would be beside the others, and what is worth a word; or ``Invalid``.

    Nothing is written where the proxy looks.
    """
    apps = portal.folder / APPS_FOLDER
    with tempfile.TemporaryDirectory() as trial:
        folder = Path(trial) / APPS_FOLDER / name
        folder.mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        for other in names_in(apps):
            if other != name:
                (folder.parent / other).symlink_to((apps / other).absolute())
        catalogue = load_catalogue(Path(trial))
        mine = [each for each in catalogue.problems if each.file.startswith(str(folder))]
        app = catalogue.apps.get(name)
        if app is None or mine:
            raise Invalid([_there(each, folder, apps / name) for each in mine])
        own = own_origin(portal)
        hosts = Hosts(own, portal.config.aliases) if own is not None else None
        loops = about_loops(catalogue, portal.config.listen, hosts)
        warnings: list[Problem] = []
        alone = replace(catalogue, apps={name: app})
        with portal.as_owner():
            found = [*loops, *about_entrances(alone, portal.config, warnings)]
        if mine := [each for each in found if each.file.startswith(f"{APPS_FOLDER}/{name}/")]:
            raise Invalid(mine)
        notices = [*catalogue.notices, *about_trusting_apps(catalogue), *warnings]
        told = [
            _there(each, folder, apps / name)
            for each in notices
            if each.file.startswith((str(folder), f"{APPS_FOLDER}/{name}"))
        ]
        return app, told


def own_origin(portal: PortalFiles) -> Origin | None:
    """Return where this Portal is; None where its key can't be read, of which "check" tells."""
    try:
        with portal.as_owner():
            return portal.config.public_origin(portal.identity().public.portal_id)
    except (Invalid, OSError):
        return None


def _there(problem: Problem, trial: Path, folder: Path) -> Problem:
    file = problem.file.replace(str(trial), str(folder))
    return Problem(file, problem.place, problem.what.replace(str(trial), str(folder)))


def refuse_existing(folder: Path) -> None:
    """Refuse an app that is there; raises ``Stop``. An empty folder may have been made for it."""
    if not os.path.lexists(folder):
        return
    what = f"{folder} is there already, and nothing is overwritten: change the files in it"
    if folder.is_symlink() or not folder.is_dir():
        raise Stop(f"{folder} is there and is no folder: move it away, or take another name")
    if any(os.path.lexists(folder / file) for file in APP_FILES):
        raise Stop(f"{what} (portal-proxy check looks at them), or take another name")


def put_in_place(folder: Path, files: AppFiles) -> None:
    """Make the app's folder, whole from its first moment, or its files in a folder that is empty.

    Raises OSError and ``Stop``. A proxy that runs never sees a part of an app: what has no author's
    file is none, so that one comes last. Root writes as whose the folder of the apps is.
    """
    apps = folder.parent
    with acting_as(owner_of(apps if apps.is_dir() else apps.parent)):
        _put(apps, folder, files)


def _put(apps: Path, folder: Path, files: AppFiles) -> None:
    if not apps.is_dir():
        apps.mkdir()
        apps.chmod(_FOLDER_MODE)
    ordered = sorted(files, key=lambda file: file != SETTINGS_FILE)
    try:
        if folder.is_dir():
            for file in ordered:
                create_atomically(folder / file, files[file], mode=_FILE_MODE)
            return
        _make_folder(folder, {file: files[file] for file in ordered})
    except FileExistsError:
        raise Stop(f"{folder} was made by somebody else just now; nothing was changed") from None


def _make_folder(folder: Path, files: AppFiles) -> None:
    # A name with a dot in front is no app's: the proxy doesn't look into it.
    new = folder.with_name(f".{folder.name}.{os.urandom(_RANDOM_BYTES).hex()}.new")
    new.mkdir()
    try:
        new.chmod(_FOLDER_MODE)
        for file, data in files.items():
            create_atomically(new / file, data, mode=_FILE_MODE)
        try:
            new.rename(folder)
        except OSError as error:
            if os.path.lexists(folder):
                raise FileExistsError(str(folder)) from error
            raise
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(folder.parent)
