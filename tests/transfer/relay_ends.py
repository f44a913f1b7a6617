"""Both ends of a relay: they note what is called, and what is called behind an end is a failure.

A test can have any one of these calls go wrong, by its place among all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.core.errors import Refusal
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import Fields
from proxy.core.http.problem import refusal_response
from proxy.core.http1.grammar import RequestHead
from proxy.core.revocation import Subject
from proxy.transfer.active_requests import ActiveRequests
from proxy.transfer.failures import app_failed
from proxy.transfer.relay import At, Relay

if TYPE_CHECKING:
    from proxy.http.downstream import RequestHandler
    from proxy.http.upstream import UpstreamFailed

HEAD = RequestHead(b"POST", b"/x", 1, ((b"host", b"a.example"),))
REMOTE = RemotePeer("192.0.2.1", is_unix=False, is_tls=False)
SUBJECT = Subject("in", "app", "anonymous")


class Calls:
    """Every call that a relay made of its ends, in its order."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.wrong: Callable[[str], None] | None = None
        """Is called in place of the call at ``wrong_at``."""
        self.wrong_at = -1
        self.stray: list[str] = []
        """Those that came too late, or twice."""

    def note(self, name: str) -> None:
        """Note a call, and have it go wrong if it is the one."""
        at = len(self.made)
        self.made.append(name)
        if at == self.wrong_at and self.wrong is not None:
            self.wrong(name)


class End:
    """One end."""

    def __init__(self, name: str, calls: Calls) -> None:
        self._name = name
        self._calls = calls
        self.finishes = 0

    def _call(self, name: str) -> None:
        if self.finishes:
            self._calls.stray.append(f"{self._name}.{name}")
        self._calls.note(f"{self._name}.{name}")

    def finish(self) -> None:
        self.finishes += 1
        self._calls.note(f"{self._name}.finish")

    def pause(self) -> None:
        self._call("pause")

    def resume(self) -> None:
        self._call("resume")


class Client(End):
    """The client's end."""

    takes_interim = takes_upgrade = True
    bytes_in, bytes_out = 3, 4

    def __init__(self, calls: Calls) -> None:
        super().__init__("client", calls)
        self.is_blocked = False
        self.blocks_at_end = False
        self.is_broken = False
        self.heads: list[int] = []
        self.body = b""
        self.has_end = False

    def send_interim(self, status: int, fields: Fields) -> None:
        del status, fields
        self._call("send_interim")

    def send_head(self, status: int, fields: Fields) -> None:
        del fields
        self._call("send_head")
        self.heads.append(status)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        if self.has_end or not self.heads:
            self._calls.stray.append("client.send without a head, or behind the end")
        self._call("send")
        self.body += piece
        self.has_end = ends
        self.is_blocked = self.is_blocked or (ends and self.blocks_at_end)

    def switch_protocols(self, fields: Fields) -> None:
        raise AssertionError(fields)

    def invite(self) -> None:
        self._call("invite")

    def hand_over(self, handler: RequestHandler) -> None:
        raise AssertionError(handler)

    def break_off(self) -> None:
        self._call("break_off")
        self.is_broken = True


class App(End):
    """The app's end."""

    def __init__(self, calls: Calls) -> None:
        super().__init__("app", calls)
        self.is_blocked = False
        self.is_over = False
        """Whether nothing more may be told."""

    @property
    def may_tell(self) -> bool:
        return not (self.is_over or self.finishes)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        del piece, ends
        self._call("send")


class Held:
    """What a relay holds to its end."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.closes = 0

    def close(self) -> None:
        self.closes += 1
        self._calls.note("held.close")


class PlainRelay(Relay):
    """The least that a relay is: it may wait first, then asks the app."""

    __slots__ = ("__weakref__", "_first", "_sides")

    def __init__(self, sides: Sides, first: asyncio.Future[None] | None) -> None:
        super().__init__("public", HEAD, REMOTE, sides.client)
        self._sides = sides
        self._first = first

    def _decide(self) -> None:
        self._run(self._sides.active, SUBJECT)
        for held in self._sides.held:
            self._hold(held)
        if self._first is None:
            self._ask(None)
        else:
            self._wait(_until(self._first), self._ask)

    def _ask(self, _: None) -> None:
        self._sides.calls.note("upstream.begin")
        self._at = At.ASKING
        self._exchange = self._sides.app
        self._sides.has_begun = True
        self._up = self._sides.app.send
        self._client.resume()

    def _head(self, status: int, fields: Fields) -> None:
        self._send_head(status, fields)

    def interim_received(self, status: int, fields: Fields) -> None:
        self._client.send_interim(status, fields)

    def _refuse(self, refusal: Refusal) -> None:
        self.line.refuse(refusal)
        self._respond(refusal_response(refusal), b"POST")

    def _refusal_of(self, failure: UpstreamFailed) -> Refusal:
        return app_failed(failure)

    @property
    def waiting(self) -> asyncio.Task[None] | None:
        return self._waiting

    @property
    def at(self) -> At:
        return self._at


async def _until(future: asyncio.Future[None]) -> None:
    await future


class Sides:
    """A relay between its two ends."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.client, self.app = Client(self.calls), App(self.calls)
        self.held = [Held(self.calls), Held(self.calls)]
        self.active = ActiveRequests()
        self.has_begun = False
        """Whether the app was asked."""
        self.first: asyncio.Future[None] | None = None

        self._relay: PlainRelay | None = None

    def begin(self, *, waits: bool = False) -> PlainRelay:
        """Begin a relay; ``waits`` for something before it asks the app."""
        self.first = asyncio.get_running_loop().create_future() if waits else None
        self._relay = relay = PlainRelay(self, self.first)
        relay.begin()
        return relay

    @property
    def relay(self) -> PlainRelay:
        """The relay that was begun."""
        assert self._relay is not None
        return self._relay

    def let_go(self) -> None:
        """Hold the relay no more."""
        self._relay = None
