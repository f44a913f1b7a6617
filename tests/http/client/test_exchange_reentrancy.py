"""An exchange under any order of what its transport and its receiver do, each within the other.

The model: what the server says is a script of bytes, cut anywhere. Whatever is told is a beginning
of what it says, in its order; there is one end at most; nothing is told to who is paused or has
finished; nothing is told from within a call but a pause of the body from within ``send``.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.http.origin import Origin
from proxy.http.client.connection import Connection
from proxy.http.client.exchange import Exchange
from proxy.http.client.pool import Pool
from proxy.http.upstream import ANYBODY, Destination, UpstreamRequest, UpstreamTimeouts
from tests.http.client.receivers import Recorder

_INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
_RESPONSES = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef": b"abcdef",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n": b"abc",
    b"HTTP/1.1 204 No Content\r\n\r\n": b"",
    b"HTTP/1.1 200 OK\r\n\r\nabc": b"abc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabGET": b"ab",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n": b"",
}
_DEEDS = ("pause", "resume", "finish", "send", "end", "nothing", "nothing")
_EVENTS = ("bytes", "bytes", "turn", "turn", "eof", "lost", "full", "empty", "timer", *_DEEDS)


class FakeTransport(asyncio.Transport):
    """What a connection sees of a socket; loses it only in a later turn, as asyncio does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        super().__init__()
        self.loop = loop
        self.connection = connection
        self.reads = True
        self.is_gone = False
        self.has_ended = False
        self.is_full = False
        self.fills = False
        connection.connection_made(self)

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.is_gone

    def get_write_buffer_size(self) -> int:
        return int(self.is_full)

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write(self, data: Any) -> None:
        assert not self.is_gone
        if self.fills and data and not self.is_full:
            self.is_full, self.fills = True, False
            self.connection.pause_writing()

    def write_eof(self) -> None:
        raise AssertionError("nothing is raw here")

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.loop.call_soon(self.connection.connection_lost, error)


class Stage(Recorder):
    """A receiver that does the next deed of its list whenever it is told something."""

    def __init__(self, deeds: list[str]) -> None:
        super().__init__()
        self.deeds = deeds
        self.is_paused = False
        self.is_finished = False
        self.calls: list[str] = []
        """What is being called, the innermost last."""

    def act(self, deed: str) -> None:
        """Do it, and note meanwhile that it is done."""
        self.calls.append(deed)
        if deed == "pause":
            self.is_paused = True
            self.exchange.pause()
        elif deed == "resume":
            self.is_paused = False
            self.exchange.resume()
        elif deed == "finish":
            self.is_finished = True
            self.exchange.finish()
        elif deed in ("send", "end"):
            self.exchange.send(b"xy", ends=deed == "end")
        self.calls.pop()

    def _note(self, name: str, *what: object) -> None:
        assert not self.is_finished, "told behind finish"
        assert not self.has_ended, "told behind the end"
        assert "failed" not in self.names, "told behind the failure"
        if name == "pause":
            assert not self.calls or self.calls[-1] in ("send", "end")
        else:
            assert not self.calls, f"told {name} from within {self.calls}"
        if name not in ("pause", "resume", "invited"):
            assert not self.is_paused, f"told {name} while paused"
        super()._note(name, *what)
        if self.deeds and not self.calls:
            self.act(self.deeds.pop())


class World:
    """One exchange on a fake connection."""

    def __init__(self, said: bytes, deeds: list[str]) -> None:
        self.said = said
        self.loop = asyncio.get_running_loop()
        self.pool = Pool()
        to = Destination(Origin("http", "a", 80))
        self.connection = Connection()
        self.transport = FakeTransport(self.loop, self.connection)
        self.stage = Stage(deeds)
        fields = ((b"host", b"a"), (b"transfer-encoding", b"chunked"))
        request = UpstreamRequest(
            to, b"POST", b"/", fields, None, UpstreamTimeouts(5, 1e-9, 5), caller=ANYBODY,
            streams=True,
        )  # fmt: skip
        self.pool.take = lambda *_: self.connection  # type: ignore[method-assign]
        self.exchange = Exchange(self.pool, self.pool.place(to), self.stage, self.loop)
        self.stage.exchange = self.exchange
        self.exchange.begin(request)

    async def happen(self, event: str, count: int) -> None:
        """Let something happen, as far as it can."""
        transport, connection = self.transport, self.connection
        is_live = transport.reads and not transport.is_gone and not transport.has_ended
        if event == "turn":
            await asyncio.sleep(0)
        elif event == "bytes" and is_live and self.said:
            piece, self.said = self.said[:count], self.said[count:]
            connection.get_buffer(-1)[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        elif event == "eof" and is_live:
            transport.has_ended = True
            if not connection.eof_received():
                transport.close()
        elif event == "lost":
            transport.lose(None)
        elif event == "full":
            transport.fills = True
        elif event == "empty" and transport.is_full and not transport.is_gone:
            transport.is_full = False
            connection.resume_writing()
        elif event == "timer" and not transport.is_gone:
            connection._look()
        elif event in _DEEDS:
            self.stage.act(event)


@settings(max_examples=400, deadline=None)
@given(
    response=st.sampled_from(list(_RESPONSES)),
    interims=st.sampled_from((0, 0, 1, 40)),
    events=st.lists(st.tuples(st.sampled_from(_EVENTS), st.integers(1, 400)), max_size=30),
    deeds=st.lists(st.sampled_from(_DEEDS), max_size=12),
)
def test_whatever_happens_within_whatever(
    response: bytes, interims: int, events: list[tuple[str, int]], deeds: list[str]
) -> None:
    async def run() -> None:
        raised: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: raised.append(what))
        world = World(_INTERIM * interims + response, deeds)
        for event, count in events:
            await world.happen(event, count)
        stage = world.stage
        # From here on all goes well: everything is read, and nobody pauses.
        stage.deeds.clear()
        if not stage.is_finished:
            stage.act("resume")
        for _ in range(80):
            await world.happen("bytes", 100)
            await asyncio.sleep(0)
        await world.happen("eof", 1)
        for _ in range(80):
            await asyncio.sleep(0)
        assert not raised, raised
        told = [name for name in stage.names if name not in ("pause", "resume")]
        assert told == sorted(told, key=("interim", "head", "content", "failed").index)
        assert told.count("head") <= 1
        assert _RESPONSES[response].startswith(stage.content)
        is_over = stage.has_ended or "failed" in stage.names
        assert is_over or stage.is_finished
        if stage.has_ended:
            assert stage.content == _RESPONSES[response]
            assert told.count("interim") == interims
        if not stage.is_finished:
            stage.act("finish")
        world.pool.close()
        if world.connection._timer is not None:
            world.connection._timer.cancel()
        assert cast(Any, world.connection)._exchange is None
        assert world.exchange._receiver is None
        assert world.exchange._connection is None
        assert world.exchange._held is None

    asyncio.run(run())
