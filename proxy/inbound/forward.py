"""Admitted requests on their way to this Portal's apps, and the apps' answers on their way back.

What comes sealed, or from a stranger, streams both ways. A signed request and the answer to it are
held whole, since neither may be believed in part.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import lru_cache, partial

from proxy import portal_paths as own_paths
from proxy.config.apps import App
from proxy.core.app_fields import fields_from_us, identity_fields
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.forwarded import fields_of_forwarded_chain
from proxy.core.http.headers import Field, content_length, response_for_travel, values_of
from proxy.core.http.problem import Response
from proxy.core.http1.framing import bodiless
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.signature.base import NotSignable
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.core.websocket.handshake import fields_for_app, read_handshake
from proxy.http.upstream import (
    OnInterim,
    Timeouts,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)
from proxy.portal import Portal
from proxy.transfer.access_log import named
from proxy.transfer.active_requests import ActiveRequest
from proxy.transfer.body import BufferedBody, Prepended, beginning, limit_body, refuse_large
from proxy.transfer.client import Client
from proxy.transfer.failures import app_failed
from proxy.transfer.response import (
    nothing_follows,
    passing_fields,
    send_held,
    send_interim,
    send_response,
    send_stream,
)
from proxy.transfer.websocket import RelayLimits, WebSocketRelay

_EMPTY: Field = (b"content-length", b"0")
_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})


class Forwarder:
    """The way to the apps."""

    def __init__(self, portal: Portal, upstream: Upstream) -> None:
        self._portal = portal
        self._upstream = upstream
        self._limits = portal.config.limits
        self._sockets = RelayLimits(message=self._limits.websocket_message)

    async def stream(
        self,
        request: Request,
        admission: Admission,
        app: App | None,
        client: Client,
        active: ActiveRequest,
    ) -> None:
        """Stream the request to its app, and the answer back.

        ``app`` is as it was when the request was admitted, None for the Portal itself.
        Raises ``Refusal`` while another answer can be given, ``UpstreamFailed`` afterwards: then
        only a broken connection tells the client.
        """
        refuse_large(client.framing, self._limits.body)
        if app is None:
            answer = own_paths.response_for(self._portal, request.method, admission.target)
            client.line.status = answer.status
            await send_response(client.send, answer, request.method)
            return
        if admission.digests and client.framing is None:
            BodyDigest(admission.digests).refuse_mismatch()
        started = False
        handshake = read_handshake(request.method, request.fields) if client.raw else None
        try:
            asked = self._streamed(request, admission, app, client)
            if asked.body is not None and client.framing == _EMPTY:
                # With the head the app has all of it: first comes the end, and the proof.
                await nothing_follows(asked.body)
                asked = replace(asked, body=None)
            async with self._upstream.send(asked) as response:
                if handshake and client.raw and response.status == SWITCHING_PROTOCOLS:
                    name = named(request)
                    relay = WebSocketRelay(
                        handshake, response, client.raw, client.send, name, self._sockets
                    )
                    started = True
                    client.line.status = response.status
                    await _carried(relay, active)
                else:
                    fields, pieces = await _streamed_back(request, response)
                    started = True
                    client.line.status = response.status
                    await send_stream(client.send, response.status, fields, pieces)
        except UpstreamFailed as failure:
            if started:
                raise
            raise app_failed(failure) from None
        except Refusal as refusal:
            if started:
                raise UpstreamFailed(f"the request broke off: {refusal}") from None
            raise

    async def hold(
        self,
        request: Request,
        admission: Admission,
        app: App | None,
        question: Question,
        client: Client,
    ) -> None:
        """Hold a signed request until its digest is proven, then its answer until it is signed."""
        digest = BodyDigest(admission.digests)
        most = self._limits.held_body
        refuse_large(client.framing, min(most, self._limits.body))
        with BufferedBody(min(most, self._limits.body)) as body, BufferedBody(most) as held:
            await body.fill(client.pieces, limit=Code.TOO_LARGE, digest=digest)
            digest.refuse_mismatch()
            if app is None:
                answer = own_paths.response_for(self._portal, request.method, admission.target)
                client.line.status = answer.status
                await self.send_signed(answer, request, question, client)
                return
            framing, pieces = None, None
            if client.framing is not None:
                framing = (b"content-length", str(body.size).encode("ascii"))
                pieces = body.pieces()
            try:
                asked = self._to_app(request, admission, app, client, framing, pieces)
                async with self._upstream.send(asked) as response:
                    # An app that has answered was asked: not "no room", as if it hadn't been.
                    await held.fill(
                        response.pieces(), limit=Code.ANSWER_TOO_LARGE, full=Code.APP_FAILED
                    )
            except UpstreamFailed as failure:
                raise app_failed(failure) from None
            passing = passing_fields(request.method, response.status, response.fields)
            answer = Response(response.status, tuple(response_for_travel(passing)), b"")
            fields = self._portal.sign_response(answer, held.sha256, question)
            client.line.status = answer.status
            await send_held(client.send, answer.status, fields, held, request.method)

    async def send_signed(
        self, answer: Response, request: Request, question: Question, client: Client
    ) -> None:
        """Send an answer of our own, signed.

        A proof that the answer has of its own, as the identity document does, makes way for the
        one that answers this question. A question that no honest sender asks (it covers what
        isn't there) can't be signed for, and gets the answer as it is.
        """
        bare = replace(answer, fields=tuple(f for f in answer.fields if f[0] not in _PROOF))
        body = b"" if request.method == b"HEAD" else answer.body
        try:
            fields = self._portal.sign_response(bare, hashlib.sha256(body).digest(), question)
        except NotSignable:
            fields = answer.fields
        await send_response(client.send, replace(answer, fields=fields), request.method)

    def _streamed(
        self, request: Request, admission: Admission, app: App, client: Client
    ) -> UpstreamRequest:
        if client.raw is not None:
            asked = self._to_app(request, admission, app, client, None, None)
            return replace(asked, fields=fields_for_app(asked.fields))
        on_interim = partial(send_interim, client.send) if client.takes_interim else None
        pieces = None
        if client.framing is not None:
            pieces = limit_body(client.pieces, client.framing, self._limits.body)
        if pieces is not None and admission.digests:
            pieces = _proven(pieces, BodyDigest(admission.digests))
        asked = self._to_app(request, admission, app, client, client.framing, pieces, on_interim)
        if pieces is not None and values_of(request.fields, b"expect"):
            # The client's body is asked for when the app asks for it, or a second later.
            asked = replace(asked, fields=(*asked.fields, (b"expect", b"100-continue")))
        return asked

    def _to_app(
        self,
        request: Request,
        admission: Admission,
        app: App,
        client: Client,
        framing: Field | None,
        pieces: AsyncIterator[bytes] | None,
        on_interim: OnInterim | None = None,
    ) -> UpstreamRequest:
        """Return the request as the app gets it, with our word on who is calling, and from where.

        The Host that a web server before us was asked for is told if it leads to the same app; a
        peer's request is for the authority that it signed.
        """
        rule = admission.rule
        if rule is None:
            raise TypeError("only a request for an app can be sent to one")
        if admission.question is None:
            host = values_of(request.fields, b"host")[0]
            told = client.chain.host
            asked_for = told if told and self._portal.hosts.leads_to(told, app.name) else host
        else:
            asked_for = host = admission.question.message.authority.encode("ascii")
        caller, forwarding = admission.caller, fields_of_forwarded_chain(client.chain, asked_for)
        if rule.headers:
            ours = fields_from_us(rule, caller, self._portal.variables(caller), forwarding)
        else:
            ours = [*identity_fields(caller), *forwarding]
        if framing is not None:
            ours.append(framing)
        times = self._portal.config.times
        silence = times.app_answer if app.answer_timeout is None else app.answer_timeout
        return UpstreamRequest(
            app.upstream,
            request.method,
            admission.target.raw,
            ((b"host", host), *admission.fields, *ours),
            pieces,
            _timeouts(times.app_connect, silence),
            on_interim,
        )


@lru_cache
def _timeouts(connect: float, silence: float) -> Timeouts:
    return Timeouts(connect, silence, silence)


async def _carried(relay: WebSocketRelay, active: ActiveRequest) -> None:
    """Carry a WebSocket to its end; one that is cut says so to both sides, if they can be told."""
    try:
        await relay.run()
    except asyncio.CancelledError:
        if not active.is_revoked or not await relay.cut():
            raise


async def _streamed_back(
    request: Request, response: UpstreamResponse
) -> tuple[list[Field], AsyncIterator[bytes]]:
    """Return the fields and the pieces of an app's answer as they go on."""
    fields = passing_fields(request.method, response.status, response.fields, streams=True)
    pieces = response.pieces()
    if bodiless(request.method, response.status):
        await nothing_follows(pieces)
    if request.seal is not None:
        fields = response_for_travel(fields)
        size = content_length(fields)
        if size is not None:
            # An app that breaks off meanwhile can be told of: nothing of its answer has gone.
            pieces = Prepended(await beginning(pieces, size), pieces)
    return fields, pieces


async def _proven(pieces: AsyncIterator[bytes], digest: BodyDigest) -> AsyncIterator[bytes]:
    """Yield a body that streams; raises ``Refusal`` at its end unless it has its digest.

    The last piece waits for that: an app that was told the length would take it for the end.
    """
    held = b""
    async for piece in pieces:
        digest.update(piece)
        if held:
            yield held
        held = piece
    digest.refuse_mismatch()
    yield held
