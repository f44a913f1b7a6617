"""``peers``: the contact list, from the command line."""

from typing import Annotated

import typer

from proxy.cli.arguments import Peer, read_address, read_connect, shortest_id, the_contact
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
)
from proxy.cli.peers_edit import edit_contacts
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, PortalFiles, open_portal
from proxy.core.access.policy import Contact, ContactList, Mode
from proxy.core.identity import short_id
from proxy.core.written_id import write_id
from proxy.state.contacts import changed, with_contact, without_contact

NewPeer = Annotated[
    str,
    typer.Argument(
        metavar="CARD|URL|ID",
        help="Its card, its address, its full ID, or at least six characters of that.",
    ),
]

peers = typer.Typer(cls=Group)


@peers.callback()
def describe() -> None:
    """List, add, change and remove the Portals you know."""


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
                ("id", write_id(peer.id)),
                ("address", peer.address),
                *([("connect", peer.connect)] if peer.connect else []),
                ("mode", peer.mode),
                ("apps", ", ".join(portal.apps_that_know(contacts, peer)) or "none"),
            ]
        )
    if not contacts.peers:
        remark(f"No peers yet. To add one: {command_line(config, 'peers', 'add', 'CARD')}")


_Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="What you call it. By default what it calls itself."
    ),
]
_Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Where it is, as https://HOST:PORT. By default its card's.",
    ),
]
_Connect = Annotated[
    str | None,
    typer.Option(
        "--connect", metavar="HOST:PORT", help="Connect there instead of resolving the address."
    ),
]


@peers.command(cls=Command)
def add(
    typed: NewPeer,
    *,
    name: _Name = None,
    address: _Address = None,
    connect: _Connect = None,
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

    Best by its card, the line that its owner's "portal-proxy card" prints: it says
    who it is and where. With a card or a full ID nothing is asked of the network.
    With an address, or the beginning of an ID, the Portal there is asked who it is,
    and you are shown its full ID: compare it with what its owner tells you. Six
    characters prove nothing.

    Without a card or an address it is looked for below your own domain. That is a
    guess, and said to be one.

    For example:
      portal-proxy peers add 'portal:8271dd...&check=abcd'
      portal-proxy peers add https://8271dd.p.getportal.org
      portal-proxy peers add 8271dd --address http://8271dd.portal.localhost:8080
    """
    from proxy.cli.peers_add import new_peer  # noqa: PLC0415 - only this pays for the HTTP client

    portal = open_portal(config)
    new = new_peer(portal, typed, name=name, address=address, connect=connect, mode=mode)
    peer = new.confirmed(sure=yes)
    with refused_edits_stop():
        contacts = portal.contacts.change(lambda before: with_contact(before, peer))
    say(f"Added {peer.name}, {peer.id}")
    guess = " (a guess: below your own domain, as no address was given)" if new.is_guessed else ""
    say(f"Address: {peer.address}{guess}")
    _say_who_may_know(portal, contacts, peer)


@peers.command("set", cls=Command)
def change(
    peer: Peer,
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What you call it from now on.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="URL", help="Where it is now, as https://HOST:PORT."),
    ] = None,
    connect: Annotated[
        str | None,
        typer.Option(
            "--connect",
            metavar="HOST:PORT",
            help='Connect there instead of resolving the address; "" to resolve it again.',
        ),
    ] = None,
    mode: Annotated[
        Mode | None, typer.Option(help="How it is called from now on.", show_default=False)
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Change a peer's name, address or mode. Who it is never changes.

    What isn't given stays. A running proxy follows within a second, and nothing that
    runs is broken off.

    For example:
      portal-proxy peers set Bob --address https://8271dd.example
      portal-proxy peers set 8271dd --name "Bob, at work" --mode sealed
    """
    if name is address is connect is mode is None:
        what = "nothing to change: give --name, --address, --connect or --mode"
        raise Stop(what, status=USAGE)
    where = None if address is None else read_address(address)
    through = None if connect is None else read_connect(connect) if connect else ""
    store = open_portal(config).contacts
    contact = the_contact(store.load(), peer)
    with refused_edits_stop():
        contacts = store.change(
            lambda before: changed(
                before, contact.id, name=name, address=where, connect=through, mode=mode
            )
        )
    now = contacts.find(contact.id) or contact
    say(f"Changed {now.name}, {now.id}")
    way = f", by {now.connect}" if now.connect else ""
    say(f"Called {now.mode} at {now.address}{way}")


@peers.command(cls=Command)
def remove(peer: Peer, config: ConfigFolder = DEFAULT_FOLDER) -> None:
    """Remove a peer, and every app's leave to know it.

    A running proxy follows within a second.

    For example:
      portal-proxy peers remove Bob
    """
    store = open_portal(config).contacts
    contact = the_contact(store.load(), peer)
    with refused_edits_stop():
        store.change(lambda before: without_contact(before, contact.id))
    say(f"Removed {contact.name}, {contact.id}")


@peers.command(cls=Command)
def rename(
    peer: Peer,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call it from now on.")],
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Give a peer another name. Apps see it.

    For example:
      portal-proxy peers rename 8271dd "Bob, at work"
    """
    store = open_portal(config).contacts
    contact = the_contact(store.load(), peer)
    with refused_edits_stop():
        store.change(lambda before: changed(before, contact.id, name=name))
    say(f"Renamed {contact.name} to {name}, {contact.id}")


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
    ping = command_line(portal.folder, "ping", shortest_id(contacts, peer))
    say(f"To see whether calls get through: {ping}")


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
