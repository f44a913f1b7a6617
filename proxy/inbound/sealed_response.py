"""The response to a request from an envelope, sealed as it is sent."""

from collections.abc import Awaitable

from starlette.types import Message, Send

from proxy.core.binary_http.message import ResponseHead
from proxy.core.binary_http.writer import response_head
from proxy.core.http.headers import content_length
from proxy.core.http1.framing import bodiless
from proxy.core.sealing.envelope import CHUNKED_RESPONSE, INCREMENTAL
from proxy.core.sealing.message import MessageSealer, Sealer
from proxy.http.scope import INTERIM
from proxy.http.upstream import UpstreamFailed

_FIELDS = [CHUNKED_RESPONSE, INCREMENTAL, (b"cache-control", b"no-store")]


class SealedResponse:
    """An ASGI ``send`` that puts the response to a request with ``method`` into the envelope's."""

    def __init__(self, send: Send, sealer: Sealer, method: bytes) -> None:
        self._send = send
        self._sealer = sealer
        self._method = method
        self._message: MessageSealer | None = None
        self._size: int | None = None
        self._is_bodiless = False
        self._sent = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        """Seal and send what ``message`` says; interim responses stay here."""
        if message["type"] == INTERIM:
            return _nothing()
        if message["type"] == "http.response.start":
            return self._start(message)
        if message.get("more_body", False):
            return self._add(message["body"])
        return self._end(message.get("body", b""))

    async def _start(self, message: Message) -> None:
        """Begin the response; its head waits for the body where one is announced."""
        status, fields = message["status"], tuple(message["headers"])
        self._message = MessageSealer(self._sealer, response_head(ResponseHead(status, fields)))
        self._is_bodiless = bodiless(self._method, status)
        self._size = 0 if self._is_bodiless else content_length(fields)
        await self._send({"type": "http.response.start", "status": 200, "headers": _FIELDS})
        if self._size is None:
            await self._flush(self._message)

    async def _add(self, piece: bytes) -> None:
        sealing = self._begun()
        self._count(piece)
        sealing.add(piece)
        del piece  # while it is sent, it is kept sealed: once is enough
        if self._sent != self._size:
            await self._flush(sealing)

    async def _end(self, piece: bytes) -> None:
        sealing = self._begun()
        if not self._is_bodiless:
            self._count(piece)
            sealing.add(piece)
        if self._size is not None and self._sent != self._size:
            raise UpstreamFailed(f"the response is {self._size - self._sent} bytes short")
        sealed = b""
        for next_part in sealing.ending():
            if sealed:
                await self._send({"type": "http.response.body", "body": sealed, "more_body": True})
            sealed = next_part
        await self._send({"type": "http.response.body", "body": sealed})

    def _count(self, piece: bytes) -> None:
        self._sent += len(piece)
        if self._size is not None and self._sent > self._size:
            raise UpstreamFailed("the response is longer than it said")

    def _begun(self) -> MessageSealer:
        if self._message is None:
            raise RuntimeError("a response's body before its head")
        return self._message

    async def _flush(self, sealing: MessageSealer) -> None:
        if sealed := sealing.flush():
            part = self._send({"type": "http.response.body", "body": sealed, "more_body": True})
            del sealed
            await part


async def _nothing() -> None:
    """Send nothing."""
