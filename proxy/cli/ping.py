"""``ping``: what is wrong with a contact, step by step."""

import asyncio
from typing import Annotated

import typer

from proxy.cli.arguments import Peer, the_contact
from proxy.cli.output import Stop, counted, say, say_fields, say_json
from proxy.cli.ping_address import Step
from proxy.cli.portal_files import DEFAULT_FOLDER, AsJson, ConfigFolder, open_portal
from proxy.core.access.policy import Contact


def ping(
    peer: Peer,
    *,
    as_json: AsJson = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, metavar="SECONDS", help="The most for each step."),
    ] = 5.0,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Try a large body, a WebSocket and a minute of silence, too."
        ),
    ] = False,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Find out what is wrong with a contact.

    Its address, TLS, identity document, key and clock are looked at, then it is called
    as the contact list says, for nothing but who it is. Each step gets a sentence, and
    a problem what to do next. Exit status 1 where there is one. Whether the peer's
    owner hides this Portal from some app can't be told from here.

    --thorough adds what web servers mostly stop: a call with a body of 8 MiB, a
    WebSocket's handshake, and a response that comes after 65 seconds.

    For example:
      portal-proxy ping bob
      portal-proxy ping bob --thorough
    """
    from proxy.cli.call_transport import engine  # noqa: PLC0415
    from proxy.cli.ping_steps import PingSteps  # noqa: PLC0415 - only these pay for the engine

    portal = open_portal(config)
    contacts = portal.contacts.load()
    contact = the_contact(contacts, peer)
    key, authorities = portal.identity(), portal.peer_authorities()
    steps: list[Step] = []

    async def try_all() -> None:
        async with engine(timeout, authorities) as upstream:
            found = PingSteps(portal, contacts, contact, key, upstream, timeout)
            async for step in found.steps(thorough=thorough, shows=not as_json):
                steps.append(step)
                if not as_json:
                    _show(step)

    if not as_json:
        _say_whom(contact)
    asyncio.run(try_all())
    problems = [step for step in steps if step.ok is False]
    if as_json:
        _say_as_json(contact, steps)
    if problems:
        raise Stop(f"{counted(len(problems), 'problem')} found")
    if not as_json:
        say("All is well.")


def _say_whom(contact: Contact) -> None:
    say(f"{contact.name}  {contact.id}")
    connect = [("connect", contact.connect)] if contact.connect else []
    say_fields([("address", contact.address), *connect, ("mode", contact.mode)])


def _say_as_json(contact: Contact, steps: list[Step]) -> None:
    say_json(
        {
            "ok": all(step.ok is not False for step in steps),
            "peer": contact.id,
            "name": contact.name,
            "address": contact.address,
            "connect": contact.connect or None,
            "mode": contact.mode,
            "steps": [step.described() for step in steps],
        }
    )


def _show(step: Step) -> None:
    """Print one step, and what to do about it."""
    label = {True: "ok", False: "problem", None: "-"}[step.ok]
    say(f"{label:<9}{step.name:<13}{step.what}")
    if step.then:
        say(f"{'':<22}Next: {step.then}")
