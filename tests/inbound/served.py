"""The public listener in the test's own loop, over real sockets, before an app with a script."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from proxy.config.portal_yaml import load_config
from proxy.http.server.timeouts import ConnectionTimeouts
from proxy.inbound.app import Inbound
from proxy.inbound.relay import InboundRelay
from proxy.server.compose import compose
from proxy.server.running import Running
from proxy.state.replay import Later
from proxy.transfer import relay as relay_module
from proxy.transfer.access_log import write_line
from tests.http.ends import Link, Listening, Script, Server, listening, scripted, settled
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.signer import new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from proxy.core.epoch import Epoch
    from proxy.core.http.forwarded import RemotePeer
    from proxy.core.http1.grammar import RequestHead
    from proxy.core.identity import PrivateKey
    from proxy.core.log_line import RequestLine
    from proxy.http.downstream import Downstream
    from proxy.state.replay import ReplayStore

SITE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}, "/peer": {"access": "peer"}}}'


class SlowReplays:
    """A replay store that never answers at once, and in a thread only once it is released."""

    def __init__(self, store: ReplayStore) -> None:
        self._store = store
        self._released = threading.Event()
        self.asked = 0
        self.claimed = 0
        """How many claims were made, and not refused."""

    def release(self) -> None:
        self._released.set()

    def claim_at_once(self, *_: object, **__: object) -> None:
        raise Later

    def claim(self, portal_id: str, nonce: bytes, epoch: bytes | None, *, now: float) -> None:
        self.asked += 1
        self._released.wait()
        self._store.claim(portal_id, nonce, epoch, now=now)
        self.claimed += 1

    def told(self, _: float) -> Epoch | None:
        return None

    def look_again(self, now: float) -> Epoch | None:
        self._released.wait()
        return self._store.look_again(now)

    def close(self) -> None:
        self._store.close()


@dataclass
class Served:
    """A Portal that is served, with what it counted."""

    folder: Portal
    running: Running
    listener: Listening
    inbound: Inbound
    app: Server
    peer: PrivateKey
    lines: list[RequestLine] = field(default_factory=list)
    relays: list[InboundRelay] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    def slow_replays(self) -> SlowReplays:
        """Have claims wait from now on."""
        portal = self.running.portal
        slow = SlowReplays(portal.replays)
        portal.replays = cast("ReplayStore", slow)
        return slow

    def request(self, head: bytes = b"GET / HTTP/1.1", *fields: bytes, body: bytes = b"") -> bytes:
        """Return a stranger's request for the app."""
        lines = (head, b"host: " + self.folder.app_host("site").encode(), *fields)
        return b"\r\n".join((*lines, b"", body))

    def forget_peer(self) -> None:
        """Remove the peer from the contacts; what runs hears of it by ``revoke``."""
        self.folder.knows(apps={"site": "all"})
        self.running.portal.contacts.refresh()

    def revoke(self) -> None:
        """End what may not run any more."""
        portal = self.running.portal
        portal.active_requests.revoke_lost(portal.context, portal.clock())

    async def untouched(self) -> None:
        """Wait until nothing runs, and check that nothing is held."""
        portal, context = self.running.portal, self.inbound._context
        await settled(lambda: not len(portal.active_requests))
        assert len(context.places) == 0
        assert context.spool.taken == 0

    @property
    def waiting(self) -> list[int]:
        """How many bytes of bodies each connection holds."""
        connections: Any = self.listener.state.connections
        return [connection._requests.untaken for connection in connections]

    def shut_down(self) -> None:
        """Tell each connection that the listener ends."""
        for connection in list(self.listener.state.connections):
            connection.shutdown()

    def break_off(self) -> None:
        """Break each connection off, as a listener that ends at once does."""
        for connection in list(self.listener.state.connections):
            cast("Any", connection).break_off()


@asynccontextmanager
async def served(
    path: Path,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    timeouts: ConnectionTimeouts | None = None,
    settings: str = "",
) -> AsyncIterator[Served]:
    """Serve a Portal whose app ``site`` is behind a server with ``script``."""
    folder = Portal(path, "Bob", settings=f"accept: [sealed, signed]\n{settings}")
    peer = new_key()
    folder.knows(contact(peer.public.portal_id, "Ada", 1, 1), apps={"site": "all"})
    lines: list[RequestLine] = []

    def write(line: RequestLine) -> None:
        write_line(line)
        lines.append(line)

    monkeypatch.setattr(relay_module, "write_line", write)
    async with scripted(script) as app:
        assert app.to.connect is not None
        folder.add_app("site", SITE, app.to.connect[1])
        running = compose(load_config(folder.config))
        served_by = Inbound(running.portal, running.upstream)
        relays: list[InboundRelay] = []

        class Noting:
            """Notes each relay."""

            def serve(
                self, head: RequestHead, remote: RemotePeer, client: Downstream
            ) -> InboundRelay:
                relay = served_by.serve(head, remote, client)
                relays.append(relay)
                return relay

            async def __call__(self, scope: object, receive: object, send: object) -> None:
                raise AssertionError((scope, receive, send))

        try:
            async with listening(cast("Any", Noting()), timeouts) as listener:
                yield Served(folder, running, listener, served_by, app, peer, lines, relays)
        finally:
            await running.close()
            folder.release()


async def answer(link: Link) -> None:
    """Answer each request of a connection with its whole body."""
    while True:
        await read_request(link)
        await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def read_request(link: Link) -> tuple[bytes, bytes]:
    """Read a request: its head, and its body."""
    head = await link.head()
    low = head.lower()
    body = b""
    if b"transfer-encoding: chunked" in low:
        while size := int(await link.until(b"\r\n"), 16):
            body += await link.exactly(size)
            await link.exactly(2)
        await link.exactly(2)
    elif b"content-length: " in low:
        body = await link.exactly(int(low.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return head, body
