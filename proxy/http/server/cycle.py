"""One request and its response as ASGI (the specification's HTTP part, version 2.3).

What the app sends has to keep to its framing: a body longer or shorter than its ``Content-Length``
breaks the connection, since the client would take what is missing from the next response. The
fields of the connection itself are written here; an app's own are dropped, but for its ``close``.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any, Protocol

from proxy.core.http.headers import Field, Indexed, values_of
from proxy.core.http1.framing import IN_CHUNKS, Persistence, bodiless, persistence, request_framing
from proxy.core.http1.grammar import RequestHead
from proxy.core.http1.reader import SWITCHING_PROTOCOLS
from proxy.core.http1.writer import CONTINUE, LAST_CHUNK, chunk, response_head
from proxy.core.websocket.handshake import asks_for_websocket
from proxy.http.scope import INTERIM, RAW, STOP, UPGRADE

Message = MutableMapping[str, Any]
_OF_THE_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})


class ResponseWriter(Protocol):
    """The connection, as a cycle or a stream uses it."""

    @property
    def is_stopping(self) -> bool:
        """Whether no request may follow this one."""

    def write(self, data: bytes) -> None:
        """Send ``data``; follow it with ``drained``."""

    def write_end(self) -> None:
        """Send our end behind what was written; the client's may still be to come."""

    async def drained(self) -> None:
        """Wait until the client takes more."""

    async def handed_over(self) -> bool:
        """Wait until the client's side of the socket has all of it; tell whether it has."""

    @property
    def unread_limit(self) -> int:
        """How many bytes of a body are read past when its request has its response."""

    def resume_reading(self) -> None:
        """Let the client send more, once the app has taken enough."""

    def switch_protocols(self) -> None:
        """Leave HTTP: what comes from now on, and what has come already, is the stream's."""


class BrokenResponse(Exception):
    """The app's response isn't the one that its head announced."""


class Cycle:
    """The state of one request; the app calls its ``receive`` and ``send``."""

    def __init__(self, writer: ResponseWriter, head: RequestHead, persistence: Persistence) -> None:
        self._writer = writer
        self._head = head
        self._pieces: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._unsent_head: bytes | None = None
        self._composed_of: tuple[int, list[Field]] = 0, []
        self._taken = 0
        self._options: list[bytes] = []
        self._left: int | None = None
        self._is_chunked = False
        self._is_bodiless = False
        self._is_handed_over = False
        self.expects_continue = head.minor == 1 and any(
            value.lower() == b"100-continue" for value in values_of(head.fields, b"expect")
        )
        # What follows a handshake is its WebSocket's or nobody's, never another request.
        upgrades = b"upgrade" in persistence.options and asks_for_websocket(head.minor, head.fields)
        self.keeps = persistence.keeps and not upgrades
        self.stream: Stream | None = None
        """What the connection carries since the app answered 101."""
        self.buffered = 0
        self.is_received = False
        self.is_gone = False
        self.has_started = False
        self.is_complete = False

    # What the connection tells.

    def take(self, piece: bytes) -> None:
        """Take in a piece of the request's body, or of the stream that took its place."""
        if self.stream is not None:
            self.stream.take(piece)
            return
        self._pieces.append(piece)
        self.buffered += len(piece)
        self._taken += len(piece)
        self.expects_continue = False  # it didn't wait, so it sends the rest too
        self._wake()

    def end(self) -> None:
        """Take note that the request is whole."""
        self.is_received = True
        self.expects_continue = False
        self._wake()

    def leave(self) -> None:
        """Take note that the client is gone, or its body broken."""
        self.is_gone = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # What the app calls.

    async def receive(self) -> Message:
        """Return the next piece of the request's body, or that the client left."""
        if self.stream is not None:
            return await self.stream.receive()
        if self.expects_continue and not self.has_started and not self.is_gone:
            self._writer.write(CONTINUE)
        self.expects_continue = False
        while not (self._pieces or self.is_received or self.is_gone) or self._is_answered():
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if self._pieces:
            piece = self._pieces.popleft()
            self.buffered -= len(piece)
            self._writer.resume_reading()
            more = bool(self._pieces) or not self.is_received
            self._is_handed_over = not more
            return {"type": "http.request", "body": piece, "more_body": more}
        if self.is_received and not self._is_handed_over:
            self._is_handed_over = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def has_begun(self) -> None:
        """Return once the client doesn't wait for 100 any more: its body comes, or it is gone.

        Not while ``receive`` runs; that asks the client for its body.
        """
        while not (self._pieces or self.is_received or self.is_gone):
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival

    def _is_answered(self) -> bool:
        """Whether the app has the whole body, and only waits to hear that the client left."""
        return self._is_handed_over and not self.is_gone and not self.is_complete

    async def send(self, message: Message) -> None:
        """Send what the app says, and wait while the client takes nothing.

        A response is over when all of it was handed to the client's side of the socket: whose
        connection ends before has left. While it still sends, and perhaps doesn't read before it
        has sent all, nobody waits for that.
        """
        if self.is_gone:
            await asyncio.sleep(0)  # an app that never waits would never hear that it is cancelled
            return
        if self.stream is not None:
            await self.stream.send(message)
            self.is_complete = self.stream.is_complete
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.has_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.has_started and not self.is_complete:
            self._body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == INTERIM and not self.has_started:
            self._interim(message["status"], message["headers"])
        elif kind == UPGRADE and not self.has_started:
            self._upgrade(message["headers"])
        else:
            raise RuntimeError(f"{kind} isn't expected here")
        del message  # what can't be sent yet is kept by the transport
        if not (self.is_complete and self.is_received):
            await self._writer.drained()
        elif not await self._writer.handed_over():
            raise asyncio.CancelledError

    def _interim(self, status: int, fields: list[Field]) -> None:
        """Pass on an interim response; HTTP/1.0 has none (RFC 9110, section 15.2)."""
        if self._head.minor == 1:
            self._writer.write(response_head(status, fields))

    def _upgrade(self, fields: list[Field]) -> None:
        if self._head.minor == 0 or not self.is_received:
            raise RuntimeError("only a whole request of HTTP/1.1 can be upgraded")
        self._writer.write(response_head(SWITCHING_PROTOCOLS, fields))
        self.has_started = True
        self.stream = Stream(self._writer)
        self._writer.switch_protocols()

    def _start(self, status: int, given: Iterable[Field]) -> None:
        self._is_bodiless = bodiless(self._head.method, status)
        given = Indexed(given)
        fields = [pair for pair in given if pair[0] not in _OF_THE_CONNECTION]
        lengths = values_of(given, b"content-length")
        if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
            raise BrokenResponse("the app's Content-Length isn't one number")
        if self._is_bodiless:
            self._left = 0
        elif lengths:
            self._left = int(lengths[0])
        elif self._head.minor == 1:
            self._is_chunked = True
            fields.append(IN_CHUNKS)
        else:
            self.keeps = False
        self.keeps = self.keeps and persistence(given, 1).keeps and self._may_keep()
        self._options = [b"upgrade"] if values_of(given, b"upgrade") else []
        self._unsent_head = self._composed(status, fields)
        self._composed_of = status, fields
        self.has_started = True
        # It goes out with its body's first piece where that follows at once, else on its own.
        asyncio.get_running_loop().call_soon(self.flush)

    def _may_keep(self) -> bool:
        """Tell whether the connection can be kept after this response.

        A client that waits for 100 Continue may send its body or not: nobody can tell what its
        next bytes would be.
        """
        return not self._writer.is_stopping and not self.expects_continue

    def _leaves_much(self) -> bool:
        """Tell whether a client that is answered now would send on for longer than we read past.

        Of chunks nobody knows how many are to come.
        """
        if self.is_received:
            return False
        length = request_framing(self._head)
        if not isinstance(length, int):
            return True
        return length - self._taken + self.buffered > self._writer.unread_limit

    def _take_head(self, *, is_whole: bool) -> bytes:
        """Return the head, if it hasn't gone out; ``is_whole`` is a response with its end.

        Who gets all of it without having sent all of its body learns there that the connection
        ends, if it does: nothing may stand behind that body, for it wouldn't be carried out.
        """
        head, self._unsent_head = self._unsent_head or b"", None
        if head and is_whole and self.keeps and self._leaves_much():
            self.keeps = False
            head = self._composed(*self._composed_of)
        return head

    def _composed(self, status: int, fields: list[Field]) -> bytes:
        options = self._options
        if not self.keeps:
            options = [*options, b"close"]
        elif self._head.minor == 0:
            options = [*options, b"keep-alive"]
        if options:
            fields = [*fields, (b"connection", b", ".join(options))]
        return response_head(status, fields)

    def flush(self) -> None:
        """Write the head, unless it went out with the body's first piece."""
        if self._unsent_head is not None and not self.is_gone:
            self._writer.write(self._take_head(is_whole=False))

    def _body(self, content: bytes, *, more: bool) -> None:
        if self._is_bodiless:
            content = b""
        out = self._take_head(is_whole=not more)
        if self._left is not None:
            if len(content) > self._left:
                raise BrokenResponse("the app's body is longer than it said")
            self._left -= len(content)
            out = out + content if out else content
        elif self._is_chunked:
            out += (chunk(content) if content else b"") + (b"" if more else LAST_CHUNK)
        else:
            out += content
        if out:
            self._writer.write(out)
        if not more:
            if self._left:
                raise BrokenResponse(f"the app's body is {self._left} bytes short")
            self.is_complete = True
            self._wake()


class Stream:
    """A connection behind its 101 as ASGI messages: bytes both ways, each way with its own end."""

    def __init__(self, writer: ResponseWriter) -> None:
        self._writer = writer
        self._pieces: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_stopping = False
        self.buffered = 0
        self.has_client_ended = False
        self.is_complete = False
        """Whether our end was sent."""

    # What the connection tells.

    def take(self, piece: bytes) -> None:
        """Take in what came."""
        self._pieces.append(piece)
        self.buffered += len(piece)
        self._wake()

    def end(self) -> None:
        """Take note that the client sends nothing more."""
        self.has_client_ended = True
        self._wake()

    def stop(self) -> None:
        """Tell the app that the server is about to end."""
        self._is_stopping = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # What the app calls.

    async def receive(self) -> Message:
        """Return what comes next; the end, once it came, again and again."""
        while not (self._pieces or self.has_client_ended or self._is_stopping):
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if self._is_stopping:
            self._is_stopping = False
            return {"type": STOP}
        if not self._pieces:
            return {"type": RAW, "data": b"", "more": False}
        piece = self._pieces.popleft()
        self.buffered -= len(piece)
        self._writer.resume_reading()
        return {"type": RAW, "data": piece, "more": True}

    async def send(self, message: Message) -> None:
        """Send what the app says, and wait while the client takes nothing."""
        if message["type"] != RAW or self.is_complete:
            raise RuntimeError(f"{message['type']} isn't expected here")
        if message["data"]:
            self._writer.write(message["data"])
        if message["more"]:
            await self._writer.drained()
        else:
            self.is_complete = True
            self._writer.write_end()
