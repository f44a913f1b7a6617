"""An app's response on its way back to who asked at the public listener.

It streams, unless the request was signed: then it is held whole, and signed when it is all there.
"""

from functools import partial

from proxy.core.gate import Admission
from proxy.core.http.caching import stored_nowhere
from proxy.core.http.headers import Fields, content_length
from proxy.core.http.problem import Response
from proxy.core.http1.framing import bodiless
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.websocket.handshake import Handshake
from proxy.http.upstream import UpstreamFailed
from proxy.inbound.request_forward import RequestForward
from proxy.transfer.coalescing import Coalescing
from proxy.transfer.held_body import HeldSender
from proxy.transfer.relay import At


class ResponseForward(RequestForward):
    """The response's half of an ``InboundRelay``."""

    __slots__ = ()

    def interim_received(self, status: int, fields: Fields) -> None:
        """Pass on an interim response, to who can get one."""
        if self._signed is None and self._client.takes_interim and self._handshake is None:
            self._guarded(partial(self._pass_interim_on, status, fields))

    def _pass_interim_on(self, status: int, fields: Fields) -> None:
        passing = self._context.responses.interim(status, fields, self._own)
        self._client.send_interim(status, passing)

    def _head(self, status: int, fields: Fields) -> None:
        """Take the head of the app's response."""
        context, request, admission = self._context, self._request, self._admission
        if admission is None:
            return
        if self._app is not None:
            context.responses.refuse_redirect_to_itself(
                request, admission, self._app, status, fields
            )
        if self._signed is not None and self._exchange is not None:
            self._down = self._signed.response(
                status, fields, self._exchange, partial(self._guarded, self._sign)
            )
            return
        if status == SWITCHING_PROTOCOLS and self._handshake is not None:
            self._switch(admission, fields, self._handshake)
            return
        passing = context.responses.passing(request, admission, status, fields, self._own)
        if bodiless(request.method, status):
            # All of it is there with the head, unless the app breaks off: that can still be told.
            self._pending_head = status, passing
            self._down = self._await_end
            return
        if request.seal is not None:
            size = content_length(passing)
            if size is not None:
                # An app that breaks off meanwhile can be told of: nothing of its response has gone.
                self._pending_head = status, passing
                collecting = Coalescing(size, partial(self._collected, size), to_end=True)
                self._hold(collecting)
                self._down = collecting.add
                return
        self._send_head(status, passing)

    def _await_end(self, piece: bytes, *, ends: bool) -> None:
        del piece
        if ends and self._pending_head is not None:
            self._send_head(*self._pending_head)
            self._send(b"", ends=True)

    def _collected(self, size: int, first: bytes, ends: bool) -> None:  # noqa: FBT001 - OnReleased
        if len(first) > size:
            self.fail(UpstreamFailed("the response is longer than it said"))
        elif self._pending_head is not None:
            self._down = None
            self._guarded(partial(self._send_collected, *self._pending_head, first, ends=ends))

    def _send_collected(self, status: int, fields: Fields, first: bytes, *, ends: bool) -> None:
        self._send_head(status, fields)
        self._send(first, ends=ends)  # b"" too: what is sealed of the head goes then

    def _sign(self) -> None:
        """Send the app's response, which is all there, signed."""
        signed, admission, question = self._signed, self._admission, self._question
        if signed is None or admission is None or question is None or signed.status is None:
            return
        context = self._context
        own = context.responses.own_hosts(self._request, admission.app or "", self._chain)
        to_sign = context.responses.to_sign(
            self._request, admission, signed.status, signed.fields, own
        )
        response = Response(signed.status, to_sign, b"")
        body = signed.their_body
        fields: Fields = context.portal.sign_response(response, body.sha256, question)
        self._finish_exchange()
        if bodiless(self._request.method, signed.status):
            self._send_head(signed.status, fields)
            self._send(b"", ends=True)
            return
        self._send_head(signed.status, (*fields, (b"content-length", b"%d" % body.size)))
        client = self._client
        self._sender = HeldSender(body, self._send_held, lambda: client.is_blocked, self.fail)
        self._hold(self._sender)
        self._sender.go_on()

    def _send_held(self, piece: bytes, *, ends: bool) -> None:
        self._guarded(partial(self._send, piece, ends=ends))

    def resume_response(self) -> None:
        """Go on with the response, or end it once it is delivered."""
        if self._socket is not None:
            self._socket.resume_to_client()
        elif self._at is At.DELIVERING:
            super().resume_response()
        elif self._pages is not None:
            self._pages.resume_response()
        elif self._signed is None:
            super().resume_response()
        elif self._sender is not None and self._at is At.ANSWERING:
            self._sender.go_on()

    def pause_response(self) -> None:
        """Take no more of the response for now."""
        if self._socket is not None:
            self._socket.pause_to_client()
        elif self._signed is None:  # else it is held, and who sends it looks by itself
            super().pause_response()

    def _pause_if_blocked(self) -> None:
        if self._signed is None:
            super()._pause_if_blocked()

    def _send_head(self, status: int, fields: Fields) -> None:
        super()._send_head(status, self._with_cookie(fields))
        self._forget_request()

    def _with_cookie(self, fields: Fields) -> Fields:
        """Add the terminal's cookie, where it is due."""
        return fields if self._cookie is None else [*stored_nowhere(fields), self._cookie]

    def _switch(self, admission: Admission, fields: Fields, handshake: Handshake) -> None:
        """Go on as a WebSocket: the app has agreed to it."""
        raise NotImplementedError
