"""What ``apps add`` says of the new app, and of what comes next."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.apps_files import AppFiles, own_origin
from proxy.cli.apps_images import KnownImage, env_file
from proxy.cli.output import command_line, remark, say, say_fields, say_json, say_lines
from proxy.cli.portal_files import PortalFiles
from proxy.config.apps import App
from proxy.config.listen import Address
from proxy.core.access.call_routes import HTTP_PORT
from proxy.http.client.look import Finding, look_at_all

_NOT_UP: Mapping[Finding, str] = {
    "refuses": "nothing listens there yet",
    "can't be found": "nothing here has this name yet",
    "is silent": "it takes no connection within two seconds",
    "can't be reached": "no way leads there from here",
}
"""What is meant by what was found, where an app may still be on its way."""


@dataclass(frozen=True)
class NewApp:
    """An app that was tried out, and isn't there yet."""

    app: App
    files: AppFiles
    notices: tuple[str, ...]
    compose: str = ""
    known: KnownImage | None = None


def say_as_json(portal: PortalFiles, new: NewApp, folder: Path, *, is_written: bool) -> None:
    """Print all of it as one JSON object; ``folder`` is the app's."""
    app = new.app
    say_json(
        {
            "name": app.name,
            "folder": str(folder),
            "written": is_written,
            "upstream": str(app.upstream),
            "status": _status(app),
            "address": _address(portal, app.name) or None,
            "entrance": str(app.entrance) if app.entrance is not None else None,
            "paths": {
                rule.prefix.decode("ascii"): rule.access.name.lower() for rule in app.rules.rules
            },
            "files": {file: data.decode("utf-8", "replace") for file, data in new.files.items()},
            "compose": new.compose or None,
            "notices": list(new.notices),
        }
    )


def say_added(portal: PortalFiles, new: NewApp, folder: Path, *, is_written: bool) -> None:
    """Tell what was made; or print it, where nothing was written."""
    app = new.app
    for file, data in new.files.items():
        if is_written:
            say(f"Made       {folder / file}")
        else:
            say(f"# {folder / file}")
            say_lines(data.decode("utf-8", "replace"))
            say()
    if is_written:
        say(app.name)
        say_fields(
            [
                ("address", _address(portal, app.name) or "none: peers call it, browsers don't"),
                ("upstream", str(app.upstream)),
                ("status", _status_line(_status(app))),
                *([("entrance", str(app.entrance))] if app.entrance is not None else []),
                *_access_fields(app),
            ]
        )
    for notice in new.notices:
        remark(f"notice: {notice}")
    if new.known is not None and new.known.advice:
        remark(f"notice: {app.name}: {new.known.advice} (docs/apps.md)")
    if new.compose:
        remark("A service for compose:")
        say_lines(new.compose)


def say_what_is_next(portal: PortalFiles, new: NewApp, *, is_known: bool) -> None:
    """Tell by which commands it goes on; ``is_known`` says whether peers may know the app."""
    folder, name = portal.folder, new.app.name
    entrance = new.app.entrance
    calls_with = _at_entrance(entrance.address) if entrance is not None else _env(portal, new)
    remark("Next:")
    if not is_known:
        remark(f"  whom it may know      {command_line(folder, 'apps', 'allow', name, 'all')}")
    remark(f"  what it calls with    {calls_with}")
    remark(f"  whether all is well   {command_line(folder, 'check')}")


def _address(portal: PortalFiles, name: str) -> str:
    """Return where browsers find the app; "" where it has no host of its own."""
    if not portal.config.app_hosts:
        return ""
    own = own_origin(portal)
    return str(own.of_app(name)) if own is not None else ""


def _status(app: App) -> Finding:
    return asyncio.run(look_at_all({app.name: app.upstream}))[app.name]


def _status_line(found: Finding) -> str:
    """Say what was found, and that nothing is wrong with an app that is started later."""
    meaning = _NOT_UP.get(found)
    return f"{found}: {meaning}. Start it at any time" if meaning else found


def _at_entrance(address: Address) -> str:
    if address.unix:
        return f"http://portal_core, over the socket {address.unix}, and no token"
    port = "" if address.port == HTTP_PORT else f":{address.port}"
    return f"http://portal_core{port}, and no token"


def _env(portal: PortalFiles, new: NewApp) -> str:
    """Return the command that prints what the app calls with, or writes it for its service."""
    name = new.app.name
    command = command_line(portal.folder, "apps", "env", name)
    if env_file(name) not in new.compose:
        return command
    # The service of the proxy is called so in the guide for owners.
    where = f"portal-proxy:{portal.config.listen.apps.port or 'PORT'}"
    return f"{command} --address {where} --format env-file > {env_file(name)}"


def _access_fields(app: App) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for rule in app.rules.rules:
        prefix = rule.prefix.decode("ascii") or "the rest"
        found.setdefault(rule.access.name.lower(), []).append(prefix)
    return [(access, ", ".join(prefixes)) for access, prefixes in found.items()]
