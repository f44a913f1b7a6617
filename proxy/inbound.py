"""The public listener: strangers and peers on their way to this Portal's apps.

Nothing is decided here: ``proxy.core.gate`` decides. This room reads the request, asks the gate,
carries the request to the app and the answer back. A peer's request and the answer to it are held
whole, since neither may be believed in part; a stranger's stream through.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from starlette.types import Receive, Scope, Send

from proxy import own_paths
from proxy.body import ClientLeft, HeldBody, request_pieces
from proxy.core.answers import Answer, refusal_answer, wants_page
from proxy.core.errors import Code, Refusal
from proxy.core.fields import fields_from_us
from proxy.core.gate import Admission, RefusedPeer, Request, admit
from proxy.core.headers import Field, answer_for_travel, values_of
from proxy.core.http1.framing import bodiless
from proxy.core.signature.base import NotSignable
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.hop.scope import INTERIM, target_of
from proxy.outcomes import app_failed
from proxy.portal import Portal
from proxy.replay import ReplayStore
from proxy.reply import (
    nothing_follows,
    passing_fields,
    send_answer,
    send_held,
    send_interim,
    send_stream,
)
from proxy.request_log import LEFT, line
from proxy.upstream import (
    Destination,
    Upstream,
    UpstreamFailed,
    UpstreamRequest,
)

log = logging.getLogger("proxy.inbound")

_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})


class Inbound:
    """The ASGI app behind the public listener."""

    def __init__(self, portal: Portal, upstream: Upstream, replays: ReplayStore) -> None:
        self._portal = portal
        self._upstream = upstream
        self._replays = replays

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now = self._portal.clock()
        request = Request(scope["method"].encode("ascii"), target_of(scope), scope["headers"])
        question = None
        try:
            admission = admit(
                request, self._portal.site, now, partial(self._replays.claim, now=now)
            )
            question = admission.question
            if question is not None:
                status = await self._serve_peer(request, admission, question, receive, send)
            else:
                status = await self._serve_stranger(request, admission, scope, receive, send)
        except Refusal as refusal:
            if isinstance(refusal, RefusedPeer):
                question = refusal.question
            log.warning("%s refused: %s", line(request), refusal)
            await self._refuse(refusal, request, question, send)
        except ClientLeft:
            log.info(LEFT, line(request))
        except asyncio.CancelledError:
            log.info(LEFT, line(request))
            raise
        else:
            log.info("%s from %s: %d", line(request), admission.caller, status)

    async def _serve_stranger(
        self,
        request: Request,
        admission: Admission,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> int:
        """Stream an anonymous request to its app, and the answer back."""
        if admission.app is None:
            answer = own_paths.answer(self._portal, request.method, admission.target)
            await send_answer(send, answer, request.method)
            return answer.status
        framing = _received_framing(request)
        pieces = request_pieces(receive) if framing is not None else None
        started = False
        try:
            asked = self._to_app(request, admission, framing, pieces)
            if framing is not None and values_of(request.fields, b"expect"):
                # The client's body is asked for when the app asks for it, or a second later.
                asked = replace(asked, fields=(*asked.fields, (b"expect", b"100-continue")))
            if INTERIM in scope.get("extensions", ()):
                asked = replace(asked, on_interim=partial(send_interim, send))
            async with self._upstream.send(asked) as response:
                status = response.status
                fields = passing_fields(request.method, status, response.fields, streams=True)
                pieces_back = response.pieces()
                if bodiless(request.method, status):
                    await nothing_follows(pieces_back)
                started = True
                await send_stream(send, status, fields, pieces_back)
        except UpstreamFailed as failure:
            if started:
                raise  # the status is out: only a broken connection tells the client now
            raise app_failed(failure) from None
        return status

    async def _serve_peer(
        self,
        request: Request,
        admission: Admission,
        question: Question,
        receive: Receive,
        send: Send,
    ) -> int:
        """Hold a peer's request until its digest is proven, then its answer until it is signed."""
        digest = BodyDigest(admission.digests)
        with HeldBody() as body, HeldBody() as held:
            await body.fill(request_pieces(receive), limit=Code.TOO_LARGE, digest=digest)
            digest.refuse_mismatch()
            if admission.app is None:
                answer = own_paths.answer(self._portal, request.method, admission.target)
                await self._send_signed(answer, request, question, send)
                return answer.status
            framing, pieces = None, None
            if _received_framing(request) is not None:
                framing = (b"content-length", str(body.size).encode("ascii"))
                pieces = body.pieces()
            try:
                asked = self._to_app(request, admission, framing, pieces)
                async with self._upstream.send(asked) as response:
                    await held.fill(response.pieces(), limit=Code.ANSWER_TOO_LARGE)
            except UpstreamFailed as failure:
                raise app_failed(failure) from None
            passing = passing_fields(request.method, response.status, response.fields)
            answer = Answer(response.status, tuple(answer_for_travel(passing)), b"")
            fields = self._portal.sign_answer(answer, held.sha256, question)
            await send_held(send, answer.status, fields, held, request.method)
            return answer.status

    def _to_app(
        self,
        request: Request,
        admission: Admission,
        framing: Field | None,
        pieces: AsyncIterator[bytes] | None,
    ) -> UpstreamRequest:
        """Return the request as the app gets it, with our word on who is calling."""
        app, rule = admission.app, admission.rule
        if app is None or rule is None:
            raise TypeError("only a request for an app can be sent to one")
        if admission.question is None:
            host = values_of(request.fields, b"host")[0]
        else:
            host = admission.question.message.authority.encode("ascii")
        variables = self._portal.variables(admission.caller)
        fields = (
            (b"host", host),
            *admission.fields,
            *fields_from_us(rule, admission.caller, variables),
            *((framing,) if framing is not None else ()),
        )
        served = self._portal.apps.get(app)
        if served is None:
            raise Refusal(Code.NO_SUCH_APP, f"{app} was removed meanwhile")
        destination = Destination(served.upstream)
        return UpstreamRequest(destination, request.method, admission.target.raw, fields, pieces)

    async def _refuse(
        self, refusal: Refusal, request: Request, question: Question | None, send: Send
    ) -> None:
        if question is None:
            page = wants_page(request.method, request.fields)
            await send_answer(send, refusal_answer(refusal, page=page), request.method)
        else:
            await self._send_signed(refusal_answer(refusal), request, question, send)

    async def _send_signed(
        self, answer: Answer, request: Request, question: Question, send: Send
    ) -> None:
        """Send an answer of our own, signed.

        A proof that the answer has of its own, as the identity document does, makes way for the
        one that answers this question. A question that no honest sender asks (it covers what
        isn't there) can't be signed for, and gets the answer as it is.
        """
        bare = replace(answer, fields=tuple(f for f in answer.fields if f[0] not in _PROOF))
        body = b"" if request.method == b"HEAD" else answer.body
        try:
            fields = self._portal.sign_answer(bare, hashlib.sha256(body).digest(), question)
        except NotSignable:
            fields = answer.fields
        await send_answer(send, Answer(answer.status, fields, answer.body), request.method)


def _received_framing(request: Request) -> Field | None:
    """Return the framing of the request's body as received; None where it has no body."""
    if lengths := values_of(request.fields, b"content-length"):
        return b"content-length", lengths[0]
    if values_of(request.fields, b"transfer-encoding"):
        return b"transfer-encoding", b"chunked"
    return None
