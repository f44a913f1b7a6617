"""What a contact's Portal says of itself, looked at closely enough to say what is wrong with it."""

import asyncio
import time
from dataclasses import dataclass

from proxy.cli.output import utc
from proxy.cli.ping_address import EDIT, Step, problem, well
from proxy.cli.ping_freeshard import who_else
from proxy.core.errors import Refusal
from proxy.core.http.headers import values_of
from proxy.core.http.web_server import explain_unproven
from proxy.core.identity_document import BACKDATED, PATH, TAG, Document, verify_document
from proxy.core.signature.base import Message
from proxy.core.signature.parameters import find_signature, time_of
from proxy.core.signature.response import Untrusted
from proxy.http.upstream import Destination, Upstream
from proxy.outbound.identity_documents import ask_for_document

_OK, _MISDIRECTED = 200, 421


@dataclass(frozen=True)
class LookedUp:
    """What was found at an address; whose ``document`` it is, is still to be compared."""

    step: Step
    is_answered: bool = True
    """Whether anything answered."""
    document: Document | None = None
    """Verified in everything but whose it is and, with a ``shift``, its time."""
    shift: float = 0.0
    """Seconds, about, by which the clock that signed the document is ahead of ours, if that is
    what makes it invalid here."""


async def look_up(upstream: Upstream, to: Destination, patience: float) -> LookedUp:
    """Fetch and verify the identity document at ``to``, whoever's it is."""
    try:
        async with asyncio.timeout(patience):
            head, body = await ask_for_document(upstream, to, patience)
    except (Refusal, TimeoutError) as error:
        why = f"it took longer than {patience:g} s"
        if isinstance(error, Refusal):
            why = error.detail
        then = "Something else than a Portal may be at this address, or its proxy hangs."
        if to.origin.scheme == "http":
            then += " Or it speaks TLS there: then the address begins with https."
        step = problem("document", f"No identity document came: {why}", then)
        return LookedUp(step, is_answered=False)
    try:
        document = verify_document("", head, body, now=time.time())
    except Untrusted as error:
        found = _out_of_time(head, body)
        if found is not None:
            return found
        is_signed = values_of(head.fields, b"signature")
        what, then = ("", "") if is_signed else await who_else(upstream, to, patience)
        if what:
            return LookedUp(problem("document", what, then))
        return LookedUp(_unusable(to, head, str(error)))
    modes = sorted(document.modes)
    accepted = " and ".join(modes) or "no"
    what = f"It is genuine and good until {utc(document.expires)}; it accepts {accepted} calls."
    return LookedUp(well("document", what, until=document.expires, accept=modes), document=document)


def _out_of_time(head: Message, body: bytes) -> LookedUp | None:
    """Return what is found where nothing but the time is wrong, else None."""
    try:
        created = time_of(find_signature(head.fields, TAG), "created")
        document = verify_document("", head, body, now=created)
    except (Refusal, Untrusted):
        return None
    now = time.time()
    span = f"from {utc(created)} to {utc(document.expires)}"
    what = f"It is good {span}, and here it is {utc(now)}: one of the two clocks is wrong."
    step = problem("document", what, "Set the clock that is wrong. No call is possible until then.")
    return LookedUp(step, document=document, shift=created + BACKDATED - now)


def _unusable(to: Destination, head: Message, why: str) -> Step:
    """Say why what came is no identity document at all."""
    status = head.status or 0
    then = "It is no Portal, or something on the way changes what it says."
    if not values_of(head.fields, b"signature"):
        then = explain_unproven(status, head.fields, to.origin.host)
    if status == _MISDIRECTED:
        what = "What answers says that this host isn't its own (421)."
        then += f" {EDIT}"
    elif status != _OK:
        what = f"What answers has no {PATH.decode()} (status {status})."
    else:
        what = f"What answers can't be believed: {why.removeprefix('identity document: ')}"
    return problem("document", what, then)
