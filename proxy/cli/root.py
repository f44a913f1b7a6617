"""``portal-proxy`` put together: of its commands those that are wanted, each from its own file.

A command's file is imported, and what its options are is found out, only where it may be run: a
proxy that serves for years has no use for what the others are made of.
"""

import io
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Annotated

import typer

from proxy.cli.framework import Command, Group, Root
from proxy.cli.output import PROGRAM, USAGE, remark, say
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("init", "init"),
    "serve": ("serve", "serve"),
    "check": ("check", "check"),
    "health": ("health", "health"),
    "status": ("status", "status"),
    "id": ("init", "show_id"),
    "card": ("card", "card"),
    "backup": ("backup", "backup"),
    "restore": ("backup", "restore"),
    "call": ("call", "call"),
    "ping": ("ping", "ping"),
    "service": ("service", "service"),
    "peers": ("peers", "peers"),
    "apps": ("apps", "apps"),
    "terminals": ("terminals", "terminals"),
    "dev": ("dev", "dev"),
    "schema": ("schema", "schema"),
}
"""The file of each command, in the order of the help, and its function or group there."""
_KNOWS_ALL = frozenset({"check"})
"""What looks at the options of all the others."""


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - what typer calls it with
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - where it is needed alone

        say(metadata.version(PROGRAM))
        raise typer.Exit


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

    An app that you write, between two Portals on this machine:
      portal-proxy dev --app chat=http://127.0.0.1:3000,http://127.0.0.1:3001

    Exit status: 0; 1 for a refusal, with the reason on stderr; 2 for a command
    line that can't be meant. --config may stand before a command or behind it.
    """
    del config, version  # the option itself remembers it for the command that follows
    if ctx.invoked_subcommand is None:
        for line in ctx.get_help().splitlines():
            remark(line)
        raise typer.Exit(USAGE)


def with_commands(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the program with these commands; by default with all."""
    program = typer.Typer(
        cls=Root,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback(invoke_without_command=True)(choose)
    for name in names:
        file, attribute = COMMANDS[name]
        found = getattr(import_module(f"proxy.cli.{file}"), attribute)
        if isinstance(found, typer.Typer):
            program.add_typer(found, name=name, cls=Group)
        else:
            program.command(name, cls=Command)(found)
    return program


def with_what_is_needed(command: str) -> typer.Typer:
    """Return the program with ``command`` alone, where that is enough.

    With any other word all commands are there, so that what was meant can be said.
    """
    is_alone = command in COMMANDS and command not in _KNOWS_ALL
    return with_commands((command,) if is_alone else COMMANDS)


def main(command: str = "") -> None:
    """Run the program with the arguments of this process; ``command`` is the one that they name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks is shown escaped: never a traceback for a name.
            stream.reconfigure(errors="backslashreplace")
    with_what_is_needed(command)()
