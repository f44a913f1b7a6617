"""One request and its response over one connection, both ways at once.

The response may begin, and end, before the request's body does: then the rest of the body stays
unsent and the connection is given up. A body that isn't what its framing says is never passed on.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from proxy.core.http.headers import content_length, values_of
from proxy.core.http1.framing import Persistence, persistence
from proxy.core.http1.grammar import ResponseHead
from proxy.core.http1.reader import SWITCHING_PROTOCOLS, Interim
from proxy.core.http1.smuggled_request import SmuggledRequest
from proxy.core.http1.writer import LAST_CHUNK, chunk, request_head
from proxy.http.client.connection import Connection
from proxy.http.upstream import ANYBODY, NOBODY, BytesBody, Ending, UpstreamFailed, UpstreamRequest

_CONTINUE = 100
_AT_ONCE = 32 * 1024
_WITH_BODY = frozenset(
    {
        b"POST", b"PUT", b"PATCH", b"QUERY", b"PROPFIND", b"PROPPATCH", b"REPORT", b"SEARCH",
        b"LOCK", b"MKCOL", b"MKCALENDAR", b"ACL",
    }
)  # fmt: skip
"""Methods whose body has a meaning. Behind any other, many servers leave it unread, and take it for
the next request."""
INVITATION = 1.0
"""Seconds that a body waits for the 100 that was asked for; some servers never send one."""


def _at_once(request: UpstreamRequest) -> bytes | None:
    """Return a small body in its framing, as it goes out behind the head; None for any other.

    It needs neither a task of its own nor a second write.
    """
    if not isinstance(request.body, BytesBody) or len(request.body.data) > _AT_ONCE:
        return None
    data = request.body.data
    length = content_length(request.fields)
    if length is None:
        return (chunk(data) if data else b"") + LAST_CHUNK
    return data if length == len(data) else None


class Exchange(Ending):
    """The life of one request on ``connection``; ``start`` it, iterate over it, then ``finish``.

    Iterating yields the response's body. After ``finish`` the connection may be another's: nothing
    is read from it or written to it through here any more.
    """

    def __init__(
        self, connection: Connection, request: UpstreamRequest, *, waits: bool = True
    ) -> None:
        """Let a body that asks for an invitation wait for one if it ``waits``."""
        self.connection = connection
        self._request = request
        self._pump: asyncio.Task[None] | None = None
        self._persistence = Persistence(keeps=False, options=frozenset())
        self._is_sent = request.body is None
        self._invited: asyncio.Event | None = None
        """What the body waits for, where a 100 was asked for; None where it waits for nothing."""
        if waits and not self._is_sent and values_of(request.fields, b"expect"):
            self._invited = asyncio.Event()
        is_judged = request.body is not None and request.caller not in (ANYBODY, NOBODY)
        self._smuggled = SmuggledRequest() if is_judged else None
        self.is_uninvited = False
        """Whether the body waited in vain for its invitation."""
        self._is_whole = False
        self._is_raw = False
        self._is_finished = False
        self._patience = request.timeouts.read

    async def start(self) -> ResponseHead:
        """Send the request and return the head of its final response; raises ``UpstreamFailed``."""
        request, connection = self._request, self.connection
        head = request_head(request.method, request.target, request.fields)
        connection.begin(request.method, upgrade=bool(values_of(request.fields, b"upgrade")))
        at_once = None
        if not self._is_sent and self._invited is None:
            at_once = _at_once(request)
        if request.body is not None:
            connection.carries_body = True
        connection.write(head if at_once is None else head + at_once)
        if at_once is not None:
            self._is_sent = connection.is_body_sent = True
            if self._smuggled is not None and isinstance(request.body, BytesBody):
                self._smuggled.feed(request.body.data)
        elif request.body is not None:
            self._pump = asyncio.create_task(self._send_body(request.body))
        while True:
            event = await connection.next_event(self._patience)
            if isinstance(event, ResponseHead):
                self._persistence = persistence(event.fields, event.minor)
                self._is_raw = event.status == SWITCHING_PROTOCOLS
                if self._is_raw:
                    self._begin_raw()
                return event
            if isinstance(event, Interim):
                await self._pass_on(event)

    def _begin_raw(self) -> None:
        if not self._is_sent:
            raise UpstreamFailed("an upgrade in the middle of the request's body")
        self._patience = math.inf
        self.connection.disable_timeouts()

    async def _pass_on(self, interim: Interim) -> None:
        if interim.head.status == _CONTINUE:
            if self._invited is not None:
                self._invited.set()
        elif self._request.on_interim is not None:
            await self._request.on_interim(interim.head.status, list(interim.head.fields))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_whole:
            raise StopAsyncIteration
        if self._is_finished:
            raise UpstreamFailed("the exchange is over")
        event = await self.connection.next_event(self._patience)
        if isinstance(event, bytes):
            return event
        self._is_whole = True
        raise StopAsyncIteration

    def is_over(self) -> bool:
        """Tell whether the response's end is there."""
        if not self._is_whole and not self._is_finished:
            self._is_whole = self.connection.take_end()
        return self._is_whole

    async def finish(self) -> bool:
        """Stop whatever still runs; tell whether the connection may carry another request."""
        is_whole = self.is_over()
        self._is_finished = True
        is_free = is_whole and self._is_sent and not self._is_raw
        if is_free and self.connection.is_reusable(self._persistence):
            if self._request.body is None or self._is_kept_behind_body():
                return True
            if not self.connection.has_ended_early:
                self.connection.watch()
                return False
        self.connection.fail(UpstreamFailed("the exchange was given up"))
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            await asyncio.wait((self._pump,))
        return False

    def _is_kept_behind_body(self) -> bool:
        """Tell whether the connection may be used again though it carried a body, and by whom.

        A server that answers without having read the body takes it for the next request. Whoever
        sent it may mean that: nobody else may come behind it; nor may the sender, who would get
        the response to what no rule has judged, where the body could be a request.
        """
        caller, connection = self._request.caller, self.connection
        if caller == NOBODY or connection.has_ended_early:
            return False
        if self._request.method not in _WITH_BODY:
            return False
        if self._smuggled is not None:
            if self._smuggled.is_likely:
                return False
            connection.kept_for = caller
        return True

    async def write(self, data: bytes) -> None:
        """Send bytes on the raw stream that a 101 has made of the connection."""
        self._refuse_not_raw()
        self.connection.write(data)
        await self.connection.drained(self._request.timeouts.write)

    def write_end(self) -> None:
        """Send our end on that stream."""
        self._refuse_not_raw()
        self.connection.write_end()

    def _refuse_not_raw(self) -> None:
        if self._is_finished or not self._is_raw:
            raise UpstreamFailed("no raw stream")

    async def _send_body(self, pieces: AsyncIterator[bytes]) -> None:
        """Send the request's body as it comes, in the framing that its head announced.

        Whatever goes wrong ends the exchange; of the response, what came before can still be read.
        """
        try:
            if self._invited is not None:
                await self._await_invitation(self._invited)
            await self._send_pieces(pieces)
            self._is_sent = self.connection.is_body_sent = True
        except asyncio.CancelledError:
            self.connection.fail(UpstreamFailed("the request's body was given up"))
            raise
        except Exception as error:  # noqa: BLE001 - raised again where the response is awaited
            self.connection.fail(error)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _await_invitation(self, invited: asyncio.Event) -> None:
        """Wait until the body is asked for, or comes unasked, or has waited long enough."""
        waits = [asyncio.ensure_future(_waited(invited.wait))]
        if self._request.has_begun is not None:
            waits.append(asyncio.ensure_future(_waited(self._request.has_begun)))
        try:
            done, _ = await asyncio.wait(
                waits, timeout=INVITATION, return_when=asyncio.FIRST_COMPLETED
            )
            self.is_uninvited = not done
        finally:
            for wait in waits:
                wait.cancel()

    async def _send_pieces(self, pieces: AsyncIterator[bytes]) -> None:
        connection, patience = self.connection, self._request.timeouts.write
        left = content_length(self._request.fields)
        async for piece in pieces:
            if not piece:
                continue
            if self._smuggled is not None:
                self._smuggled.feed(piece)
            if left is None:
                connection.write(chunk(piece))
            elif len(piece) > left:
                raise UpstreamFailed("the request's body is longer than it said")
            else:
                left -= len(piece)
                connection.write(piece)
            del piece  # what can't be sent yet is kept by the transport
            await connection.drained(patience)
        if left is None:
            connection.write(LAST_CHUNK)
        elif left:
            raise UpstreamFailed(f"the request's body is {left} bytes short")


async def _waited(for_it: Callable[[], Awaitable[object]]) -> None:
    await for_it()
