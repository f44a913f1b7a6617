"""A whole inbound relay between two ends that note what is called, before a real Portal.

The client's end and the app's keep to ``proxy.http.downstream`` and ``proxy.http.upstream``: what
they have to tell waits while they are paused, and is forgotten once they are finished. What is
between them is the proxy's own: the gate, places, what runs, envelopes, held bodies, WebSockets.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from proxy.config.portal_yaml import load_config
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http1.grammar import RequestHead
from proxy.core.http1.reader import RequestReader
from proxy.inbound.context import InboundContext
from proxy.inbound.relay import InboundRelay
from proxy.server.compose import compose
from proxy.server.running import Running
from proxy.state.replay import Later
from proxy.transfer.active_requests import ActiveRequests
from tests.transfer.relay_ends import App, Calls, Client
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.signer import new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proxy.core.epoch import Epoch
    from proxy.core.errors import Refusal
    from proxy.core.http.headers import Fields
    from proxy.core.identity import PrivateKey
    from proxy.core.log_line import RequestLine
    from proxy.http.downstream import RequestHandler
    from proxy.http.upstream import ResponseReceiver, UpstreamFailed, UpstreamRequest

REMOTE = RemotePeer("192.0.2.1", is_unix=False, is_tls=False)
_SITE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}, "/peer": {"access": "peer"}}}'
_UNUSED_PORT = 1


@dataclass
class Ours:
    """A Portal with an app that nothing is behind, and a peer of its owner's."""

    folder: Portal
    running: Running
    peer: PrivateKey

    def head(self, start: bytes, *fields: bytes, host: str = "") -> RequestHead:
        """Return the head of a stranger's request, for the app unless ``host`` is given."""
        where = host or self.folder.app_host("site")
        return read(b"\r\n".join((start + b" HTTP/1.1", b"host: " + where.encode(), *fields)))


def read(raw: bytes) -> RequestHead:
    """Return the head of a request, as a connection reads it."""
    head = RequestReader().feed(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")[0]
    assert isinstance(head, RequestHead), head
    return head


@contextmanager
def portal(path: Path) -> Iterator[Ours]:
    """Have a Portal for many relays."""
    folder = Portal(path, "Bob")
    peer = new_key()
    folder.knows(contact(peer.public.portal_id, "Ada", 1, 1), apps={"site": "all"})
    folder.add_app("site", _SITE, _UNUSED_PORT)
    running = compose(load_config(folder.config))
    try:
        yield Ours(folder, running, peer)
    finally:
        asyncio.run(running.close())
        folder.release()


class LateReplays:
    """A replay store that answers only in a thread, and not before it is released."""

    def __init__(self, stage: Stage) -> None:
        self._store = stage.ours.running.replays
        self._stage = stage

    def claim_at_once(self, *_: object, **__: object) -> None:
        raise Later

    def claim(self, *arguments: Any, now: float) -> None:
        self._stage.wait_in_thread()
        self._store.claim(*arguments, now=now)

    def told(self, _: float) -> Epoch | None:
        return None

    def look_again(self, now: float) -> Epoch | None:
        self._stage.wait_in_thread()
        return self._store.look_again(now)


class Mouth:
    """What an end has to say, in its order, as far as it isn't paused."""

    def __init__(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        self._waiting: list[Callable[[], None]] = []
        self._is_speaking = False

    def say(self, *words: Callable[[], None]) -> None:
        self._waiting += words
        self._speak()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        asyncio.get_running_loop().call_soon(self._speak)  # never from within the call

    def shut(self) -> None:
        self._waiting.clear()

    def _speak(self) -> None:
        while self._waiting and not self.is_paused:
            self._waiting.pop(0)()


class ClientEnd(Client):
    """The client's end, which tells whoever serves the request just now."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls)
        self.handler: RequestHandler | None = None
        self.mouth = Mouth(is_paused=True)
        self.has_all_come = False
        """Whether the client has nothing more to send."""

    def come(self, *pieces: bytes, ends: bool = False) -> None:
        """Have pieces of the body come."""
        if not self.finishes:
            last = len(pieces) - 1
            self.mouth.say(*(
                lambda piece=piece, is_end=ends and at == last: self._tell(piece, is_end)
                for at, piece in enumerate(pieces)
            ))  # fmt: skip

    def _tell(self, piece: bytes, ends: bool) -> None:  # noqa: FBT001 - of a test alone
        assert self.handler is not None
        if not self.has_all_come:
            self.has_all_come = ends
            self.handler.body_received(piece, ends=ends)

    def leave(self) -> None:
        """Have the client leave."""
        self.mouth.shut()
        if self.handler is not None and not self.finishes:
            self.handler.client_left()

    def block(self) -> None:
        """Take nothing more for now."""
        self.is_blocked = True
        if self.handler is not None and not self.finishes:
            self.handler.pause_response()

    def unblock(self) -> None:
        """Take more."""
        self.is_blocked = False
        if self.handler is not None and not self.finishes:
            self.handler.resume_response()

    # What the relay calls.

    def pause(self) -> None:
        super().pause()
        self.mouth.pause()

    def resume(self) -> None:
        super().resume()
        self.mouth.resume()

    def finish(self) -> None:
        super().finish()
        self.mouth.shut()
        self.handler = None

    def hand_over(self, handler: RequestHandler) -> None:
        self._call("hand_over")
        self.handler = handler

    def switch_protocols(self, fields: Fields) -> None:
        del fields
        self._call("switch_protocols")
        self.heads.append(101)
        self.has_all_come = False


class AppEnd(App):
    """An exchange with the app."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls)
        self.receiver: ResponseReceiver | None = None
        self._has_answered = False
        self.mouth = Mouth(is_paused=False)

    def answer(self, status: int, fields: Fields) -> None:
        """Have a head come back; there is one."""
        if not self._has_answered:
            self._has_answered = True
            self.tell(lambda receiver: receiver.head_received(status, fields))

    def go_on(self, piece: bytes, *, ends: bool) -> None:
        """Have content come back, behind the head."""
        if self._has_answered:
            self.tell(lambda receiver: receiver.content_received(piece, ends=ends), is_last=ends)

    def fail(self, failure: UpstreamFailed | Refusal) -> None:
        """Have the exchange fail."""
        self.tell(lambda receiver: receiver.exchange_failed(failure), is_last=True)

    def tell(self, what: Callable[[ResponseReceiver], None], *, is_last: bool = False) -> None:
        """Have something come back, unless nothing more may."""
        if self.may_tell and self.receiver is not None:
            self.mouth.say(lambda: self._tell(what, is_last))

    def _tell(self, what: Callable[[ResponseReceiver], None], is_last: bool) -> None:  # noqa: FBT001 - as above
        if self.may_tell and self.receiver is not None:
            self.is_over = is_last
            what(self.receiver)

    # What the relay calls.

    def pause(self) -> None:
        super().pause()
        self.mouth.pause()

    def resume(self) -> None:
        super().resume()
        self.mouth.resume()

    def finish(self) -> None:
        super().finish()
        self.mouth.shut()
        self.receiver = None


class Engine:
    """The way to the app: one exchange, and which HTTP its server speaks."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.minor: int | None = 1
        """None where it has to be asked, and the answer is still to come."""

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> AppEnd:
        del request
        stage = self._stage
        stage.calls.note("upstream.begin")
        stage.has_begun = True
        stage.app.receiver = receiver
        return stage.app

    def known_minor_version(self, _: UpstreamRequest) -> int | None:
        return self.minor

    async def minor_version(self, _: UpstreamRequest) -> int:
        await asyncio.to_thread(self._stage.wait_in_thread)
        return 1


class WatchedRelay(InboundRelay):
    """A relay of which a test can see whether it is still there."""

    __slots__ = ("__weakref__",)

    @property
    def is_waiting(self) -> bool:
        return self._waiting is not None

    def cancel_wait(self) -> None:
        """Do what the end of the process does to whatever is waited for."""
        if self._waiting is not None:
            self._waiting.cancel()

    @property
    def at(self) -> Any:
        return self._at


class Stage:
    """One relay, its ends, and all that it may hold."""

    def __init__(self, ours: Ours) -> None:
        self.ours = ours
        self.calls = Calls()
        self.client, self.app = ClientEnd(self.calls), AppEnd(self.calls)
        self.engine = Engine(self)
        # Nobody follows this Portal's files; a store that is silent for long begins a new epoch.
        ours.running.replays.keep_alive(ours.running.portal.clock())
        self.context = InboundContext(ours.running.portal, cast("Any", self.engine))
        self.active = ours.running.portal.active_requests = ActiveRequests()
        self.has_begun = False
        """Whether the app was asked."""
        self.lines: list[RequestLine] = []
        self._relay: WatchedRelay | None = None
        self._released = threading.Event()
        self._failure: Exception | None = None

    @property
    def relay(self) -> WatchedRelay:
        assert self._relay is not None
        return self._relay

    def begin(self, head: RequestHead) -> None:
        """Begin to serve a request."""
        self._relay = relay = WatchedRelay(self.context, head, REMOTE, self.client)
        self.client.handler = relay
        relay.begin()
        if self.client.finishes:
            self.client.handler = None

    def claims_come_late(self) -> None:
        """Have claims, and the epoch, wait until ``release``."""
        self.ours.running.portal.replays = cast("Any", LateReplays(self))

    def wait_in_thread(self) -> None:
        """Do what a decision waits for."""
        self._released.wait()
        if self._failure is not None:
            raise self._failure

    def release(self, failure: Exception | None = None) -> None:
        """Have what a decision waits for be done, or go wrong."""
        self._failure = failure
        self._released.set()

    def let_go(self) -> None:
        """Hold the relay no more."""
        self._relay = None
        self.app.receiver = self.client.handler = None
        self.ours.running.portal.replays = self.ours.running.replays
        self._released.set()  # or its thread would wait for ever
