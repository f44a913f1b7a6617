"""Admitted requests on their way to this Portal's apps, and the responses on their way back.

What comes sealed, or from a stranger, streams both ways. A signed request and its response are
buffered whole, since neither may be believed in part.
"""

import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from proxy import portal_paths
from proxy.config.apps import App
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.headers import content_length, response_for_travel
from proxy.core.http.problem import Response
from proxy.core.http1.framing import IN_CHUNKS, bodiless
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.signature.base import NotSignable
from proxy.core.signature.digest import BodyDigest
from proxy.core.signature.response import Question
from proxy.core.websocket.handshake import Handshake, read_handshake
from proxy.http.upstream import AppUpstream, UpstreamFailed, UpstreamRequest, UpstreamResponse
from proxy.inbound.app_request import AppRequests
from proxy.inbound.app_response import AppResponses
from proxy.inbound.dropped_names import DroppedNamesLog
from proxy.portal import Portal
from proxy.transfer.access_log import named
from proxy.transfer.active_requests import ActiveRequest
from proxy.transfer.body import Prepended, beginning, refuse_large
from proxy.transfer.buffered_body import BufferedBody
from proxy.transfer.client import Client
from proxy.transfer.failures import app_failed
from proxy.transfer.places import Place
from proxy.transfer.response import nothing_follows, send_buffered, send_response, send_stream
from proxy.transfer.spool import Spool
from proxy.transfer.websocket import RelayLimits, WebSocketRelay, run_until_revoked

_PROOF = frozenset({b"signature", b"signature-input", b"portal-key", b"content-digest"})


class Forwarder:
    """The way to the apps."""

    def __init__(self, portal: Portal, upstream: AppUpstream) -> None:
        self._portal = portal
        self._upstream = upstream
        self._limits = portal.config.limits
        dropped_names = DroppedNamesLog()
        self._requests = AppRequests(portal, dropped_names)
        self._responses = AppResponses(portal, dropped_names)
        self._spool = Spool(self._limits.spooled_body)
        self._relay_limits = RelayLimits(message=self._limits.websocket_message)

    async def answer_own(
        self, request: Request, admission: Admission, question: Question | None, client: Client
    ) -> None:
        """Answer a request for the Portal itself, which no app gets; raises ``Refusal``.

        ``question`` is what a signed request is to have proven; None for any other request.
        """
        refuse_large(client.framing, self._limits.body)
        if question is not None:
            with self._buffer_for(client) as body:
                await _receive(body, admission, client)
        response = portal_paths.response_for(self._portal, request.method, admission.target)
        client.line.status = response.status
        if question is None:
            await send_response(client.send, response, request.method)
        else:
            await self.send_signed(response, request, question, client)

    async def stream(
        self,
        request: Request,
        admission: Admission,
        app: App,
        client: Client,
        active: ActiveRequest,
        place: Place,
    ) -> None:
        """Stream the request to its app, and what comes back to the client.

        ``app`` is as it was when the request was admitted. Raises ``Refusal`` while another
        response can be given, ``UpstreamFailed`` afterwards: then only a broken connection tells
        the client.
        """
        refuse_large(client.framing, self._limits.body)
        if admission.digests and client.framing is None:
            # Without a body there is nothing to wait for: its digest is that of no bytes.
            BodyDigest(admission.digests).refuse_mismatch()
        # Only a connection of HTTP/1.1 can be upgraded; elsewhere the fields mean nothing.
        handshake = read_handshake(request.method, request.fields) if client.raw else None
        own = self._responses.own_hosts(request, app.name, client)
        with _Failures() as failures:
            outgoing = await self._requests.streamed(request, admission, app, client, own)
            sending: AbstractAsyncContextManager[UpstreamResponse]
            if client.framing == IN_CHUNKS and await self._is_of_http_1_0(app, outgoing):
                sending = self._send_spooled(outgoing)
            else:
                sending = self._upstream.send(outgoing)
            async with sending as from_app:
                if handshake is not None and from_app.status == SWITCHING_PROTOCOLS:
                    self._responses.tell_of_cookies(admission, from_app.fields, own)
                    # A false 101 fails here, while the client can still be told.
                    relay = self._relay(request, handshake, from_app, client, own)
                    failures.has_begun = True
                    client.line.status = from_app.status
                    await run_until_revoked(relay, active, place)
                else:
                    await self._stream_response(request, admission, from_app, client, own, failures)

    async def _stream_response(
        self,
        request: Request,
        admission: Admission,
        from_app: UpstreamResponse,
        client: Client,
        own: Collection[bytes],
        failures: "_Failures",
    ) -> None:
        """Send the app's response to the client as it comes."""
        fields = self._responses.passing(request, admission, from_app, own)
        pieces = from_app.pieces()
        if bodiless(request.method, from_app.status):
            # All of it is there with the head, unless the app breaks off: that can still be told.
            await nothing_follows(pieces)
        if request.seal is not None:
            size = content_length(fields)
            if size is not None:
                # An app that breaks off meanwhile can be told of: nothing of its response has gone.
                first = await beginning(pieces, size, to_end=True)
                if len(first) > size:
                    raise UpstreamFailed("the response is longer than it said")
                pieces = Prepended(first, pieces)
        failures.has_begun = True
        client.line.status = from_app.status
        await send_stream(client.send, from_app.status, fields, pieces)

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

    async def _is_of_http_1_0(self, app: App, outgoing: UpstreamRequest) -> bool:
        """Tell whether the app has to be told the length of a body: it can't read chunks."""
        minor = app.minor
        if minor is None:
            minor = await self._upstream.minor_version(outgoing)
        return minor == 0

    @asynccontextmanager
    async def _send_spooled(self, outgoing: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """Send a request once all of its body is here, with its length."""
        async with (
            self._spool.whole(outgoing) as with_length,
            self._upstream.send(with_length) as from_app,
        ):
            yield from_app

    async def buffer(
        self, request: Request, admission: Admission, app: App, question: Question, client: Client
    ) -> None:
        """Buffer a signed request until its digest is proven, its response until it is signed.

        ``app`` and what is raised are as in ``stream``.
        """
        with (
            self._buffer_for(client) as body,
            BufferedBody(self._limits.held_body) as their_body,
        ):
            # Before the app is asked: nothing of a body that somebody changed may reach it.
            await _receive(body, admission, client)
            try:
                outgoing = self._requests.buffered(request, admission, app, client, body)
                async with self._upstream.send(outgoing) as from_app:
                    # An app that has answered was asked: not STORAGE_FULL, as if it hadn't been.
                    await their_body.fill(
                        from_app.pieces(), limit=Code.ANSWER_TOO_LARGE, full=Code.APP_FAILED
                    )
            except UpstreamFailed as failure:
                # Nothing has gone to the peer yet: whatever failed, it can be told, and signed.
                raise app_failed(failure) from None
            own = self._responses.own_hosts(request, app.name, client)
            to_sign = self._responses.to_sign(request, admission, from_app, own)
            response = Response(from_app.status, to_sign, b"")
            fields = self._portal.sign_response(response, their_body.sha256, question)
            client.line.status = response.status
            await send_buffered(client.send, response.status, fields, their_body, request.method)

    def _buffer_for(self, client: Client) -> BufferedBody:
        """Return what a signed request's body goes to; raises ``Refusal`` where it can't."""
        limit = min(self._limits.held_body, self._limits.body)
        refuse_large(client.framing, limit)
        return BufferedBody(limit)

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


async def _receive(body: BufferedBody, admission: Admission, client: Client) -> None:
    """Fill ``body`` with what the client sends; raises ``Refusal`` unless it has its digest."""
    digest = BodyDigest(admission.digests)
    await body.fill(client.pieces, limit=Code.TOO_LARGE, digest=digest)
    digest.refuse_mismatch()
