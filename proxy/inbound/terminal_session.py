"""Browsers, known or not: a terminal is noted, and its cookie kept; a stranger is sent to pair."""

import asyncio
from concurrent.futures.thread import ThreadPoolExecutor
from dataclasses import replace

from proxy.core.access.policy import Access
from proxy.core.gate import Admission, Request, Unpaired
from proxy.core.http.headers import Field
from proxy.core.http.problem import Response, refusal_response
from proxy.core.terminals.session import renewal
from proxy.portal import Portal

_SEE_OTHER = 303
_looking = ThreadPoolExecutor(1, "terminals")
"""One, since whoever waits for a look waits for a disk: more threads could only wait beside it."""


def session_cookie(
    portal: Portal, request: Request, admission: Admission, now: float
) -> Field | None:
    """Note that a terminal was here; return its cookie where it is due to be set again.

    With responses from private pages alone, and no cache keeps them: it could hand the cookie to
    whoever asks next.
    """
    cookie, terminals = None, portal.terminals
    device = terminals.current.find(admission.caller.id)
    is_browser = device is not None and not device.app  # what else it sends isn't looked at
    is_private = admission.rule is not None and admission.rule.access is Access.PRIVATE
    if is_browser and is_private:
        last = terminals.last_renewal(admission.caller.id)
        cookie = renewal(request.fields, terminals.current, portal.hosts.origin, now, last)
    terminals.saw(admission.caller.id, now)
    if cookie is not None:
        terminals.renewed(admission.caller.id, now)
    return cookie


async def look_for_terminals(portal: Portal) -> None:
    """Take over the list of terminals as it is now."""
    look = await asyncio.get_running_loop().run_in_executor(_looking, portal.terminals.look)
    portal.terminals.apply(look)


def sent_to_pair(refusal: Unpaired, request_id: str) -> Response:
    """Return what sends a browser to the pairing page, and tells the refusal who doesn't follow."""
    told = refusal_response(refusal, page=True, request_id=request_id)
    location = (b"location", refusal.pairing_address.encode("ascii"))
    fields = tuple(field for field in told.fields if field[0] != b"www-authenticate")
    return replace(told, status=_SEE_OTHER, fields=(location, *fields))
