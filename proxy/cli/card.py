"""``card``: the line that an owner gives to friends, so that they can add this Portal."""

from typing import Annotated

import typer

from proxy.cli.output import remark, say, say_json
from proxy.cli.portal_files import (
    DEFAULT_FOLDER,
    AsJson,
    ConfigFolder,
    PortalFiles,
    open_portal,
)
from proxy.cli.qr import show_qr
from proxy.core.card import Card, write_card
from proxy.core.written_id import write_id


def card(
    *,
    qr: Annotated[
        bool | None,
        typer.Option("--qr/--no-qr", help="Print it as a QR code too. By default at a terminal."),
    ] = None,
    config: ConfigFolder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Print this Portal's card: one line that says who it is and where.

    Give it to people who want to add you, by any way on which you know them: it is
    no secret. They type: portal-proxy peers add 'CARD'. The ID in groups is for
    reading it out; each group's last character checks the others.

    For example:
      portal-proxy card
      portal-proxy card --json
    """
    portal = open_portal(config)
    portal_id = portal.identity().public.portal_id
    own = card_of(portal, portal_id)
    line = write_card(own)
    if as_json:
        say_json(
            {
                "card": line,
                "id": portal_id,
                "written_id": write_id(portal_id),
                "address": own.address,
                "name": own.name,
            }
        )
        return
    say(line)
    show_qr(line, wanted=qr)
    remark(f"The ID alone, to read out: {write_id(portal_id)}")


def card_of(portal: PortalFiles, portal_id: str) -> Card:
    """Return the card of this Portal, whose ID is known by now."""
    address = str(portal.config.public_origin(portal_id))
    return Card(portal_id, address, portal.config.name)
