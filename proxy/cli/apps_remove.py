"""``apps remove``: an app is served no longer; its files are kept out of the proxy's sight."""

import os
import shlex
import sys
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.arguments import unknown_app
from proxy.cli.output import Stop, command_line, refused_edits_stop, remark, say
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder, PortalFiles, open_portal
from proxy.config.apps import APPS_FOLDER
from proxy.core.http.origin import is_dns_label
from proxy.state.contacts import with_visibility
from proxy.state.files import sync_folder
from proxy.state.terminals import without_devices_of


def remove(
    app: Annotated[
        str, typer.Argument(metavar="APP", help="The app's name: that of its folder in apps/.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Remove an app: what runs on it ends within a second, and no peer may know it any more.

    Its folder stays beside the others under a name that begins with a dot, where the
    proxy doesn't look; delete it when you are sure. Its token is good no longer, and
    neither are those of devices that came to it alone: another app may be called so.
    What the app itself stored isn't touched.

    For example:
      portal-proxy apps remove guestbook
    """
    portal = open_portal(config, as_root=True)
    folder = portal.folder / APPS_FOLDER / app
    if not is_dns_label(app) or not os.path.lexists(folder):
        raise unknown_app(app, portal.catalogue().apps)
    if not yes:
        _ask(portal, app)
    # First whom it may know: a command that breaks off here leaves an app that nobody calls.
    with portal.as_owner():
        if app in portal.contacts.load().apps:
            with refused_edits_stop():
                portal.contacts.change(lambda before: with_visibility(before, app, "none"))
        portal.tokens.rotate(app)
        devices = [each for each in portal.terminals.load().terminals if each.app == app]
        if devices:
            with refused_edits_stop():
                portal.terminals.change(lambda before: without_devices_of(before, app))
    with acting_as(owner_of(folder.parent)):
        kept = _set_aside(folder)
    say(f"Removed    {app}")
    say(f"Its files  {kept}")
    for device in devices:
        say(f"Removed    {device.name}, {device.id}: its token was for {app} alone")
    remark(f"To have it back: mv {shlex.join([str(kept), str(folder)])}")


def _ask(portal: PortalFiles, app: str) -> None:
    try:
        sure = typer.confirm(f"Remove {app}? What runs on it ends.", default=False, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        command = command_line(portal.folder, "apps", "remove", app, "--yes")
        raise Stop(f"nobody is here to confirm that: {command}") from None
    if not sure:
        raise Stop("not removed")


def _set_aside(folder: Path) -> Path:
    """Give the folder a name that the proxy passes over, in one step; return it."""
    names = (f".{folder.name}.removed{f'-{n}' if n else ''}" for n in count())
    kept = next(path for path in map(folder.with_name, names) if not os.path.lexists(path))
    folder.rename(kept)
    sync_folder(folder.parent)
    return kept
