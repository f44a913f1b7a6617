"""The public listener: strangers and peers on their way to this Portal's apps.

Nothing is decided here: ``proxy.core.gate`` decides, for whatever comes in an envelope too. This
module reads the request, asks the gate, and has the request forwarded or refused.
"""

import asyncio
from functools import partial

from starlette.types import Receive, Scope, Send

from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, RefusedPeer, Request, Unpaired, admit
from proxy.core.http.forwarded import read_forwarded_chain
from proxy.core.http.problem import hint_for, refusal_response, wants_page
from proxy.core.log_line import LEFT
from proxy.core.revocation import subject_of_request
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.signature.request import is_meant_as_ours
from proxy.core.signature.response import Question
from proxy.core.terminals.return_address import PAIR, is_navigation
from proxy.core.terminals.session import brings_token
from proxy.http.scope import IS_SHORT, target_of
from proxy.http.upstream import AppUpstream
from proxy.inbound.forward import Forwarder
from proxy.inbound.gateway import Gateway
from proxy.inbound.pairing_page import PairingPage
from proxy.inbound.terminal_session import look_for_terminals, sent_to_pair, touch_session
from proxy.portal import Portal
from proxy.state.replay import Later
from proxy.transfer.access_log import line_of
from proxy.transfer.body import ClientLeft
from proxy.transfer.client import Client, client_of, remote_peer_of
from proxy.transfer.places import PlaceLimiter
from proxy.transfer.response import send_response


class Inbound:
    """The ASGI app behind the public listener."""

    def __init__(self, portal: Portal, upstream: AppUpstream) -> None:
        self._portal = portal
        config = portal.config
        self._places = PlaceLimiter(config.limits, config.trusted_proxies, portal.counts)
        self._forwarder = Forwarder(portal, upstream)
        self._gateway = Gateway(portal, self._answer)
        self._pairing = PairingPage(portal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        line = line_of(scope)
        chain = read_forwarded_chain(
            remote_peer_of(scope),
            scope["headers"],
            self._portal.config.trusted_proxies,
            public=self._portal.hosts.origin.scheme,
            made_id=line.request_id,
        )
        line.client, line.request_id = chain.client, chain.request_id
        request = Request(scope["method"].encode("ascii"), target_of(scope), scope["headers"])
        await self._answer(request, client_of(scope, receive, send, chain, line))

    async def _answer(self, request: Request, client: Client) -> None:
        """Answer one request, from a connection or from an envelope."""
        now, line = self._portal.clock(), client.line
        question = None
        line.mode = "plain" if request.seal is None else "sealed"
        try:
            admission = self._admit(request, now) or await self._admit_later(request, now)
            # Looked up at once: later, the rules and the address could be of two moments.
            app = self._portal.apps.get(admission.app) if admission.app is not None else None
            question = admission.question
            if _is_envelope(request, admission):
                line.mode = "sealed"
                await self._gateway.open(request, client)
                return
            line.caller, line.app = admission.caller, admission.app or ""
            line.rule = admission.rule.prefix if admission.rule is not None else None
            if admission.caller.type == "terminal":
                client = touch_session(self._portal, request, admission, client, now)
            if _is_pairing(admission):
                await self._pairing.serve(request, admission, client)
                return
            if question is not None and request.seal is None:
                line.mode = "signed"
            subject = subject_of_request(admission.caller, admission.app)
            with (
                self._portal.active_requests.run(subject, line) as active,
                self._places.of(admission.caller, line.app, client.chain.client) as place,
            ):
                client.state[IS_SHORT] = place.is_short
                signed = question if line.mode == "signed" else None
                if app is None:
                    await self._forwarder.answer_own(request, admission, signed, client)
                elif signed is not None:
                    await self._forwarder.buffer(request, admission, app, signed, client)
                else:
                    await self._forwarder.stream(request, admission, app, client, active, place)
        except Refusal as refusal:
            if isinstance(refusal, RefusedPeer):
                question = refusal.question
                line.mode = "sealed" if request.seal is not None else "signed"
            line.refuse(refusal)
            await self._refuse(refusal, request, question, client)
        except ClientLeft:
            line.outcome = LEFT

    def _admit(self, request: Request, now: float) -> Admission | None:
        """Ask the gate; None where it has to be asked again, behind something that takes time."""
        claim = partial(self._portal.replays.claim_at_once, now=now)
        try:
            return admit(request, self._portal.context, now, claim)
        except Later:
            return None
        except Unpaired:
            if not brings_token(request.fields, self._portal.hosts.origin):
                raise
            return None

    async def _admit_later(self, request: Request, now: float) -> Admission:
        """Ask the gate once more, in a thread, where waiting stops nobody else.

        A claim has to wait, and none was made. Or another process may have paired the device a
        moment ago.
        """
        if not is_meant_as_ours(request.fields):
            await look_for_terminals(self._portal)
        claim = partial(self._portal.replays.claim, now=now)
        return await asyncio.to_thread(admit, request, self._portal.context, now, claim)

    async def _tell_epoch(self, refusal: Refusal) -> None:
        """Have the refusal tell the epoch as well: one more try then suffices, whatever was wrong.

        A new one may be due, and nobody has noticed yet that the clock was set.
        """
        replays, now = self._portal.replays, self._portal.clock()
        refusal.epoch = replays.told(now) or await asyncio.to_thread(replays.look_again, now)

    async def _refuse(
        self, refusal: Refusal, request: Request, question: Question | None, client: Client
    ) -> None:
        if refusal.code is Code.OUT_OF_TIME:
            await self._tell_epoch(refusal)
        if request.seal is not None:
            await send_response(client.send, refusal_response(refusal), request.method)
        elif question is not None:
            response = refusal_response(refusal)
            await self._forwarder.send_signed(response, request, question, client)
        elif isinstance(refusal, Unpaired) and is_navigation(request.method, request.fields):
            response = sent_to_pair(refusal, client.line.request_id)
            client.line.status = response.status
            await send_response(client.send, response, request.method)
        else:
            page = wants_page(request.method, request.fields)
            response = refusal_response(
                refusal,
                page=page,
                request_id=client.line.request_id,
                hint=hint_for(refusal, request.fields) if page else "",
            )
            await send_response(client.send, response, request.method)


def _is_envelope(request: Request, admission: Admission) -> bool:
    """Tell whether a stranger brings an envelope; there is none inside another one."""
    return (
        admission.app is None
        and admission.question is None
        and request.method == b"POST"
        and admission.target.path == GATEWAY
    )


def _is_pairing(admission: Admission) -> bool:
    """Tell whether somebody comes for the pairing page; to a Portal there is none."""
    return admission.app is None and admission.question is None and admission.target.path == PAIR
