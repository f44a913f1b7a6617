"""Admitted requests on their way to this Portal's apps, and the responses on their way back.

What comes sealed, or from a stranger, streams both ways. A signed request and its response are
buffered whole, since neither may be believed in part.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache, partial
from types import TracebackType
from typing import Self

from proxy import portal_paths
from proxy.config.apps import App
from proxy.core.access.policy import Caller
from proxy.core.app_fields import fields_for_app, fields_from_us, identity_fields
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.forwarded import fields_of_forwarded_chain
from proxy.core.http.headers import Field, content_length, response_for_travel, values_of
from proxy.core.http.problem import Response
from proxy.core.http1.framing import IN_CHUNKS, bodiless
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.signature.base import NotSignable
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.core.websocket.frames import Close
from proxy.core.websocket.handshake import Handshake, read_handshake
from proxy.core.websocket.handshake import fields_for_app as handshake_for_app
from proxy.http.upstream import (
    AppUpstream,
    OnInterim,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeouts,
)
from proxy.inbound.app_response import AppResponses
from proxy.inbound.dropped_names import DroppedNamesLog
from proxy.portal import Portal
from proxy.transfer.access_log import named
from proxy.transfer.active_requests import ActiveRequest
from proxy.transfer.body import BufferedBody, Prepended, beginning, limit_body, refuse_large
from proxy.transfer.client import Client
from proxy.transfer.failures import app_failed
from proxy.transfer.places import Place
from proxy.transfer.response import (
    nothing_follows,
    send_buffered,
    send_interim,
    send_response,
    send_stream,
)
from proxy.transfer.spool import Spool
from proxy.transfer.websocket import RelayLimits, WebSocketRelay

_EMPTY: Field = (b"content-length", b"0")
_LOOP = b"cdn-loop"
"""RFC 8586: through whom a request came that may not come again."""
_DROPPED = "a field %s isn't handed on to this app (its name could change what is asked for)"
_EVICTED = Refusal(Code.APP_BUSY, "places are short, and it was quiet for longest")
_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})


class Forwarder:
    """The way to the apps."""

    def __init__(self, portal: Portal, upstream: AppUpstream) -> None:
        self._portal = portal
        self._upstream = upstream
        self._limits = portal.config.limits
        self._dropped_names = DroppedNamesLog()
        self._responses = AppResponses(portal, self._dropped_names)
        self._spool = Spool(self._limits.spooled_body)
        self._loop_marks: dict[str, tuple[bytes, Callable[[bytes], object]]] = {}
        self._relay_limits = RelayLimits(message=self._limits.websocket_message)

    async def stream(
        self,
        request: Request,
        admission: Admission,
        app: App | None,
        client: Client,
        active: ActiveRequest,
        place: Place,
    ) -> None:
        """Stream the request to its app, and what comes back to the client.

        ``app`` is as it was when the request was admitted, None for the Portal itself.
        Raises ``Refusal`` while another response can be given, ``UpstreamFailed`` afterwards: then
        only a broken connection tells the client.
        """
        refuse_large(client.framing, self._limits.body)
        if app is None:
            response = portal_paths.response_for(self._portal, request.method, admission.target)
            client.line.status = response.status
            await send_response(client.send, response, request.method)
            return
        if admission.digests and client.framing is None:
            # Without a body there is nothing to wait for: its digest is that of no bytes.
            BodyDigest(admission.digests).refuse_mismatch()
        handshake = read_handshake(request.method, request.fields) if client.raw else None
        own = self._responses.own_hosts(request, app.name, client)
        with _Failures() as failures:
            outgoing = await self._streamed(request, admission, app, client, own)
            sending = None
            if client.framing == IN_CHUNKS and await self._is_of_http_1_0(app, outgoing):
                sending = self._send_held(outgoing)
            async with sending or self._upstream.send(outgoing) as from_app:
                if handshake is not None and from_app.status == SWITCHING_PROTOCOLS:
                    self._responses.tell_of_cookies(admission, from_app.fields, own)
                    relay = self._relay(request, handshake, from_app, client, own)
                    failures.has_begun = True
                    client.line.status = from_app.status
                    await _run(relay, active, place)
                else:
                    passing = self._responses.passing(request, admission, from_app, own)
                    fields, pieces = await _streaming(request, from_app, passing)
                    failures.has_begun = True
                    client.line.status = from_app.status
                    await send_stream(client.send, from_app.status, fields, pieces)

    async def _is_of_http_1_0(self, app: App, outgoing: UpstreamRequest) -> bool:
        """Tell whether the app has to be told the length of a body: it can't read chunks."""
        minor = app.minor
        if minor is None:
            minor = await self._upstream.minor_version(outgoing)
        return minor == 0

    @asynccontextmanager
    async def _send_held(self, outgoing: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send a request once all of its body is here, with its length."""
        async with self._spool.hold(outgoing) as held, self._upstream.send(held) as from_app:
            yield from_app

    async def buffer(
        self,
        request: Request,
        admission: Admission,
        app: App | None,
        question: Question,
        client: Client,
    ) -> None:
        """Buffer a signed request until its digest is proven, its response until it is signed.

        ``app`` and what is raised are as in ``stream``.
        """
        digest = BodyDigest(admission.digests)
        most = self._limits.held_body
        refuse_large(client.framing, min(most, self._limits.body))
        with BufferedBody(min(most, self._limits.body)) as body, BufferedBody(most) as their_body:
            await body.fill(client.pieces, limit=Code.TOO_LARGE, digest=digest)
            # Before the app is asked: nothing of a body that somebody changed may reach it.
            digest.refuse_mismatch()
            if app is None:
                response = portal_paths.response_for(self._portal, request.method, admission.target)
                client.line.status = response.status
                await self.send_signed(response, request, question, client)
                return
            framing, pieces = None, None
            if client.framing is not None:
                framing = (b"content-length", str(body.size).encode("ascii"))
                pieces = body.pieces()
            try:
                outgoing = self._to_app(request, admission, app, client, framing, pieces)
                async with self._upstream.send(outgoing) as from_app:
                    # An app that has answered was asked: not STORAGE_FULL, as if it hadn't been.
                    await their_body.fill(
                        from_app.pieces(), limit=Code.ANSWER_TOO_LARGE, full=Code.APP_FAILED
                    )
            except UpstreamFailed as failure:
                raise app_failed(failure) from None
            own = self._responses.own_hosts(request, app.name, client)
            to_sign = self._responses.to_sign(request, admission, from_app, own)
            response = Response(from_app.status, to_sign, b"")
            fields = self._portal.sign_response(response, their_body.sha256, question)
            client.line.status = response.status
            await send_buffered(client.send, response.status, fields, their_body, request.method)

    async def send_signed(
        self, response: Response, request: Request, question: Question, client: Client
    ) -> None:
        """Send a response of our own, signed.

        A proof that it has of its own, as the identity document does, makes way for the one that
        answers this question. A question that no honest sender asks (it covers what isn't there)
        can't be signed for, and gets the response as it is.
        """
        bare_fields = response_for_travel([f for f in response.fields if f[0] not in _PROOF])
        bare = replace(response, fields=tuple(bare_fields))
        body = b"" if request.method == b"HEAD" else response.body
        try:
            fields = self._portal.sign_response(bare, hashlib.sha256(body).digest(), question)
        except NotSignable:
            fields = response.fields
        await send_response(client.send, replace(response, fields=fields), request.method)

    async def _streamed(
        self,
        request: Request,
        admission: Admission,
        app: App,
        client: Client,
        own: Collection[bytes],
    ) -> UpstreamRequest:
        """Return the request as the app gets it, with a body that is still coming."""
        if client.raw is not None:
            outgoing = self._to_app(request, admission, app, client, None, None)
            return replace(outgoing, fields=handshake_for_app(outgoing.fields))
        on_interim = partial(send_interim, client.send, own) if client.takes_interim else None
        pieces = None
        if client.framing is not None:
            pieces = limit_body(client.pieces, client.framing, self._limits.body)
        if pieces is not None and admission.digests:
            pieces = _proven(pieces, BodyDigest(admission.digests))
        outgoing = self._to_app(request, admission, app, client, client.framing, pieces, on_interim)
        if pieces is not None and request.seal is None and values_of(request.fields, b"expect"):
            # The client's body is asked for when the app asks for it, or a second later; where it
            # comes unasked, it is sent along.
            fields = (*outgoing.fields, (b"expect", b"100-continue"))
            outgoing = replace(outgoing, fields=fields, has_begun=client.has_begun)
        if pieces is not None and client.framing == _EMPTY:
            # With the head the app has all of it: first comes the end, and the proof.
            await nothing_follows(pieces)
            outgoing = replace(outgoing, body=None)
        return outgoing

    def _relay(
        self,
        request: Request,
        handshake: Handshake,
        from_app: UpstreamResponse,
        client: Client,
        own: Collection[bytes],
    ) -> WebSocketRelay:
        """Return what carries a WebSocket; raises ``UpstreamFailed`` for a false 101."""
        if client.raw is None:
            raise TypeError("only a client that can be upgraded brings a handshake")
        return WebSocketRelay(
            handshake, from_app, client.raw, client.send, named(request), self._relay_limits, own
        )

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
        peer's request is for the authority that it signed. What the owner set as the app's Host
        takes the place of either in the request, and of neither in what is told.
        """
        rule = admission.rule
        if rule is None:
            raise TypeError("only a request for an app can be sent to one")
        mark, names_it = self._loop_mark(app)
        if any(map(names_it, values_of(request.fields, _LOOP))):
            raise Refusal(Code.LOOP_DETECTED, f"the upstream of {app.name} leads back to it")
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
        theirs, dropped = fields_for_app(admission.fields, app.fields)
        for name in dropped:
            self._dropped_names.tell(app.name, caller.type, _DROPPED, name)
        times = self._portal.config.timeouts
        silence = times.app_answer if app.answer_timeout is None else app.answer_timeout
        return UpstreamRequest(
            app.upstream,
            request.method,
            admission.target.raw,
            ((b"host", app.host or host), *theirs, *ours, (_LOOP, mark)),
            pieces,
            _timeouts(times.app_connect, silence),
            on_interim,
            _named(caller),
        )

    def _loop_mark(self, app: App) -> tuple[bytes, Callable[[bytes], object]]:
        """Return what a request to ``app`` carries, and what finds it in a field: the app's name.

        A name and no secret: who sends it with a request has that one request refused.
        """
        mark = self._loop_marks.get(app.name)
        if mark is None:
            name = self._portal.hosts.origin.of_app(app.name).host.encode("ascii")
            member = rb"(?:\A|,)[ \t]*" + re.escape(name) + rb"[ \t]*(?:[;,]|\Z)"
            mark = self._loop_marks[app.name] = name, re.compile(member, re.IGNORECASE).search
        return mark


def _named(caller: Caller) -> str:
    """Return who alone may use a connection again that carried a body of ``caller``'s.

    All strangers are one, and so are the owner's devices.
    """
    return caller.id if caller.type == "peer" else caller.type


@lru_cache
def _timeouts(connect: float, silence: float) -> UpstreamTimeouts:
    return UpstreamTimeouts(connect, silence, silence)


class _Failures:
    """What a failure of the app, or of the request's body, means to the client.

    A refusal, until a response begins. After that a refusal would be taken for a part of the
    response; so all that remains is to break the connection off, which ``UpstreamFailed`` does.
    """

    __slots__ = ("has_begun",)

    def __init__(self) -> None:
        self.has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(error, UpstreamFailed) and not self.has_begun:
            raise app_failed(error) from None
        if isinstance(error, Refusal) and self.has_begun:
            raise UpstreamFailed(f"the request broke off: {error}") from None


async def _run(relay: WebSocketRelay, active: ActiveRequest, place: Place) -> None:
    """Run a WebSocket to its end; if it is revoked, both sides that can be told hear so."""
    place.hold_socket(relay, partial(active.revoke, _EVICTED))
    try:
        await relay.run()
    except asyncio.CancelledError:
        # Told in WebSocket's own words, the end is a proper one, and nothing need be broken off.
        # Who cancels for any other reason (the client left, the server ends) wants it over.
        code = Close.TRY_AGAIN_LATER if active.revoked_for is Code.APP_BUSY else Close.NOT_ALLOWED
        if active.revoked_for is None or not await relay.revoke(code):
            raise


async def _streaming(
    request: Request, from_app: UpstreamResponse, fields: list[Field]
) -> tuple[list[Field], AsyncIterator[bytes]]:
    """Return the fields and the pieces of an app's response as they go on."""
    pieces = from_app.pieces()
    if bodiless(request.method, from_app.status):
        # All of it is there with the head, unless the app breaks off: that can still be told.
        await nothing_follows(pieces)
    if request.seal is not None:
        size = content_length(fields)
        if size is not None:
            # An app that breaks off meanwhile can be told of: nothing of its response has gone.
            pieces = Prepended(await beginning(pieces, size), pieces)
    return fields, pieces


async def _proven(pieces: AsyncIterator[bytes], digest: BodyDigest) -> AsyncIterator[bytes]:
    """Yield a body that streams; raises ``Refusal`` at its end unless it has its digest.

    The last piece waits for that: an app that was told the length would take it for the end.
    """
    last = b""
    async for piece in pieces:
        digest.update(piece)
        if last:
            yield last
        last = piece
    digest.refuse_mismatch()
    yield last
