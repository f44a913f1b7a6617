"""``dev``: Portals on this machine that know each other, for whoever writes an app."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from proxy.cli.app_environment import NoProxy, direct_hosts
from proxy.cli.dev_apps import absolute, read_apps
from proxy.cli.dev_portals import held_ports, make_portals
from proxy.cli.dev_report import Report
from proxy.cli.dev_run import DevRun
from proxy.cli.output import USAGE, Stop
from proxy.core.http.origin import LAST_PORT
from proxy.core.text_files.text import shown
from proxy.state.files import Busy, locked, make_private_folder

_MARK = "dev"
"""What a folder that was kept has a lock of."""


def dev(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Runs the app for each Portal; {port} is the app's port there.",
        ),
    ] = None,
    *,
    app: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            metavar="NAME=URL,URL",
            help="An app, and where each Portal's is; also a port here, or unix:path.",
        ),
    ] = None,
    app_json: Annotated[
        list[str] | None,
        typer.Option(
            "--app-json",
            metavar="[NAME=]PATH",
            help="Its app.json, or the folder of that. By default NAME/app.json, or ./app.json.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the Portals in this folder, to go on with them."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=1,
            max=LAST_PORT,
            help="The first Portal's first port of three; the next one's is 10 higher.",
        ),
    ] = None,
    no_proxy: NoProxy = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object on each line, for scripts.")
    ] = False,
) -> None:
    """Run two Portals or more on this machine that know each other, to try an app.

    Give an address for each Portal's copy of the app; they need not be up yet. The
    Portals are made in a folder that is removed at the end. What you need is printed:
    pages for a browser, the environment for each copy of the app, and then a line for
    each request. The app.json is followed as it changes. Ctrl-C ends it.

    For example:
      portal-proxy dev --app chat=http://127.0.0.1:3000,http://127.0.0.1:3001
      portal-proxy dev --app chat=3000,3001 -- npm start
      portal-proxy dev --app chat=3000,3001 -- flask run --port {port}
      portal-proxy dev --app chat=3000,3001,3002 --keep ~/portals --port 7000
    """
    apps = read_apps(app or (), app_json or ())
    direct = direct_hosts(no_proxy or ())
    if command and len(apps) > 1:
        what = "one command runs one app: start them yourself, with the files that are printed"
        raise Stop(what, status=USAGE)
    if command and len(apps[0].ports) < len(apps[0].upstreams):
        what = "a command is told a port: give ports, or start the app at its sockets yourself"
        raise Stop(f"--app {apps[0].name}: {what}", status=USAGE)
    if command and shutil.which(command[0]) is None:
        raise Stop(f"there is no program {shown(command[0])} here", status=USAGE)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with _folder(keep) as folder, held_ports(port, apps) as ports:
        portals = make_portals(folder, apps, ports, direct)
        report = Report(as_json=as_json)
        run = DevRun(portals, apps, folder, ports, report, command or (), is_kept=keep is not None)
        status = asyncio.run(run.run())
    raise typer.Exit(status)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the folder of the Portals: one that is removed at the end, or the one to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="portal-dev-") as made:
            yield Path(made)
        return
    folder = absolute(keep.expanduser())
    make_private_folder(folder)
    if os.listdir(folder) and not (folder / f"{_MARK}.lock").exists():  # noqa: PTH208 - is it empty?
        raise Stop(f"--keep: {folder} isn't empty, and not by this command: name a new folder")
    try:
        with locked(folder / _MARK, wait=0):
            yield folder
    except Busy:
        raise Stop(f"--keep: another portal-proxy dev is running in {folder}") from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Take it like Ctrl-C, so that what was made is removed."""
    del number, frame
    raise KeyboardInterrupt
