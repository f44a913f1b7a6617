"""``apps``: this Portal's apps, whom each may know, and the tokens they call with."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.apps_add import add as add_app
from proxy.cli.apps_env import env
from proxy.cli.apps_remove import remove as remove_app
from proxy.cli.apps_token_file import read_group, read_mode, refuse_unsafe_place, write_token_file
from proxy.cli.arguments import AppName, read_visibility, the_contact, unknown_app
from proxy.cli.framework import Command, Group
from proxy.cli.output import (
    USAGE,
    Stop,
    command_line,
    counted,
    refused_edits_stop,
    remark,
    say,
    say_fields,
    say_json,
)
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, open_portal
from proxy.config.apps import App
from proxy.core.access.policy import ContactList, Visibility
from proxy.core.identity import short_id
from proxy.http.client.look import look_at_all
from proxy.state.contacts import with_visibility
from proxy.state.files import Unsafe

apps = typer.Typer(cls=Group)


@apps.callback()
def describe() -> None:
    """Add and remove apps, list them, set whom they may know, print their tokens."""


apps.command("add", cls=Command)(add_app)
apps.command("remove", cls=Command)(remove_app)


@apps.command("list", cls=Command)
def show(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show every app: where it runs and whether it answers, its paths, and whom it may know.

    The exit status doesn't depend on what an app does.

    For example:
      portal-proxy apps list --json
    """
    portal = open_portal(config)
    contacts = portal.contacts.load()
    catalogue = portal.catalogue()
    listed = [catalogue.apps[name] for name in sorted(catalogue.apps)]
    found = asyncio.run(look_at_all({app.name: app.upstream for app in listed}))
    if as_json:
        say_json([{**_described(contacts, app), "status": found[app.name]} for app in listed])
    else:
        for app in listed:
            say(app.name)
            say_fields(
                [
                    ("upstream", str(app.upstream)),
                    ("status", found[app.name]),
                    ("paths", ", ".join(_accesses(app))),
                    ("knows", _visibility_line(contacts, app.name)),
                ]
            )
        if not listed:
            command = command_line(config, "apps", "add", "NAME", "--upstream", "URL")
            remark(f"No apps yet. This adds one: {command}")
    if catalogue.problems:
        problems = counted(len(catalogue.problems), "problem")
        remark(f"Apps with problems are left out ({problems}): {command_line(config, 'check')}")


@apps.command(cls=Command)
def allow(
    app: AppName,
    who: Annotated[
        list[str] | None,
        typer.Argument(metavar="all|none|PEER...", help="All peers, none, or these alone."),
    ] = None,
    *,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="PEER", help="This one beside those that it may know."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="PEER", help="All that it may know but this one."),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Set which peers an app may know: it lists and calls them, and they may call it.

    What was set before is replaced, unless --add or --remove say what is different;
    each may be given more than once. An app that may know all and from which one is
    removed knows the others that there are now, and no new ones. A running proxy
    follows within a second.

    For example:
      portal-proxy apps allow guestbook all
      portal-proxy apps allow guestbook Bob b8rk3f
      portal-proxy apps allow guestbook --add Cleo --remove Bob
    """
    changes = bool(add or remove)
    if changes == bool(who):
        what = (
            "say whom: all, none or peers; or what is different, by --add and --remove. See: "
            "portal-proxy apps allow --help"
        )
        raise Stop(what, status=USAGE)
    portal = open_portal(config)
    contacts = portal.contacts.load()
    if not portal.has_app(app) and not (app in contacts.apps and (who == ["none"] or changes)):
        raise unknown_app(app, portal.catalogue().apps)

    def edit(before: ContactList) -> ContactList:
        if who:
            return with_visibility(before, app, read_visibility(before, who))
        return with_visibility(before, app, _changed(before, app, add or [], remove or []))

    with refused_edits_stop():
        contacts = portal.contacts.change(edit)
    say(f"{app} may know: {_visibility_line(contacts, app)}")


@apps.command(cls=Command)
def token(
    app: AppName,
    *,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new one; the old one ends within a second.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="PATH", help="Write it to this file, and print nothing."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="With --file: its mode. By default 0600, or 0640 with --group.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="GROUP", help="With --file: the group that may read it too."
        ),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Print the token that an app calls with, alone on a line. Keep it secret.

    It is the same each time. Where the app's proxy.yaml names a token_file, that is
    written too, and a running proxy keeps it right. With --file it is written to a file
    once, whole, and for nobody but its owner and the group that you give.

    For example:
      HTTP_PROXY=http://guestbook:$(portal-proxy apps token guestbook)@127.0.0.1:8081
      portal-proxy apps token guestbook --file /run/portal/guestbook --group guestbook
    """
    if file is None and (mode or group):
        raise Stop("--mode and --group say how a file is written: give --file PATH", status=USAGE)
    mode_bits = read_mode(mode, has_group=group is not None)
    group_id = None if group is None else read_group(group)
    # What is written for an app is root's to write; the token itself is the state's owner's.
    portal = open_portal(config, as_root=file is not None)
    catalogue = portal.catalogue()
    if not portal.has_app(app):
        raise unknown_app(app, catalogue.apps)
    if file is not None:
        refuse_unsafe_place(file)  # before a token is made or replaced
    with portal.as_owner():
        value = portal.tokens.rotate(app) if rotate else portal.tokens.token(app)
        entry = catalogue.apps.get(app)
        if entry is not None and entry.token_file is not None:
            try:
                portal.tokens.deliver(app, entry.token_file)
            except (OSError, Unsafe) as error:
                remark(f"The token is in force, but {entry.token_file} can't be written: {error}")
    if file is None:
        say(value)
        return
    write_token_file(file, value, mode=mode_bits, group=group_id)
    whose = f", group {group}" if group is not None else ""
    say(f"Wrote the token of {app} to {file} (mode {mode_bits:04o}{whose})")


apps.command("env", cls=Command)(env)


def _changed(contacts: ContactList, app: str, add: list[str], remove: list[str]) -> Visibility:
    """Return the setting of an app with these peers more, and those less."""
    more = {the_contact(contacts, text).id for text in add}
    less = {the_contact(contacts, text).id for text in remove}
    if both := more & less:
        raise Stop(f"{both.pop()} can't be added and removed at once", status=USAGE)
    if contacts.apps.get(app) == "all" and not less:
        return "all"
    known = {peer.id for peer in contacts.known_to(app)}
    return frozenset((known | more) - less)


def _visibility_line(contacts: ContactList, app: str) -> str:
    """Return the setting of an app in words."""
    setting = contacts.apps.get(app, "none")
    if isinstance(setting, str):
        return {"all": "all peers", "none": "no peers"}[setting]
    names = [f"{peer.name} ({short_id(peer.id)})" for peer in contacts.known_to(app)]
    return ", ".join(names) or "no peers"


def _accesses(app: App) -> list[str]:
    """Return what the paths of an app ask for, a part for each prefix."""
    return [
        f"{rule.prefix.decode('ascii') or 'the rest'} {rule.access.name.lower()}"
        for rule in app.rules.rules
    ]


def _described(contacts: ContactList, app: App) -> dict[str, object]:
    """Return an app for ``--json``."""
    setting = contacts.apps.get(app.name, "none")
    return {
        "name": app.name,
        "upstream": str(app.upstream),
        "paths": {
            rule.prefix.decode("ascii"): rule.access.name.lower() for rule in app.rules.rules
        },
        "visibility": setting if isinstance(setting, str) else sorted(setting),
        "peers": [peer.id for peer in contacts.known_to(app.name)],
    }
