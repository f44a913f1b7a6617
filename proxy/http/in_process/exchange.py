"""One request and its response, between the proxy and an app in this process.

An exchange that is given up is told to the app, which ends by itself: as under any server, what it
does behind its response, or for a client that left, isn't cut off.
Source: the ASGI specification, its HTTP part, version 2.3.
"""

from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message

from proxy.core.http.headers import Field
from proxy.http.in_process.request_body import RequestBody
from proxy.http.in_process.response_stream import Body, ResponseStream, read_head
from proxy.http.in_process.scope import http_scope
from proxy.http.upstream import UpstreamFailed, UpstreamRequest


class Exchange:
    """The life of one request; ``run`` the app, ``begin``, read the ``pieces``, ``finish``."""

    def __init__(self, request: UpstreamRequest) -> None:
        self.status = 0
        self.fields: tuple[Field, ...] = ()
        self._request = request
        self._response = ResponseStream(request.timeouts.read, lambda: self._request_body.moved_at)
        self._request_body = RequestBody(request, self._response.break_off)
        self._body: Body | None = None
        self._is_answered = False

    # Our side.

    async def begin(self) -> None:
        """Wait for the head of the response; raises ``UpstreamFailed``."""
        head = await self._response.head()
        self.status, self.fields = head.status, head.fields

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, which is read once."""
        return self._response

    async def write(self, data: bytes) -> None:
        """Nothing is upgraded here."""
        del data
        raise UpstreamFailed("no raw stream")

    def write_end(self) -> None:
        """Nothing is upgraded here."""
        raise UpstreamFailed("no raw stream")

    async def finish(self) -> None:
        """Tell the app that nobody listens any more."""
        self._response.leave()
        await self._request_body.leave()

    # The app's side.

    async def run(self, app: ASGIApp) -> None:
        """Call the app; whoever waits for the response hears that it failed, or said too little."""
        ending = UpstreamFailed("the app was cut off")
        try:
            await app(http_scope(self._request), self._request_body.receive, self._send)
            ending = UpstreamFailed("the app returned without a whole response")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the app's
            ending = self._response.failure(error)
        finally:
            if not self._is_answered:
                self._response.break_off(ending)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._body is None:
            head = read_head(message)
            self._body = Body(self._request.method, head)
            await self._response.say(head)
        elif kind == "http.response.body" and self._body is not None and not self._is_answered:
            piece = self._body.take(message)
            if piece:
                await self._response.say(piece)
            if not message.get("more_body", False):
                await self._response.say(None)
                self._is_answered = True
        else:
            raise RuntimeError(f"{kind} isn't expected here")
