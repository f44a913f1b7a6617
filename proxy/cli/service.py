"""``service``: the proxy as a service of systemd's, of which nothing has to be written by hand."""

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.framework import Command
from proxy.cli.output import SYSTEM_FOLDER, Stop, remark, say, say_lines
from proxy.cli.service_unit import (
    UNIT_NAME,
    Unit,
    make_folders,
    make_user,
    program_of_this,
    put_in_place,
    reload_manager,
    unit_text,
    why_out_of_reach,
)

service = typer.Typer(
    name="service", help="Make the proxy a service of systemd's.", rich_markup_mode=None
)

User = Annotated[
    str, typer.Option("--user", metavar="NAME", help="The user that the proxy runs as.")
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--identity-key",
        metavar="FILE",
        help="The identity key, if systemd is to hand it to the proxy (LoadCredential).",
    ),
]
LowPorts = Annotated[
    bool, typer.Option("--low-ports", help="Let it listen at ports below 1024, such as 443.")
]
_USER = "portal"


@service.command("print", cls=Command)
def print_unit(
    *, user: User = _USER, identity_key: Key = None, low_ports: LowPorts = False
) -> None:
    """Print the unit file, and change nothing.

    For example:
      portal-proxy service print > portal-proxy.service
    """
    say_lines(unit_text(Unit(program_of_this(), user, identity_key, low_ports=low_ports)))


@service.command("install", cls=Command)
def install(
    *,
    user: User = _USER,
    identity_key: Key = None,
    low_ports: LowPorts = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a unit file that differs; it is kept beside."),
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", metavar="DIR", help="Write below DIR alone, for a package; make no user."
        ),
    ] = None,
) -> None:
    """Put the unit file in place, with the user and the folders that it needs.

    It makes the user "portal", /etc/portal-proxy for the settings,
    /var/lib/portal-proxy for the state, and the unit, and says what it made. What
    is there stays as it is. It starts nothing: the Portal is made first, by init.

    For example:
      sudo portal-proxy service install
      sudo portal-proxy init --name Ada --domain p.getportal.org
      sudo systemctl enable --now portal-proxy
    """
    unit = Unit(program_of_this(), user, identity_key, low_ports=low_ports)
    if root is None and os.geteuid() != 0:
        raise Stop("a service is root's to install: sudo portal-proxy service install")
    if why := why_out_of_reach(unit.program):
        raise Stop(why)
    owner = make_user(user) if root is None else None
    make_folders(root or Path("/"), owner)
    put_in_place(root or Path("/"), unit_text(unit), replace=replace)
    if root is not None:
        return
    if identity_key is not None:
        say(f"The key      {identity_key}, which systemd reads, and hands to the proxy alone")
    reload_manager()
    if not (SYSTEM_FOLDER / "portal.yaml").exists():
        remark("Next: portal-proxy init --name NAME --domain DOMAIN; then: portal-proxy check")
    remark(f"To start it, now and at each boot: systemctl enable --now {UNIT_NAME}")
