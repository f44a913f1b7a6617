"""What ``ping --thorough`` adds: what a web server before a Portal mostly stops.

A large body, a WebSocket, and a response that lets itself be waited for. The first and the last
are calls to the Portal itself, proven like any other; nothing is carried out. Calls between Portals
have no WebSockets yet, so that one is asked for in plain, of an older version than there is now: a
Portal's refusal of it tells that the handshake got there. Nobody proves that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.cli.call_transport import engine
from proxy.cli.output import milliseconds
from proxy.cli.ping_address import Step, problem, well
from proxy.cli.ping_call import NoResponse, PingCall, Response
from proxy.cli.progress import Transfer, waiting
from proxy.core.access.policy import Contact
from proxy.core.errors import Code
from proxy.core.http.problem import refusal_mark
from proxy.core.http.web_server import explain_dropped_upgrade, explain_unproven
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import Document
from proxy.http.upstream import Upstream, UpstreamFailed, UpstreamRequest, UpstreamTimeouts
from proxy.outbound.destinations import destination_of
from proxy.portal_paths import WHOAREYOU

NAMES = ("body", "websocket", "silence")
SIZE = 8 << 20
"""Bytes of the large body. Web servers stop 1 MiB or 2, some 10 MB of an upload by a form."""
SILENCE = 65
"""Seconds of it. Most web servers that give up do so after 60."""
_PIECE = 65_536
_BODY_TAKES = 180.0
"""Seconds for all of the body, at most."""
_OLD_VERSION = b"8"
"""Of the WebSocket's handshake: a draft that was in use in 2011, and that no Portal speaks."""
_ANY_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="

Ask = Callable[[PingCall], Awaitable[Response]]


class _Zeros:
    """A body of nothing but zeros; ``sent`` counts what was taken of it."""

    def __init__(self, size: int, shown: Transfer) -> None:
        self.sent = 0
        self._size = size
        self._shown = shown

    def __aiter__(self) -> "_Zeros":
        return self

    async def __anext__(self) -> bytes:
        count = min(_PIECE, self._size - self.sent)
        if not count:
            raise StopAsyncIteration
        self.sent += count
        self._shown.sent(count)
        await asyncio.sleep(0)
        return bytes(count)


class ThoroughSteps:
    """The steps for one contact, which was called already; ``patience`` is seconds for each."""

    def __init__(
        self,
        contact: Contact,
        key: PrivateKey,
        patience: float,
        authorities: str,
        *,
        shows: bool,
    ) -> None:
        self._contact = contact
        self._key = key
        self._patience = patience
        self._authorities = authorities
        self._shows = shows

    async def steps(
        self, document: Document | None, clock: Callable[[], float]
    ) -> AsyncIterator[Step]:
        """Yield what each found; a sealed call needs the ``document``."""
        async with engine(SILENCE + self._patience, self._authorities) as upstream:
            yield await self._body(upstream, document, clock)
            yield await self._websocket(upstream)
            yield await self._silence(upstream, document, clock)

    async def _body(
        self, upstream: Upstream, document: Document | None, clock: Callable[[], float]
    ) -> Step:
        ping = PingCall(self._contact, self._key, upstream, _BODY_TAKES)
        mib = f"{SIZE >> 20} MiB"
        with Transfer(SIZE, shown=None if self._shows else False) as shown:
            body = _Zeros(SIZE, shown)
            try:
                response = await ping.ask(document, clock, None, body=body, size=SIZE)
            except NoResponse as reason:
                then = (
                    "A web server before it that says so must take bodies of any size, and pass "
                    "them on as they come."
                )
                what = f"A call with a body of {mib} doesn't get through: {reason}"
                return problem("body", what, then)
        if response.code:
            return _refused("body", response)
        if body.sent < SIZE:
            what = f"It answered before a body of {mib} had come: its proxy may be an older one."
            return Step("body", ok=None, what=what)
        within = milliseconds(response.seconds)
        return well("body", f"A call with a body of {mib} got through, within {within}.")

    async def _websocket(self, upstream: Upstream) -> Step:
        contact = self._contact
        to = destination_of(contact)
        host = contact.origin.authority.encode("ascii")
        handshake = (
            (b"host", host), (b"connection", b"upgrade"), (b"upgrade", b"websocket"),
            (b"sec-websocket-version", _OLD_VERSION), (b"sec-websocket-key", _ANY_KEY),
        )  # fmt: skip
        timeouts = UpstreamTimeouts(self._patience, self._patience, self._patience)
        request = UpstreamRequest(to, b"GET", WHOAREYOU, handshake, None, timeouts)
        try:
            async with asyncio.timeout(self._patience), upstream.send(request) as response:
                status, fields = response.status, response.fields
        except (UpstreamFailed, TimeoutError) as failure:
            why = failure.detail if isinstance(failure, UpstreamFailed) else "no response in time"
            then = "A web server before it must pass upgrades on."
            what = f"A WebSocket's handshake doesn't get through: {why}."
            return problem("websocket", what, then)
        if refusal_mark(fields).code == Code.WEBSOCKET_VERSION.public:
            what = "WebSockets' handshakes get through to its proxy, as far as that can be told."
            return well("websocket", what)
        if status == 200:  # noqa: PLR2004 - HTTP's OK
            what = "Something on the way drops what asks for a WebSocket."
            return problem("websocket", what, explain_dropped_upgrade(fields))
        what = f"A WebSocket's handshake doesn't get through ({status})."
        return problem("websocket", what, explain_unproven(status, fields, contact.origin.host))

    async def _silence(
        self, upstream: Upstream, document: Document | None, clock: Callable[[], float]
    ) -> Step:
        ping = PingCall(self._contact, self._key, upstream, SILENCE + self._patience)
        began = time.monotonic()
        with waiting(f"silent for {SILENCE} s") if self._shows else waiting(""):
            try:
                response = await ping.ask(document, clock, None, wait=SILENCE)
            except NoResponse as reason:
                seconds = time.monotonic() - began
                then = (
                    "A web server before it must be patient with responses for longer than 90 s: "
                    "in nginx proxy_read_timeout 2m."
                )
                what = f"A response that is {SILENCE} s late doesn't get through"
                return problem("silence", f"{what}: after {seconds:.0f} s, {reason}", then)
        if response.code:
            return _refused("silence", response)
        if response.seconds < SILENCE:
            return Step("silence", ok=None, what="It isn't silent: its proxy may be an older one.")
        return well("silence", f"A response that was {SILENCE} s late got through.")


def _refused(name: str, response: Response) -> Step:
    what = f"It can't be told: its Portal refuses ({response.code[:40]})."
    return Step(name, ok=None, what=what)
