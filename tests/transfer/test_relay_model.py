"""A relay on a real connection of a client's, in whatever order things happen, and within what.

The transport and the app are scripts: a write may pause at once and a take resume at once, reads
are split anywhere, an end may come at any time. The connection, its requests and the relay are the
real ones.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Fields
from proxy.core.http.problem import refusal_response
from proxy.core.http1.grammar import RequestHead, ResponseHead
from proxy.core.http1.reader import ResponseReader
from proxy.http.server.protocol import ServerConnection
from proxy.http.upstream import UpstreamFailed
from proxy.transfer.failures import app_failed
from proxy.transfer.relay import At, Relay
from tests.http.ends import config_for
from tests.transfer.relay_ends import REMOTE

_HIGH = 64 * 1024
_PIECE = 30_000
_BODIES = (10, 200_000, 0)
"""Of requests and of responses, in turn."""


class Transport:
    """A client's socket: what is written waits until the client takes it."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.protocol: ServerConnection | None = None
        self.unsent = 0
        self.got = bytearray()
        self.most = 0
        self._high = _HIGH
        self._is_paused = False
        self.is_reading = True
        self.has_end = self._is_closing = self.is_lost = False

    def get_extra_info(self, name: str, default: object = None) -> Any:
        known = {"socket": self.ours, "peername": ("192.0.2.1", 9), "sockname": ("192.0.2.2", 80)}
        return known.get(name, default)

    def write(self, data: bytes) -> None:
        assert not self.has_end
        if not self._is_closing:
            self.unsent += len(data)
            self.got += data
            self.most = max(self.most, self.unsent)
            self._look()

    def write_eof(self) -> None:
        self.has_end = True

    def take(self, size: int) -> None:
        self.unsent -= min(size, self.unsent)
        self._look()
        if self._is_closing and not self.unsent:
            self.lose()

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._look()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def _look(self) -> None:
        assert self.protocol is not None
        if not self._is_paused and self.unsent > self._high:
            self._is_paused = True
            self.protocol.pause_writing()
        elif self._is_paused and self.unsent <= self._high // 4:
            self._is_paused = False
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        if not self.unsent:
            self.lose()

    def abort(self) -> None:
        self._is_closing = True
        self.lose()

    def lose(self) -> None:
        """Have the connection's end told, soon and once."""
        if not self.is_lost and self.protocol is not None:
            self.is_lost = self._is_closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def release(self) -> None:
        self.ours.close()
        self._theirs.close()


class App:
    """The app's end of one request."""

    def __init__(self, relay: ModelRelay, number: int) -> None:
        self.relay = relay
        self.body = bytearray()
        self.has_body_end = False
        self.is_blocked = self.is_paused = False
        self.is_wronged = False
        """Whether something was sent when nothing may be."""
        self.finishes = 0
        self.left = _BODIES[(number + 1) % 3]
        self.has_begun = self.has_head = self.is_over = False

    @property
    def may_tell(self) -> bool:
        return self.has_begun and not (self.is_over or self.is_paused or self.finishes)

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        # Not raised here, where the relay would take it for a failure of its own.
        self.is_wronged |= bool(self.finishes or self.has_body_end or self.is_blocked)
        self.body += piece
        self.has_body_end = ends
        if self.relay.number % 2 and not ends:
            self.is_blocked = True
            self.relay.pause_body()

    def unblock(self) -> None:
        if self.is_blocked and not (self.is_over or self.finishes):
            self.is_blocked = False
            self.relay.resume_body()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def finish(self) -> None:
        self.finishes += 1

    def tell(self, size: int) -> None:
        """Tell the next thing: the head, or so much of the body, or its end.

        Each second app waits for all of the request.
        """
        if not self.may_tell or (self.relay.number % 2 and not self.has_body_end):
            return
        if not self.has_head:
            self.has_head = True
            self.relay.head_received(200, ((b"content-length", b"%d" % self.left),))
            return
        size = min(size, self.left)
        self.left -= size
        self.is_over = not self.left
        self.relay.content_received(b"r" * size, ends=self.is_over)

    def fail(self) -> None:
        if self.may_tell:
            self.is_over = True
            self.relay.exchange_failed(UpstreamFailed("it broke off"))


class ModelRelay(Relay):
    """Waits for a moment before some requests, and asks the app."""

    __slots__ = ("_model", "app", "number")

    def __init__(self, model: Model, head: RequestHead, client: Any, number: int) -> None:
        super().__init__("public", head, REMOTE, client)
        self._model = model
        self.number = number
        self.app = App(self, number)

    def _decide(self) -> None:
        if self.number % 3 != 1:
            self._ask(None)
        else:
            self._wait(_moment(), self._ask)

    def _ask(self, _: None) -> None:
        self._at = At.ASKING
        self._exchange = self.app
        self.app.has_begun = True
        self._up = self.app.send
        self._pause_if_blocked()
        self._client.resume()

    def _head(self, status: int, fields: Fields) -> None:
        self._send_head(status, (*fields, (b"x-number", b"%d" % self.number)))

    def _refuse(self, refusal: Refusal) -> None:
        self.line.refuse(refusal)
        told = refusal_response(refusal)
        self._respond(told, b"POST")

    def _refusal_of(self, failure: UpstreamFailed) -> Refusal:
        return app_failed(failure)

    @property
    def is_over(self) -> bool:
        return self._at is At.OVER


async def _moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _request(number: int) -> bytes:
    body = b"b" * _BODIES[number % 3]
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\n" % number
    if number % 2:
        chunks = (body[:7], body[7:])
        told = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks if c) + b"0\r\n\r\n"
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + told
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Model:
    """A client that sends some requests at once, before apps with a script."""

    def __init__(self, count: int) -> None:
        self.relays: list[ModelRelay] = []
        self.count = count
        self.unsent = b"".join(map(_request, range(count)))
        self.has_ended = False
        self.transport = Transport()
        config = config_for(cast("Any", self))
        self.protocol = ServerConnection(config, ServerState(), {})
        self.transport.protocol = self.protocol
        self.protocol.connection_made(cast("asyncio.Transport", self.transport))

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise AssertionError((scope, receive, send))

    def serve(self, head: RequestHead, _: object, client: object) -> ModelRelay:
        relay = ModelRelay(self, head, client, len(self.relays))
        assert head.target == b"/%d" % relay.number
        self.relays.append(relay)
        relay.begin()
        return relay

    # What may happen.

    def feed(self, size: int) -> None:
        while size and self.unsent and self._may_come():
            buffer = self.protocol.get_buffer(-1)
            came = min(size, len(buffer), len(self.unsent))
            buffer[:came] = self.unsent[:came]
            self.unsent = self.unsent[came:]
            size -= came
            self.protocol.buffer_updated(came)

    def _may_come(self) -> bool:
        transport = self.transport
        return transport.is_reading and not (transport.is_closing() or self.has_ended)

    def take(self, size: int) -> None:
        self.transport.take(size)

    def tell(self, size: int) -> None:
        if self.relays:
            self.relays[-1].app.tell(size)

    def flood(self, _: int) -> None:
        """Tell all that is taken."""
        for _ in range(10):
            self.tell(_PIECE)

    def unblock(self, _: int) -> None:
        if self.relays:
            self.relays[-1].app.unblock()

    def fail(self, _: int) -> None:
        if self.relays:
            self.relays[-1].app.fail()

    def revoke(self, _: int) -> None:
        if self.relays:
            self.relays[-1].revoke(Refusal(Code.NOT_ALLOWED))

    def end(self, _: int) -> None:
        if self._may_come():
            self.has_ended = True
            if not self.protocol.eof_received():
                self.transport.close()

    def reset(self, _: int) -> None:
        self.transport.lose()

    def shut_down(self, _: int) -> None:
        if not self.transport.is_lost:
            self.protocol.shutdown()

    # What must hold.

    def check(self) -> None:
        assert self.transport.most <= _HIGH + 2 * _PIECE
        requests = cast("Any", self.protocol)._requests
        assert requests.untaken <= 2 * self.protocol.timeouts.buffered
        assert sum(not relay.is_over for relay in self.relays) <= 1
        for relay in self.relays:
            right = _BODIES[relay.number % 3]
            assert not relay.app.is_wronged
            assert bytes(relay.app.body) == b"b" * len(relay.app.body)
            assert len(relay.app.body) == right or not relay.app.has_body_end
            assert len(relay.app.body) <= right
        self._check_responses()

    def _check_responses(self) -> int:
        """Check that what went to the client is right as far as it goes; return how many."""
        rest, whole = bytes(self.transport.got), 0
        while rest:
            number = whole
            reader = ResponseReader()
            reader.expect(b"POST")
            head_end = rest.find(b"\r\n\r\n") + 4
            if head_end == 3:
                break
            (head, *_) = reader.feed(rest[:head_end])
            assert isinstance(head, ResponseHead)
            fields = dict(head.fields)
            length = int(fields[b"content-length"])
            body, rest = rest[head_end : head_end + length], rest[head_end + length :]
            if head.status == 200:
                assert fields[b"x-number"] == b"%d" % number
                assert body == b"r" * len(body)
                assert length == _BODIES[(number + 1) % 3]
                assert self.relays[number].app.is_over or len(body) < length or not length
            if len(body) < length:
                assert not rest
                break
            whole += 1
        assert whole <= len(self.relays) + 1  # one more for what can't be read
        return whole

    async def come_to_rest(self) -> None:
        """Have the client and the app do all that they can still do."""
        for _ in range(60 * self.count):
            self.take(1 << 30)
            self.unblock(0)
            self.flood(0)
            for _ in range(4):
                self.feed(20_000)
            await asyncio.sleep(0)
            self.check()
        is_ending = self.transport.is_lost or self.transport.has_end
        assert is_ending or self._check_responses() == self.count
        assert all(relay.is_over for relay in self.relays)


_STEPS = ("feed", "feed", "take", "take", "tell", "flood", "unblock", "turn", "turn")
_ENDS = ("fail", "revoke", "end", "reset", "shut_down")


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(_STEPS), st.sampled_from((1, 60, 4000, _PIECE, 1 << 20)))),
    st.lists(st.tuples(st.sampled_from(_STEPS + _ENDS), st.sampled_from((1, 300, _PIECE)))),
)
def test_in_whatever_order_it_happens_each_gets_its_own_and_all_ends(
    count: int, first: list[tuple[str, int]], then: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        model = Model(count)
        try:
            for name, size in (*first, *then):
                if name == "turn":
                    await asyncio.sleep(0)
                else:
                    getattr(model, name)(min(size, _PIECE) if name == "tell" else size)
                model.check()
            await model.come_to_rest()
            model.reset(0)
            for _ in range(5):
                await asyncio.sleep(0)
            for relay in model.relays:
                assert relay.is_over
                assert relay.app.finishes <= 1
            assert asyncio.all_tasks() == {asyncio.current_task()}
        finally:
            model.transport.release()

    asyncio.run(run())
