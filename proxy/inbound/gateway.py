"""The gateway: opens an envelope, has the request in it answered as any other, seals the response.

The request inside goes through the same checks as a signed one, and reaches nothing else. From the
first chunk that opened, whatever is said to the sender is sealed: who watches can't tell a refusal
from an app's response.
Source: docs/protocol.md, section 5; RFC 9458; RFC 9540.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

from proxy.core.binary_http.message import Malformed, RequestHead
from proxy.core.binary_http.reader import RequestReader
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.headers import Field, Indexed, values_of
from proxy.core.http.problem import refusal_response
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.envelope import is_sealed_request
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestOpener
from proxy.inbound.sealed_response import SealedResponse
from proxy.portal import Portal
from proxy.transfer.body import BODY_WAIT, limit_body
from proxy.transfer.catch_all import InternalErrors
from proxy.transfer.client import Client
from proxy.transfer.disk_thread import DiskThread
from proxy.transfer.opened_message import OpenedMessage
from proxy.transfer.response import send_response

ENVELOPE_FACTOR, ENVELOPE_MORE = 32, 2 * 1024 * 1024
"""How large an envelope may be: so many times a body, and so many bytes for its head.

A chunk costs up to 19 bytes more than it holds, and a sender may seal single bytes. Without a limit
there would be padding, or empty chunks, without an end.
"""

_LOOK_WAIT = 1.0
"""Seconds that an envelope waits for a look at the sealing keys."""


class Gateway:
    """Where envelopes are opened; ``serve`` answers the requests in them."""

    def __init__(self, portal: Portal, serve: Callable[[Request, Client], Awaitable[None]]) -> None:
        self._portal = portal
        self._serve = serve
        self._disk = DiskThread("sealing keys of others")
        self._looking: asyncio.Task[None] | None = None

    async def open(self, request: Request, client: Client) -> None:
        """Open the envelope that ``request`` brings, and answer what is in it.

        Raises ``Refusal`` for what can't be opened at all.
        """
        if not is_sealed_request(request.fields):
            raise Refusal(Code.NOT_AN_ENVELOPE, "no message/ohttp-chunked-req")
        if "sealed" not in self._portal.modes:
            raise Refusal(Code.MODE_NOT_ACCEPTED, "sealed")
        opener = RequestOpener(self._portal.sealing.find)
        reader = RequestReader()
        most = ENVELOPE_FACTOR * self._portal.config.limits.body + ENVELOPE_MORE
        pieces = _KeySeen(limit_body(client.pieces, client.framing, most), self._look_for)
        message = OpenedMessage(pieces, MessageOpener(opener, reader), _broken)
        try:
            head = await message.begin(RequestHead)
        except (CannotOpen, Malformed) as error:
            if not opener.has_opened:
                raise Refusal(Code.SEALING_KEY_UNKNOWN, str(error)) from None
            is_large = isinstance(error, Malformed) and error.status == Code.HEAD_TOO_LARGE.status
            code = Code.HEAD_TOO_LARGE if is_large else Code.ENVELOPE_BROKEN
            refusal = Refusal(code, str(error))
            client.line.refuse(refusal)
            method = reader.method or b"POST"  # to HEAD a response without content is due
            sealed = self._response(opener, client, method)
            await send_response(sealed, refusal_response(refusal), method)
            return
        fields = Indexed(((b"host", head.authority), *head.fields))
        inner = Request(head.method, head.target, fields, opener.enc)
        line = client.line
        line.method, line.host, line.target = head.method, head.authority, head.target
        framing = await _framing(head, message)

        sealed = self._response(opener, client, head.method)
        # A mistake of our own is told inside the envelope too, in the form that it has everywhere.
        async with InternalErrors(line, head.method, sealed) as send:
            await self._serve(
                inner, Client(framing, message, send, client.chain, line, state=client.state)
            )

    async def _look_for(self, key_id: int) -> None:
        """Look once more where nobody here knows the key: another process may have just made it.

        One look at a time, however many bring such envelopes, and none that takes for ever.
        """
        if self._portal.sealing.find(key_id) is not None:
            return
        if self._looking is None or self._looking.done():
            look = self._disk.run(self._portal.sealing.look_again)
            self._looking = asyncio.create_task(look)
        await asyncio.wait((self._looking,), timeout=_LOOK_WAIT)

    @staticmethod
    def _response(opener: RequestOpener, client: Client, method: bytes) -> SealedResponse:
        nonce = secrets.token_bytes(opener.response_nonce_length)
        return SealedResponse(client.send, opener.response_sealer(nonce), method)


class _KeySeen:
    """The pieces of an envelope; ``seen`` is told the key's ID, its first byte, before any."""

    def __init__(
        self, pieces: AsyncIterator[bytes], seen: Callable[[int], Awaitable[None]]
    ) -> None:
        self._pieces = pieces
        self._seen: Callable[[int], Awaitable[None]] | None = seen

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        if piece and self._seen is not None:
            seen, self._seen = self._seen, None
            await seen(piece[0])
        return piece


async def _framing(head: RequestHead, message: OpenedMessage) -> Field | None:
    """Return how the app is to get the body; None where there is none."""
    if lengths := values_of(head.fields, b"content-length"):
        return b"content-length", lengths[0]
    if message.is_known:
        return IN_CHUNKS if await message.has_more() else None
    try:
        async with asyncio.timeout(BODY_WAIT):
            has_body = await message.has_more()
    except (TimeoutError, Refusal):
        has_body = True  # not there yet, or broken: whoever reads on hears of it
    return IN_CHUNKS if has_body else None


def _broken(detail: str) -> Refusal:
    return Refusal(Code.ENVELOPE_BROKEN, detail)
