"""What stands on both sides of an ``Envelope``: an outer request, and who serves the inner one.

Both hold the envelope to what ``proxy.http.downstream`` says, and note what they are told.
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from proxy.core.binary_http.message import RequestHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.binary_http.writer import END, content, padding, request_head
from proxy.core.gate import Request
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.log_line import RequestLine
from proxy.core.sealing.envelope import CHUNKED_REQUEST
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestSealer
from proxy.inbound.envelope import Envelope
from proxy.inbound.key_look import KeyLook
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.errors import Refusal
    from proxy.core.http.headers import Field, Fields
    from proxy.core.sealing.message import Event
    from proxy.http.downstream import RequestHandler

KEY = SealingKey(bytes(range(32)))
KEY_ID = 7
CONFIG = KeyConfig(KEY_ID, KEY.public, (Aead.AES_128_GCM,))
BODY_LIMIT = 10_000


async def until(happened: Callable[[], object]) -> None:
    """Wait until it happened."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.001)


async def some_turns() -> None:
    """Let the event loop do all that doesn't wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def sealed(
    *plain: bytes,
    method: bytes = b"POST",
    fields: tuple[Field, ...] = (),
    config: KeyConfig = CONFIG,
) -> tuple[RequestSealer, list[bytes]]:
    """Return an envelope as its header and its chunks, one for each of ``plain`` and one behind.

    ``plain`` follows the head; the last chunk is the final one.
    """
    sealer = RequestSealer(config, ephemeral=b"e" * 32)
    head = request_head(RequestHead(method, b"http", b"a.example", b"/x?y", fields))
    *others, last = (head, *plain)
    return sealer, [sealer.header, *map(sealer.seal, others), sealer.finish(last)]


def whole(
    body: bytes = b"", *, method: bytes = b"POST", fields: tuple[Field, ...] = ()
) -> tuple[RequestSealer, bytes]:
    """Return an honest envelope: one chunk, padded."""
    sealer = RequestSealer(CONFIG, ephemeral=b"e" * 32)
    head = request_head(RequestHead(method, b"http", b"a.example", b"/x?y", fields))
    message = head + content(body) + END
    return sealer, sealer.header + sealer.finish(message + bytes(padding(len(message))))


class Store:
    """Sealing keys, as an envelope asks for them."""

    def __init__(self) -> None:
        self.keys = {KEY_ID: KEY}
        self.looks = 0
        self.look: Callable[[], None] = lambda: None

    def find(self, key_id: int) -> SealingKey | None:
        return self.keys.get(key_id)

    def look_again(self) -> None:
        self.looks += 1
        self.look()


class Outer:
    """The outer request: passes on what ``come`` is given while it isn't paused."""

    def __init__(self) -> None:
        self.handler: RequestHandler | None = None
        self.waiting: list[tuple[bytes, bool]] = []
        self.is_paused = True
        self.is_invited = self.is_broken_off = self.has_ended = False
        self.finishes = 0
        self.is_blocked = False
        self.block_from: int | None = None
        """From how many pieces on the client takes no more."""
        self.heads: list[tuple[int, Fields]] = []
        self.sent: list[bytes] = []
        self.is_whole = False
        self.bytes_in = self.bytes_out = 0
        self.takes_interim = self.takes_upgrade = True

    # What the test does.

    def come(self, *pieces: bytes, ends: bool = False) -> None:
        self.waiting += [(piece, ends and at == len(pieces)) for at, piece in enumerate(pieces, 1)]
        self._deliver()

    def _deliver(self) -> None:
        while self.waiting and not (self.is_paused or self.is_finished):
            piece, ends = self.waiting.pop(0)
            self.has_ended = ends
            assert self.handler is not None
            self.handler.body_received(piece, ends=ends)

    def leave(self) -> None:
        self.waiting.clear()
        assert self.handler is not None
        assert not self.is_finished
        self.handler.client_left()

    def unblock(self) -> None:
        self.is_blocked, self.block_from = False, None
        assert self.handler is not None
        assert not self.is_finished
        self.handler.resume_response()

    # What the envelope calls.

    def send_interim(self, status: int, fields: Fields) -> None:
        raise AssertionError((status, fields))

    def switch_protocols(self, fields: Fields) -> None:
        raise AssertionError(fields)

    def send_head(self, status: int, fields: Fields) -> None:
        assert not self.is_finished
        assert not self.heads
        self.heads.append((status, fields))

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        assert self.heads
        assert not self.is_finished
        assert not self.is_whole
        self.sent.append(piece)
        self.is_whole = ends
        if self.block_from is not None and len(self.sent) >= self.block_from:
            self.is_blocked = True
            assert self.handler is not None
            self.handler.pause_response()

    def pause(self) -> None:
        assert not self.is_finished
        assert not self.has_ended
        assert not self.is_paused
        self.is_paused = True

    def resume(self) -> None:
        assert not self.is_finished
        assert not self.has_ended
        assert self.is_paused
        self.is_paused = False
        asyncio.get_running_loop().call_soon(self._deliver)

    def invite(self) -> None:
        assert not self.is_finished
        self.is_invited = True

    def hand_over(self, handler: RequestHandler) -> None:
        self.handler = handler

    def break_off(self) -> None:
        assert not self.is_finished
        self.is_broken_off = True

    def finish(self) -> None:
        self.finishes += 1
        self.handler = None

    @property
    def is_finished(self) -> bool:
        return self.finishes > 0


class Served:
    """Who serves the request inside; takes its body at once unless ``takes`` is False."""

    def __init__(self, sides: Sides, *, takes: bool = True) -> None:
        self.sides = sides
        self.told: list[object] = []
        self.body = b""
        self.takes = takes
        self.finish_in = ""
        """The name of the callback from within which it finishes."""
        self.is_finished = False
        self.is_short = False
        self.pauses_each = False

    def opened(self) -> None:
        if self.takes:
            self.sides.envelope.resume()
        self._finish_in("opened")

    def body_received(self, piece: bytes, *, ends: bool) -> None:
        assert self.told[-1:] not in (["end"], ["left"], ["failed"])
        assert not self.is_finished
        assert piece or ends
        self.body += piece
        self.told.append("end" if ends else "piece")
        if self.pauses_each:
            self.sides.envelope.pause()
        self._finish_in("body_received")

    def body_failed(self, refusal: Refusal) -> None:
        assert not self.is_finished
        self.told += [refusal.code.public, "failed"]
        self._finish_in("body_failed")

    def client_left(self) -> None:
        assert not self.is_finished
        self.told.append("left")
        self._finish_in("client_left")

    def pause_response(self) -> None:
        assert not self.is_finished
        self.told.append("pause")
        self._finish_in("pause_response")

    def resume_response(self) -> None:
        assert not self.is_finished
        self.told.append("resume")
        self._finish_in("resume_response")

    def stop(self) -> None:
        raise AssertionError

    def is_place_short(self) -> bool:
        return self.is_short

    def finish(self) -> None:
        self.is_finished = True
        self.sides.envelope.finish()

    def _finish_in(self, name: str) -> None:
        if self.finish_in == name:
            self.finish()


class Sides:
    """An envelope and both its sides."""

    def __init__(self, *, takes: bool = True) -> None:
        self.store = Store()
        self.outer = Outer()
        self.line = RequestLine()
        self.served = Served(self, takes=takes)
        self.opened: list[tuple[Request, Field | None]] = []
        self.refused: list[Refusal] = []
        self.overs = 0
        self.fails_to_serve = False
        limits = SimpleNamespace(body=BODY_LIMIT)
        self.portal = SimpleNamespace(
            sealing=self.store, modes={"sealed"}, config=SimpleNamespace(limits=limits)
        )
        self.envelope = self.another(self.outer)

    def another(self, outer: Outer, key_look: KeyLook | None = None) -> Envelope:
        """Return one more envelope, which tells the same side."""
        portal = cast("Any", self.portal)
        look = key_look or KeyLook(cast("Any", self.store))
        return Envelope(
            portal, look, outer, self.line,
            on_opened=self._on_opened, on_refused=self.refused.append, on_over=self._on_over,
        )  # fmt: skip

    def begin(self, framing: Field | None = IN_CHUNKS, *fields: Field) -> None:
        request = Request(b"POST", b"/", fields or (CHUNKED_REQUEST,))
        self.envelope.begin(request, framing)

    def _on_opened(self, request: Request, framing: Field | None) -> RequestHandler:
        self.opened.append((request, framing))
        if self.fails_to_serve:
            raise ZeroDivisionError
        self.served.opened()
        return self.served

    def _on_over(self) -> None:
        self.overs += 1

    def response(self, sealer: RequestSealer, method: bytes = b"POST") -> list[Event]:
        """Return what the sender gets, which must be whole."""
        assert self.outer.is_whole
        ((status, fields),) = self.outer.heads
        assert status == 200
        assert dict(fields)[b"content-type"] == b"message/ohttp-chunked-res"
        opener = MessageOpener(sealer.response_opener(), ResponseReader(method))
        events = [event for piece in self.outer.sent for event in opener.feed(piece)]
        return events + opener.end()
