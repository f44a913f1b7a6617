"""Two ends of a WebSocket that note what they get, and check that nothing comes behind its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Collection

from proxy.core.http.headers import Fields
from proxy.core.websocket.handshake import Handshake, accept_for
from proxy.http.downstream import RequestHandler
from proxy.transfer.websocket import WebSocketLimits, WebSocketRelay

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASKED = Handshake(accept_for(KEY), frozenset(), offers_deflate=False)
SWITCHED: Fields = (
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-accept", accept_for(KEY)),
)
_TURNS = 30


def _nothing() -> None:
    pass


class Side:
    """A client's end or an app's; what it does besides noting is set by the test."""

    takes_interim = takes_upgrade = True
    bytes_in = bytes_out = 0

    def __init__(self) -> None:
        self.got = bytearray()
        self.pieces: list[bytes] = []
        self.has_end = False
        self.is_blocked = False
        self.is_paused = False
        self.was_paused = False
        self.is_finished = False
        self.said: list[str] = []
        self.switched: Fields | None = None
        self.blocks_after: int | None = None
        """How many pieces it takes before it blocks."""
        self.on_block: Callable[[], None] = _nothing
        self.on_unblock: Callable[[], None] = _nothing
        self.on_send: Callable[[], None] = _nothing
        self.on_pause: Callable[[], None] = _nothing
        self.on_resume: Callable[[], None] = _nothing

    def block(self) -> None:
        """Take nothing from now on, and say so."""
        if not self.is_blocked:
            self.is_blocked = True
            self.on_block()

    def unblock(self) -> None:
        """Take more, and say so."""
        if self.is_blocked:
            self.is_blocked = False
            self.on_unblock()

    # What the relay calls.

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        assert not self.is_finished
        assert not self.has_end
        self.has_end = ends
        self.got += piece
        self.pieces.append(piece)
        if self.blocks_after is not None and not ends:
            self.blocks_after -= 1
            if self.blocks_after <= 0:
                self.blocks_after = None
                self.block()
        self.on_send()

    def pause(self) -> None:
        assert not self.is_finished
        self.is_paused = self.was_paused = True
        self.said.append("pause")
        self.on_pause()

    def resume(self) -> None:
        assert not self.is_finished
        self.is_paused = False
        self.said.append("resume")
        self.on_resume()

    def switch_protocols(self, fields: Fields) -> None:
        assert self.switched is None
        self.switched = fields

    def finish(self) -> None:
        self.is_finished = True

    def break_off(self) -> None:
        self.is_finished = True

    # What it doesn't.

    def send_interim(self, status: int, fields: Fields) -> None:
        raise NotImplementedError

    def send_head(self, status: int, fields: Fields) -> None:
        raise NotImplementedError

    def invite(self) -> None:
        raise NotImplementedError

    def hand_over(self, handler: RequestHandler) -> None:
        raise NotImplementedError


class Sides:
    """A relay between a client and an app."""

    def __init__(
        self,
        limits: WebSocketLimits,
        *,
        asked: Handshake = ASKED,
        fields: Fields = SWITCHED,
        own: Collection[bytes] = (),
        begins: bool = True,
    ) -> None:
        self.client, self.app = Side(), Side()
        self.client.is_paused = True
        self.over: list[Exception | None] = []
        self.relay = WebSocketRelay(asked, fields, self.client, self.app, "chat", limits, own)
        self.client.on_block = self.relay.pause_to_client
        self.client.on_unblock = self.relay.resume_to_client
        self.app.on_block = self.relay.pause_to_app
        self.app.on_unblock = self.relay.resume_to_app
        if begins:
            self.begin()

    def begin(self) -> None:
        self.relay.begin(self.be_over)

    def be_over(self, failure: Exception | None) -> None:
        self.over.append(failure)
        self.app.finish()
        self.client.finish()

    def of(self, who: str) -> Side:
        return self.client if who == "client" else self.app

    async def quiet(self) -> None:
        """Let what is due have its turns."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def check_masks(self) -> None:
        """Check that each frame is masked as its side wants it, by the first."""
        assert not self.client.got or not self.client.got[1] & 0x80
        assert not self.app.got or self.app.got[1] & 0x80

    def is_held(self) -> bool:
        """Tell whether the relay refers to anything of ours."""
        ours = (self, self.client, self.app)
        seen: list[object] = [self.relay]
        for found in seen:
            for referent in gc.get_referents(found):
                if any(referent is one for one in ours):
                    return True
                module = type(referent).__module__
                if module.startswith("proxy.transfer.websocket") and referent not in seen:
                    seen.append(referent)
        return False
