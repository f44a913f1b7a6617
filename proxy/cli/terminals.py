"""``terminals``: the owner's devices, from the command line."""

import time
from typing import Annotated

import typer

from proxy.cli.framework import Command, Group
from proxy.cli.output import (
    Stop,
    command_line,
    refused_edits_stop,
    remark,
    say,
    say_fields,
    say_json,
    utc,
)
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, open_portal
from proxy.cli.qr import show_qr
from proxy.core.terminals.pairing_code import CODE_LIFETIME, shown_code
from proxy.core.terminals.return_address import PAIR
from proxy.core.terminals.terminals import Terminal, TerminalList, is_terminal_id
from proxy.state.terminals import renamed, without_terminal

TerminalId = Annotated[
    str, typer.Argument(metavar="ID", help="The terminal's ID, as `terminals list` shows it.")
]

terminals = typer.Typer(cls=Group)


@terminals.callback()
def describe() -> None:
    """Pair, list, rename and remove your own devices (terminals)."""


@terminals.command(cls=Command)
def pair(
    *,
    qr: Annotated[
        bool | None,
        typer.Option("--qr/--no-qr", help="Print a QR code of the link. By default at a terminal."),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Print a code that makes one browser yours: good once, for ten minutes.

    Open the link on the device, or scan the QR code; or open any private page, and
    type the code there. Whoever has either can do the same: show them to nobody.
    When somebody guesses codes, typed ones wait; the link works meanwhile.
    From then on the browser may enter what your apps keep private. The proxy needn't
    be restarted.

    For example:
      portal-proxy terminals pair
      portal-proxy terminals pair --json
    """
    portal = open_portal(config)
    page = f"{portal.config.public_origin(portal.identity().public.portal_id)}{PAIR.decode()}"
    portal.terminals.load()  # what couldn't take a terminal shouldn't give out a code for one
    now = time.time()
    code = portal.pairing.new_code(now)
    typed, until = shown_code(code.typed), int(now) + CODE_LIFETIME
    link = f"{page}#code={code.link}"
    if as_json:
        say_json({"code": typed, "page": page, "link": link, "until": until})
        return
    say(f"Code       {typed}")
    say(f"Page       {page}")
    say(f"Link       {link}")
    say(f"Good once, until {utc(until)}.")
    show_qr(link, wanted=qr)
    if portal.config.is_plain_http:
        remark("public_url is plain http: whoever is on the way can read the code, and come in.")
    if not portal.config.app_hosts:
        remark("app_hosts is false: a device comes to the Portal's own pages, and to no app.")


@terminals.command("list", cls=Command)
def show(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show every terminal, and when it was last seen.

    A running proxy writes that down once in a minute. A terminal that wasn't
    used for half a year has expired: it must be paired again.

    For example:
      portal-proxy terminals list --json
    """
    listed, now = open_portal(config).terminals.load().terminals, time.time()
    if as_json:
        say_json([_described(terminal, now) for terminal in listed])
        return
    for terminal in listed:
        say(f"{terminal.name}  {terminal.id}")
        expired = "" if terminal.is_valid(now) else " (expired)"
        say_fields([("paired", utc(terminal.paired)), ("seen", utc(terminal.seen) + expired)])
    if not listed:
        remark(f"No terminals yet. To pair one: {command_line(config, 'terminals', 'pair')}")


@terminals.command(cls=Command)
def rename(
    terminal_id: TerminalId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called from now on.")],
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Give a terminal another name. Apps see it.

    For example:
      portal-proxy terminals rename 8271dd "Laptop, at work"
    """
    store = open_portal(config).terminals
    terminal = _the_terminal(store.load(), terminal_id)
    with refused_edits_stop():
        store.change(lambda before: renamed(before, terminal.id, name))
    say(f"Renamed {terminal.name} to {name}, {terminal.id}")


@terminals.command(cls=Command)
def remove(terminal_id: TerminalId, config: ConfigFolder = DEFAULT_FOLDER) -> None:
    """Remove a terminal: it is a stranger again.

    A running proxy follows within a second, and ends what the terminal has running.

    For example:
      portal-proxy terminals remove 8271dd
    """
    store = open_portal(config).terminals
    terminal = _the_terminal(store.load(), terminal_id)
    with refused_edits_stop():
        store.change(lambda before: without_terminal(before, terminal.id))
    say(f"Removed {terminal.name}, {terminal.id}")


def _the_terminal(listed: TerminalList, text: str) -> Terminal:
    """Return the terminal of this ID; refuses anything else, and says what was perhaps meant."""
    terminal = listed.find(text)
    if terminal is not None:
        return terminal
    namesakes = [each.id for each in listed.terminals if each.name == text]
    if namesakes:
        ids = ", ".join(namesakes)
        raise Stop(
            f"a terminal is chosen by its ID, not by its name; {text!r} is the name of {ids}"
        )
    what = "no terminal has the ID" if is_terminal_id(text) else "no terminal can have the ID"
    raise Stop(f"{what} {text!r}; portal-proxy terminals list shows them all")


def _described(terminal: Terminal, now: float) -> dict[str, object]:
    """Return a terminal for ``--json``."""
    return {
        "id": terminal.id,
        "name": terminal.name,
        "paired": terminal.paired,
        "seen": terminal.seen,
        "expired": not terminal.is_valid(now),
    }
