"""``terminals``: the owner's devices, from the command line."""

import secrets
import time
from typing import Annotated

import typer

from proxy.cli.arguments import unknown_app
from proxy.cli.framework import Command, Group
from proxy.cli.output import (
    USAGE,
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
from proxy.config.app_settings import FILE_NAME
from proxy.config.apps import APPS_FOLDER
from proxy.core.display_names import MAX_NAME_LENGTH, name_problem
from proxy.core.terminals.device_token import CHANCE_BYTES, new_device_token
from proxy.core.terminals.pairing_code import CODE_LIFETIME, shown_code
from proxy.core.terminals.return_address import PAIR
from proxy.core.terminals.terminals import Terminal, TerminalList, is_terminal_id, token_digest
from proxy.state.terminals import renamed, without_terminal

TerminalId = Annotated[
    str, typer.Argument(metavar="ID", help="The terminal's ID, as `terminals list` shows it.")
]

terminals = typer.Typer(cls=Group)


@terminals.callback()
def describe() -> None:
    """Pair, add, list, rename and remove your own devices (terminals)."""


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


@terminals.command(cls=Command)
def add(
    *,
    token: Annotated[
        bool, typer.Option("--token", help="By a token, for a device that is no browser.")
    ] = False,
    app: Annotated[
        str, typer.Option("--app", metavar="APP", help="The one app that it is good for.")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What the device is called. Apps see it.")
    ] = "",
    qr: Annotated[
        bool | None,
        typer.Option(
            "--qr/--no-qr", help="Print a QR code of the token. By default at a terminal."
        ),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Make a token for a device that is no browser: a DAV client, git, an app on a phone.

    It is shown once, and good for one app: what that keeps private is open to the
    device. Put it where the device asks for a password, beside any user name. It is
    taken over https alone, or on this machine; and only by an app whose proxy.yaml
    says "device_tokens: true". The proxy needn't be restarted.

    A browser is paired: portal-proxy terminals pair

    For example:
      portal-proxy terminals add --token --app files --name "Phone's calendar"
      portal-proxy terminals add --token --app git --json
    """
    if not (token and app):
        what = (
            "say what for: portal-proxy terminals add --token --app APP; to make a browser yours: "
            "portal-proxy terminals pair"
        )
        raise Stop(what, status=USAGE)
    portal = open_portal(config)
    catalogue = portal.catalogue()
    if not portal.has_app(app):
        raise unknown_app(app, catalogue.apps)
    if not portal.config.app_hosts:
        what = "app_hosts is false: no device comes to an app, by a token or otherwise"
        raise Stop(f"{what}; to let them, take it out of portal.yaml and give apps hosts")
    name = name or f"Device of {app}"[:MAX_NAME_LENGTH]
    if problem := name_problem(name):
        raise Stop(f"the name {name!r} can't be used: {problem}")
    origin = portal.config.public_origin(portal.identity().public.portal_id).of_app(app)
    secret = new_device_token(secrets.token_bytes(CHANCE_BYTES))
    digest = token_digest(secret.encode("ascii"))
    terminal = portal.terminals.add(name, digest, time.time(), app=app)
    known = catalogue.apps.get(app)
    is_taken = known is not None and known.device_tokens
    if as_json:
        say_json(
            {
                "id": terminal.id,
                "name": terminal.name,
                "app": app,
                "url": f"{origin}/",
                "user": terminal.id,
                "token": secret,
                "accepted": is_taken,
            }
        )
    else:
        say(f"Token      {secret}")
        say(f"Device     {terminal.name}, {terminal.id}")
        say(f"Address    {origin}/")
        say(f"User       {terminal.id}, or anything else")
        say("The token is the password. It is shown this once, and kept nowhere.")
        say(f"curl       curl --user {terminal.id} {origin}/")
        say(f"git        git clone {origin.scheme}://{terminal.id}@{origin.authority}/REPOSITORY")
        say("Programs   Authorization: Bearer TOKEN")
        show_qr(secret, wanted=qr)
    if not is_taken:
        place = portal.folder / APPS_FOLDER / app / FILE_NAME
        remark(f"{app} takes no token yet: write the line device_tokens: true into {place}")
    if portal.config.is_plain_http:
        remark(
            "public_url is plain http: the token is good on this machine alone, until it is https."
        )


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
        made = ("paired", utc(terminal.paired))
        if terminal.app:
            say_fields([("token", f"for {terminal.app} alone")])
            made = ("made", utc(terminal.paired))
        say_fields([made, ("seen", utc(terminal.seen) + expired)])
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
        **({"app": terminal.app} if terminal.app else {}),
        "paired": terminal.paired,
        "seen": terminal.seen,
        "expired": not terminal.is_valid(now),
    }
