"""The pairing page: where a browser becomes one of the owner's devices, by a code.

It is on the Portal's own host alone: a code that is typed on an app's page could be read by the
app's script. A form from any other page is refused, the token is always a fresh one, and nobody
says where a browser lands but this Portal's own addresses.
"""

import asyncio
from concurrent.futures.thread import ThreadPoolExecutor

from proxy.core.access.policy import Caller
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.headers import values_of
from proxy.core.http.problem import Response, refusal_response, wants_page
from proxy.core.sealing.envelope import media_type
from proxy.core.terminals.pairing_form import FORM_LIMIT, FORM_TYPE, Form, likely_name, read_form
from proxy.core.terminals.pairing_page import View, page_fields, render
from proxy.core.terminals.request_origin import is_same_portal_request
from proxy.core.terminals.return_address import PAIR, return_address_of, safe_return_address
from proxy.core.terminals.session import cookie_field
from proxy.inbound.terminal_session import look_for_terminals
from proxy.portal import Portal
from proxy.transfer.client import Client
from proxy.transfer.response import send_response

_MINUTE = 60
_pairing = ThreadPoolExecutor(4, "pairing")
"""For pairing alone: whoever floods it with codes keeps nobody else waiting."""


class PairingPage:
    """The page of one Portal."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._origin = portal.hosts.origin
        self._to_apps = portal.hosts.of_apps

    async def serve(self, request: Request, admission: Admission, client: Client) -> None:
        """Answer a request for the page, or its form; raises ``Refusal``."""
        if request.method == b"POST":
            response = await self._pair(request, client)
        elif request.method in (b"GET", b"HEAD"):
            caller = admission.caller
            return_address = return_address_of(
                admission.target, self._origin, to_apps=self._to_apps
            )
            paired_as = caller.name if caller.type == "terminal" else ""
            name = likely_name(b" ".join(values_of(request.fields, b"user-agent")))
            view = View(self._portal.config.name, return_address, name, paired_as=paired_as)
            response = Response(200, page_fields(self._origin, to_apps=self._to_apps), render(view))
        else:
            raise Refusal(Code.METHOD_NOT_ALLOWED, allow="GET, HEAD, POST")
        client.line.status = response.status
        await send_response(client.send, response, request.method)

    async def _pair(self, request: Request, client: Client) -> Response:
        """Take the form. A browser is told on the page what was wrong, and may try again."""
        if not is_same_portal_request(
            b"POST",
            is_websocket=False,
            fields=request.fields,
            own=self._origin,
            portal=self._origin,
        ):
            raise Refusal(Code.FOREIGN_PAGE, "the form was sent by another site's page")
        if media_type(request.fields) != FORM_TYPE:
            raise Refusal(Code.BAD_REQUEST, "not a form")
        form = read_form(await _read(client))
        return_address = safe_return_address(form.to, self._origin, to_apps=self._to_apps)
        try:
            token = await self._redeem(form, client)
        except Refusal as refusal:
            return self._again(refusal, request, form, client)
        own = f"{self._origin}{PAIR.decode('ascii')}"
        fields = (
            (b"location", (return_address or own).encode("ascii")),
            (b"cache-control", b"no-store"),
            cookie_field(self._origin, token.encode("ascii"), for_apps=self._to_apps),
        )
        return Response(303, fields, b"")

    async def _redeem(self, form: Form, client: Client) -> str:
        """Use the code up; returns the new terminal's token. Raises ``Refusal``."""
        portal, address = self._portal, client.chain.client
        # In a thread: other processes may have locked the codes just now, and disks are slow.
        terminal, token = await asyncio.get_running_loop().run_in_executor(
            _pairing, portal.pairing.redeem, form.code, address, form.name, portal.clock()
        )
        await look_for_terminals(portal)  # at once: the browser will be here again in a moment
        client.line.caller = Caller("terminal", terminal.id, terminal.name)
        return token

    def _again(self, refusal: Refusal, request: Request, form: Form, client: Client) -> Response:
        """Return the page once more with what was typed; to a program, the refusal as it is."""
        if not wants_page(request.method, request.fields):
            raise refusal
        client.line.refuse(refusal)
        return_address = safe_return_address(form.to, self._origin, to_apps=self._to_apps)
        view = View(self._portal.config.name, return_address, form.name, form.code, _why(refusal))
        told = refusal_response(refusal, request_id=client.line.request_id)
        ours = page_fields(self._origin, to_apps=self._to_apps)
        names = {name for name, _ in ours}
        fields = (*ours, *(pair for pair in told.fields if pair[0] not in names))
        return Response(told.status, fields, render(view))


async def _read(client: Client) -> bytes:
    body = b""
    async for piece in client.pieces:
        body += piece
        if len(body) > FORM_LIMIT:
            raise Refusal(Code.TOO_LARGE, f"a form of more than {FORM_LIMIT} bytes")
    return body


def _why(refusal: Refusal) -> str:
    """Say what happened to a code, for the person who typed it."""
    if refusal.code is Code.TOO_MANY_ATTEMPTS:
        return f"Too many wrong codes were tried. Try again in {_wait(refusal.retry_after)}."
    if refusal.code is Code.PAIRING_REFUSED:
        return (
            "This code isn't good: it has a typing error, was used already, or is older than ten "
            "minutes. The owner can get a new one."
        )
    return "Nothing can be paired just now: the Portal can't read or write its list of devices."


def _wait(seconds: int | None) -> str:
    seconds = max(1, seconds or _MINUTE)
    if seconds <= _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // _MINUTE)} minutes"
