"""A Portal that the owner is about to add: from what was typed to a contact that can be trusted.

Trust is in the full ID, which a card holds too. Where only its beginning was typed, or an address,
the Portal there says who it is, and the owner compares: six characters can be ground out by
anybody, and an address is whose it is today.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, replace

import typer

from proxy.cli.arguments import read_address, read_connect, typed_id
from proxy.cli.http_client import HttpxUpstream, cause_of
from proxy.cli.output import Stop, command_line, remark
from proxy.cli.ping_clock import is_about_time, whose_clock
from proxy.cli.ping_freeshard import FREESHARD, who_else
from proxy.cli.portal_files import PortalFiles
from proxy.core.access.policy import Contact, Mode
from proxy.core.card import SCHEME, BadCard, Card, read_card
from proxy.core.display_names import name_problem
from proxy.core.errors import Code, Refusal
from proxy.core.http.origin import parse_origin
from proxy.core.identity import is_portal_id, short_id
from proxy.core.identity_document import Document
from proxy.core.written_id import write_id
from proxy.http.tls.verifying import believing
from proxy.http.upstream import Destination, UpstreamFailed
from proxy.outbound.destinations import destination_of
from proxy.outbound.identity_documents import fetch_document
from proxy.state.contacts import derived_address

LOOK_UP_TIMEOUT = 10.0
"""Seconds for a Portal to say who it is."""
DEFAULT_MODE: Mode = "sealed"


@dataclass(frozen=True)
class NewPeer:
    """What was typed, checked for its form; ``contact.id`` may still be a prefix, the name ""."""

    portal: PortalFiles
    contact: Contact
    is_guessed: bool
    """Nobody said where it is: its address is one below our own domain."""

    def confirmed(self, *, sure: bool) -> Contact:
        """Return the contact with its full ID; ``sure`` answers the question beforehand."""
        self._refuse_known(self.contact.id)
        contact = self.contact if is_portal_id(self.contact.id) else self._looked_up(sure=sure)
        return replace(contact, name=contact.name or short_id(contact.id))

    def _refuse_known(self, portal_id: str) -> None:
        """Refuse our own ID and a peer that is there already; "" is nobody's yet."""
        if self.portal.identity().public.portal_id == portal_id:
            raise Stop(f"{portal_id} is this Portal's own ID; a Portal is no peer of itself")
        there = self.portal.contacts.load().find(portal_id)
        if there is not None:
            hint = command_line(self.portal.folder, "peers", "set", short_id(there.id))
            raise Stop(f"{there.id} is a peer already, named {there.name!r}; to change it: {hint}")

    def _looked_up(self, *, sure: bool) -> Contact:
        """Ask the Portal at the address who it is, and the owner whether it is the one meant."""
        contact = self.contact
        guess = ", a guess below your own domain," if self.is_guessed else ""
        remark(f"Asking {contact.address}{guess} who it is.")
        try:
            document = asyncio.run(_fetch(contact, self.portal.peer_authorities()))
        except Refusal as refusal:
            to, cause = destination_of(contact), _cause(refusal)
            clocks = asyncio.run(whose_clock(to, LOOK_UP_TIMEOUT)) if is_about_time(cause) else ""
            reason = f"{refusal.code.title} {refusal.detail}"
            if refusal.code is Code.PEER_UNTRUSTED and (named := self._named()):
                raise Stop(named) from None
            raise self._no_response(f"{reason.rstrip('. ')}. {clocks}") from None
        except TimeoutError:
            raise self._no_response(f"no response within {LOOK_UP_TIMEOUT:g} seconds") from None
        self._refuse_known(document.portal_id)
        remark(f"Portal ID  {write_id(document.portal_id)}")
        remark(f"Name       {document.name or '(none)'}")
        if not sure:
            self._ask(document.portal_id)
        return replace(contact, id=document.portal_id, name=contact.name or document.name)

    def _named(self) -> str:
        """Return that a Freeshard is at the address, where one is; else ""."""
        to, authorities = destination_of(self.contact), self.portal.peer_authorities()
        what, then = asyncio.run(_who_else(to, authorities))
        return f"{self.contact.address}: {what} {then}" if what == FREESHARD else ""

    def _no_response(self, reason: str) -> Stop:
        """Return why nobody could be found, and the way that needs nobody."""
        offline = self._command_for("FULL-ID")
        elsewhere = ""
        if self.is_guessed:
            elsewhere = " If it isn't below your domain: give its card, its URL, or --address."
        return Stop(f"{reason.rstrip('. ')}.{elsewhere} A full ID needs no look-up: {offline}")

    def _command_for(self, portal_id: str) -> str:
        """Return the command that adds this ID with everything else that was typed."""
        contact = self.contact
        words = ["--name", contact.name] if contact.name else []
        if contact.address != derived_address(contact.id, self.portal.config.domain):
            words += ["--address", contact.address]
        if contact.connect:
            words += ["--connect", contact.connect]
        if contact.mode != DEFAULT_MODE:
            words += ["--mode", contact.mode]
        return command_line(self.portal.folder, "peers", "add", portal_id, *words)

    def _ask(self, portal_id: str) -> None:
        """Ask whoever is at the terminal or the pipe; where nobody answers, refuse."""
        question = "Is this the ID that its owner gave you?"
        try:
            sure = typer.confirm(question, default=False, err=True)
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            command = self._command_for(portal_id)
            what = f"nobody is here to confirm that: use --yes, or the full ID: {command}"
            raise Stop(what) from None
        if not sure:
            raise Stop("not added")


def new_peer(
    portal: PortalFiles,
    typed: str,
    *,
    name: str | None,
    address: str | None,
    connect: str | None,
    mode: Mode,
) -> NewPeer:
    """Check what was typed, before anything is asked of the network. Options overrule a card."""
    card = _read(typed)
    problem = None if name is None else name_problem(name)
    if problem is not None:
        raise Stop(f"--name: {problem}")
    given = card.address if address is None else read_address(address)
    where = given or read_address(derived_address(card.portal_id, portal.config.domain))
    through = "" if connect is None else read_connect(connect)
    contact = Contact(card.portal_id, name or card.name, where, through, mode)
    return NewPeer(portal, contact, is_guessed=not given)


def _read(typed: str) -> Card:
    """Return what was typed as a card, in which the rest is "": the whole ID, the name, ..."""
    lower = typed.strip().lower()
    if lower.startswith(SCHEME):
        try:
            return read_card(typed)
        except BadCard as error:
            what = "have the whole line sent again, and put quotes around it at a shell"
            raise Stop(f"this isn't a whole card: {error}; {what}") from None
    if lower.startswith(("https:", "http:")):
        # What a browser shows, perhaps with a path of the page that was open.
        scheme, slashes, rest = typed.strip().partition("//")
        try:
            return Card("", str(parse_origin(f"{scheme}{slashes}{rest.partition('/')[0]}")), "")
        except ValueError as error:
            raise Stop(f"{typed!r} isn't the address of a Portal: {error}") from None
    if _is_host(lower):
        what = f"give its card, or its whole address: https://{lower}"
        raise Stop(f"{typed!r} isn't the address of a Portal: {what}")
    return Card(typed_id(typed), "", "")


def _is_host(text: str) -> bool:
    """Tell whether this is an address without its scheme: its last label has a letter."""
    try:
        host = parse_origin(f"https://{text}").host
    except ValueError:
        return False
    return "." in host and not host.rpartition(".")[2].isdigit()


async def _who_else(to: Destination, authorities: str) -> tuple[str, str]:
    upstream = HttpxUpstream(believing(authorities, beside_system=True))
    try:
        return await who_else(upstream, to, LOOK_UP_TIMEOUT)
    finally:
        await upstream.close()


def _cause(refusal: Refusal) -> OSError | None:
    """Return what TLS or the system had against a connection, where that was the reason."""
    failure = refusal.__context__
    return cause_of(failure) if isinstance(failure, UpstreamFailed) else None


async def _fetch(contact: Contact, authorities: str) -> Document:
    """Return the verified identity document at the contact's address, of the ID that was typed."""
    upstream = HttpxUpstream(believing(authorities, beside_system=True))
    try:
        async with asyncio.timeout(LOOK_UP_TIMEOUT):
            return await fetch_document(
                upstream, destination_of(contact), contact.id, now=time.time()
            )
    finally:
        await upstream.close()
