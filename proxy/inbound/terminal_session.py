"""Browsers, known or not: a terminal is noted, and its cookie kept; a stranger is sent to pair."""

import asyncio
from concurrent.futures.thread import ThreadPoolExecutor
from dataclasses import replace

from starlette.types import Message, Send

from proxy.core.access.policy import Access
from proxy.core.gate import Admission, Request, Unpaired
from proxy.core.http.caching import stored_nowhere
from proxy.core.http.headers import Field
from proxy.core.http.problem import Response, refusal_response
from proxy.core.terminals.session import renewal
from proxy.http.scope import UPGRADE
from proxy.portal import Portal
from proxy.transfer.client import Client

_SEE_OTHER = 303
_looking = ThreadPoolExecutor(1, "terminals")
"""One, since whoever waits for a look waits for a disk: more threads could only wait beside it."""


def touch_session(
    portal: Portal, request: Request, admission: Admission, client: Client, now: float
) -> Client:
    """Note that a terminal was here; its cookie is set again with the response where that is due.

    With responses from private pages alone, and no cache keeps them: it could hand the cookie to
    whoever asks next.
    """
    cookie, terminals = None, portal.terminals
    if admission.rule is not None and admission.rule.access is Access.PRIVATE:
        last = terminals.last_renewal(admission.caller.id)
        cookie = renewal(request.fields, terminals.current, portal.hosts.origin, now, last)
    terminals.saw(admission.caller.id, now)
    if cookie is None:
        return client
    terminals.renewed(admission.caller.id, now)
    return replace(client, send=_with(cookie, client.send))


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


def _with(cookie: Field, send: Send) -> Send:
    """Return what sends a response with ``cookie`` in its head as well."""

    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", UPGRADE):
            message = {**message, "headers": [*stored_nowhere(message["headers"]), cookie]}
        await send(message)

    return sending
