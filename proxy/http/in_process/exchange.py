"""One request and its answer, between the proxy and an app in this process.

An exchange that is given up is told to the app, which ends by itself: as under any server, what it
does behind its answer, or for a client that left, isn't cut off.
Source: the ASGI specification, its HTTP part, version 2.3.
"""

from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message

from proxy.core.http.headers import Field
from proxy.http.in_process.request_body import RequestBody
from proxy.http.in_process.response import Body, read_head
from proxy.http.in_process.response_stream import ResponseStream
from proxy.http.in_process.scope import http_scope
from proxy.http.upstream import UpstreamFailed, UpstreamRequest


class Exchange:
    """The life of one request; ``run`` the app, ``begin``, read the ``pieces``, ``finish``."""

    def __init__(self, request: UpstreamRequest) -> None:
        self.status = 0
        self.fields: tuple[Field, ...] = ()
        self._request = request
        self._said = ResponseStream(request.timeouts.read, lambda: self._intake.moved_at)
        self._intake = RequestBody(request, self._said.break_off)
        self._body: Body | None = None
        self._is_answered = False

    # Our side.

    async def begin(self) -> None:
        """Wait for the head of the answer; raises ``UpstreamFailed``."""
        head = await self._said.head()
        self.status, self.fields = head.status, head.fields

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body, which is read once."""
        return self._said

    async def write(self, data: bytes) -> None:
        """Nothing is upgraded here."""
        del data
        raise UpstreamFailed("no raw stream")

    def write_end(self) -> None:
        """Nothing is upgraded here."""
        raise UpstreamFailed("no raw stream")

    async def finish(self) -> None:
        """Tell the app that nobody listens any more."""
        self._said.leave()
        await self._intake.leave()

    # The app's side.

    async def run(self, app: ASGIApp) -> None:
        """Call the app; that it failed, or said too little, is told to who waits for the answer."""
        ending = UpstreamFailed("the app was cut off")
        try:
            await app(http_scope(self._request), self._intake.receive, self._send)
            ending = UpstreamFailed("the app returned without a whole answer")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the app's
            ending = self._said.failure(error)
        finally:
            if not self._is_answered:
                self._said.break_off(ending)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._body is None:
            head = read_head(message)
            self._body = Body(self._request.method, head)
            await self._said.say(head)
        elif kind == "http.response.body" and self._body is not None and not self._is_answered:
            piece = self._body.take(message)
            if piece:
                await self._said.say(piece)
            if not message.get("more_body", False):
                await self._said.say(None)
                self._is_answered = True
        else:
            raise RuntimeError(f"{kind} isn't expected here")
