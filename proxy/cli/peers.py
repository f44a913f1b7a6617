"""``peers``: the contact list, from the command line."""

from typing import Annotated

import typer

from proxy.cli.arguments import shortest_id, the_contact
from proxy.cli.framework import Command, Group
from proxy.cli.output import command_line, refused_edits_stop, remark, say, say_fields, say_json
from proxy.cli.peers_edit import edit_contacts
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.core.access.policy import Contact, ContactList, Mode
from proxy.core.identity import short_id
from proxy.state.contacts import renamed, with_contact, without_contact

PeerId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The full ID, or at least six characters of its beginning."),
]

peers = typer.Typer(cls=Group)


@peers.callback()
def describe() -> None:
    """List, add, remove, rename and edit the Portals you know."""


@peers.command("list", cls=Command)
def show(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show every peer, with the apps that may know it.

    For example:
      portal-proxy peers list --json
    """
    portal = open_portal(config)
    contacts = portal.contacts.load()
    if as_json:
        say_json([_described(portal, contacts, peer) for peer in contacts.peers])
        return
    for peer in contacts.peers:
        say(f"{peer.name}  {short_id(peer.id)}")
        say_fields(
            [
                ("id", peer.id),
                ("address", peer.address),
                *([("connect", peer.connect)] if peer.connect else []),
                ("mode", peer.mode),
                ("apps", ", ".join(portal.apps_that_know(contacts, peer)) or "none"),
            ]
        )
    if not contacts.peers:
        remark(f"No peers yet. To add one: {command_line(config, 'peers', 'add', 'ID')}")


@peers.command(cls=Command)
def add(
    portal_id: PeerId,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What you call it. By default what it calls itself."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="URL",
            help="Where it is, as https://HOST:PORT. By default below your own domain.",
        ),
    ] = None,
    connect: Annotated[
        str | None,
        typer.Option(
            "--connect", metavar="HOST:PORT", help="Connect there instead of resolving the address."
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="How it is called. Sealed: only the two Portals can read it. Signed: others can."
        ),
    ] = "sealed",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take what a look-up finds.")] = False,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Add a Portal to those you know.

    With a full ID nothing is asked of the network. With the beginning of one, six
    characters or more, the Portal there is asked who it is, and you are shown its
    full ID: compare it with what its owner tells you. Six characters prove nothing.

    For example:
      portal-proxy peers add 8271dd
      portal-proxy peers add 8271dd --address http://8271dd.portal.localhost:8080
    """
    from proxy.cli.peers_add import new_peer  # noqa: PLC0415 - only this pays for the HTTP client

    portal = open_portal(config)
    typed = new_peer(portal, portal_id, name=name, address=address, connect=connect, mode=mode)
    peer = typed.confirmed(sure=yes)
    with refused_edits_stop():
        contacts = portal.contacts.change(lambda before: with_contact(before, peer))
    say(f"Added {peer.name}, {peer.id}")
    _say_who_may_know(portal, contacts, peer)


@peers.command(cls=Command)
def remove(portal_id: PeerId, config: ConfigFolder = DEFAULT_FOLDER) -> None:
    """Remove a peer, and every app's leave to know it.

    A running proxy follows within a second.

    For example:
      portal-proxy peers remove 8271dd
    """
    store = open_portal(config).contacts
    peer = the_contact(store.load(), portal_id)
    with refused_edits_stop():
        store.change(lambda before: without_contact(before, peer.id))
    say(f"Removed {peer.name}, {peer.id}")


@peers.command(cls=Command)
def rename(
    portal_id: PeerId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call it from now on.")],
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Give a peer another name. Apps see it.

    For example:
      portal-proxy peers rename 8271dd "Bob, at work"
    """
    store = open_portal(config).contacts
    peer = the_contact(store.load(), portal_id)
    with refused_edits_stop():
        store.change(lambda before: renamed(before, peer.id, name))
    say(f"Renamed {peer.name} to {name}, {peer.id}")


@peers.command(cls=Command)
def edit(config: ConfigFolder = DEFAULT_FOLDER) -> None:
    """Open the contact list in your editor ($VISUAL, $EDITOR, or vi).

    The safe way by hand: nothing is put in place before it is right, and no change
    made meanwhile is lost. Comments stay until a
    command changes the list.

    For example:
      EDITOR=nano portal-proxy peers edit
    """
    edit_contacts(open_portal(config).contacts)


def _say_who_may_know(portal: PortalFiles, contacts: ContactList, peer: Contact) -> None:
    """Say which apps may know a new peer, and the command that changes it for each app."""
    knowing = portal.apps_that_know(contacts, peer)
    say(f"Apps that may know it: {', '.join(knowing) or 'none'}")
    served = sorted(portal.catalogue().apps)
    if not served:
        say(f"To change that: {command_line(portal.folder, 'apps', 'allow', 'APP', 'all')}")
    for app in served:
        others = [other for other in contacts.known_to(app) if other != peer]
        after = others if app in knowing else [*others, peer]
        ids = [shortest_id(contacts, other) for other in after] or ["none"]
        verb = "keep it from" if app in knowing else "show it to"
        say(f"To {verb} {app}: {command_line(portal.folder, 'apps', 'allow', app, *ids)}")


def _described(portal: PortalFiles, contacts: ContactList, peer: Contact) -> dict[str, object]:
    """Return a peer for ``--json``."""
    return {
        "id": peer.id,
        "short_id": short_id(peer.id),
        "name": peer.name,
        "address": peer.address,
        "connect": peer.connect or None,
        "mode": peer.mode,
        "apps": portal.apps_that_know(contacts, peer),
    }
