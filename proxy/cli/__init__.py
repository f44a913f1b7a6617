"""The command line, ``portal-proxy``: a file is named for its command.

They are ``apps``, ``backup``, ``call``, ``card``, ``check``, ``health``, ``init``, ``peers``,
``ping``, ``serve``, ``service``, ``status`` and ``terminals``. ``call_*`` are parts of ``call``,
and likewise ``backup_*``, ``check_*``, ``health_*``, ``init_*``, ``peers_*``, ``ping_*``,
``service_*`` and ``status_*``; what several share is in ``framework``, ``option_variables``,
``arguments``, ``portal_files``, ``owner``, ``output``, ``progress``, ``qr`` and ``http_client``.

Exit status: 0; 1 for a refusal, with its reason in a line on stderr; 2 for a command line that
can't be meant.
"""

import io
import sys
from importlib import metadata
from typing import Annotated

import typer

from proxy.cli import (
    apps,
    backup,
    call,
    card,
    check,
    health,
    peers,
    ping,
    serve,
    service,
    status,
    terminals,
)
from proxy.cli import init as setup
from proxy.cli.framework import Command, Group, Root
from proxy.cli.output import PROGRAM, USAGE, remark, say
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder

__all__ = ["cli", "main"]

cli = typer.Typer(
    cls=Root,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - what typer calls it with
    if wanted:
        say(metadata.version(PROGRAM))
        raise typer.Exit


@cli.callback(invoke_without_command=True)
def choose(
    ctx: typer.Context,
    config: ConfigFolder = DEFAULT_FOLDER,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Let the apps of your Portal call the same apps on the Portals of people you know.

    A new Portal:
      portal-proxy init --name Ada --domain p.getportal.org
      portal-proxy check
      portal-proxy serve

    Somebody you know, by the line that their "portal-proxy card" prints:
      portal-proxy peers add 'CARD'
      portal-proxy apps allow guestbook all
      portal-proxy ping bob

    A browser of your own, for what is private:
      portal-proxy terminals pair

    Exit status: 0; 1 for a refusal, with the reason on stderr; 2 for a command
    line that can't be meant. --config may stand before a command or behind it.
    """
    del config, version  # the option itself remembers it for the command that follows
    if ctx.invoked_subcommand is None:
        for line in ctx.get_help().splitlines():
            remark(line)
        raise typer.Exit(USAGE)


cli.command(cls=Command)(setup.init)
cli.command(cls=Command)(serve.serve)
cli.command(cls=Command)(check.check)
cli.command(cls=Command)(health.health)
cli.command(cls=Command)(status.status)
cli.command("id", cls=Command)(setup.show_id)
cli.command(cls=Command)(card.card)
cli.command(cls=Command)(backup.backup)
cli.command(cls=Command)(backup.restore)
cli.command(cls=Command)(call.call)
cli.command(cls=Command)(ping.ping)
cli.add_typer(service.service, name="service", cls=Group)
cli.add_typer(peers.peers, name="peers", cls=Group)
cli.add_typer(apps.apps, name="apps", cls=Group)
cli.add_typer(terminals.terminals, name="terminals", cls=Group)


def main() -> None:
    """Run ``portal-proxy`` with the arguments of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks is shown escaped: never a traceback for a name.
            stream.reconfigure(errors="backslashreplace")
    cli()
