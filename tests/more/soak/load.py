"""What is done to the Portals, one kind after the other or all at once.

Each kind is a function that does its work once and returns how many requests that was.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from proxy.core.access.policy import Contact
from proxy.state.contacts import ContactStore, with_contact, without_contact
from proxy.transfer.buffered_body import MEMORY
from tests.core.websocket.framing import TEXT, Frame, close
from tests.wire.harness.portals import DOMAIN, contact
from tests.wire.harness.raw import RawConnection, request
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.sockets import RawSocket, handshake
from tests.wire.harness.terminals import (
    HTML,
    NAME,
    from_the_page,
    new_codes,
    remove,
    send_form,
    terminals,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from proxy.core.identity import PrivateKey
    from tests.more.soak.stage import Stage

_KEPT = 20
"""Requests on one connection."""
_BODY = bytes(MEMORY + 100_000)
"""More than is held in memory."""


class Wrong(Exception):
    """A response that isn't the one that is due."""


def kinds(stage: Stage) -> Mapping[str, Callable[[], int]]:
    """Return the kinds of load by name."""
    every = (plain, uploads, sockets, pairing, peers, signed, sealed, leaving)
    return {kind.__name__: partial(kind, stage) for kind in every}


def plain(stage: Stage) -> int:
    """GETs on a connection that is kept."""
    raw = request("GET", "/some/page?q=1", ("Host", stage.bob.app_host("site")))
    with RawConnection(stage.bob.public) as wire:
        for _ in range(_KEPT):
            _ask(wire, raw)
    return _KEPT


def uploads(stage: Stage) -> int:
    """Bodies that stream, that are held on disk for an app of HTTP/1.0, and that are signed."""
    bob = stage.bob
    chunked = ("Transfer-Encoding", "chunked")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
    with RawConnection(bob.public) as wire:
        _ask(wire, request("PUT", "/streams", ("Host", bob.app_host("site")), body=_BODY))
        _ask(wire, request("PUT", "/is/held", ("Host", bob.app_host("old")), chunked) + body)
        _ask(wire, sign_call(stage.cleo, bob, "wide", b"/", method=b"PUT", body=_BODY).raw)
    return 3


def sockets(stage: Stage) -> int:
    """WebSockets that are opened, used and closed, or only left."""
    for is_left in (False, False, True):
        with RawSocket(stage.bob.public) as ws:
            ws.open(handshake(stage.bob.app_host("site"), "/socket"))
            for size in (5, 1000, 70_000):
                frame = Frame(TEXT, b"x" * size)
                ws.say(frame)
                ws.hear(frame)
            if not is_left:
                ws.say(close(1000))
                ws.rest()
    return 3


def pairing(stage: Stage) -> int:
    """Wrong codes from many addresses, and a right one whose device is used and removed."""
    bob = stage.bob
    for _ in range(4):
        somewhere = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.1"
        got = send_form(bob, "0000-0000-0000", from_the_page(bob), HTML, came_from=somewhere)
        _hold(got.status, 403, 429)
    paired = send_form(bob, new_codes(bob).link, from_the_page(bob), HTML)
    _hold(paired.status, 303)
    cookie = ("Cookie", f"{NAME}={token_of(paired)}")
    with RawConnection(bob.public) as wire:
        for _ in range(3):
            _ask(wire, request("GET", "/", ("Host", bob.app_host("mine")), cookie))
    remove(bob, terminals(bob)[-1].id)
    return 8


def peers(stage: Stage) -> int:
    """A contact is added, calls, is removed, and is refused."""
    bob, key = stage.bob, new_key()
    added: Contact = contact(key.public.portal_id, "Guest", 9, 9)
    store = ContactStore(bob.state / "contacts.yaml", DOMAIN)
    store.change(lambda before: with_contact(before, added))
    asked = _until(stage, key, 200)
    store.change(lambda before: without_contact(before, added.id))
    return asked + _until(stage, key, 403)


def _until(stage: Stage, key: PrivateKey, status: int) -> int:
    for asked in range(1, 1000):
        with RawConnection(stage.bob.public) as wire:
            wire.send(sign_call(key, stage.bob, "wide").raw)
            if wire.read().status == status:
                return asked
        time.sleep(0.1)
    raise Wrong(f"the contact list isn't followed: {status} never came")


def signed(stage: Stage) -> int:
    """Signed calls with small bodies."""
    with RawConnection(stage.bob.public) as wire:
        for _ in range(_KEPT):
            _ask(wire, sign_call(stage.cleo, stage.bob, "wide", b"/", body=b"x" * 500).raw)
    return _KEPT


def sealed(stage: Stage) -> int:
    """Sealed calls by way of Eda; each is a request to her and one to Bob."""
    token = ("Portal-Token", stage.eda.token("wide"))
    target = f"/internal/call_peer/{stage.bob.id}/x"
    with RawConnection(stage.eda.apps) as wire:
        for size in (0, 500, 100_000) * 3:
            _ask(wire, request("PUT", target, ("Host", "a"), token, body=b"x" * size))
    return 9


def leaving(stage: Stage) -> int:
    """Clients that leave: in a head, in a body, before the response, in the handshake."""
    host = ("Host", stage.bob.app_host("site"))
    for begun in (
        b"GET / HT",
        request("PUT", "/", host, ("Content-Length", "100000")) + bytes(5000),
        request("GET", "/", host),
        handshake(stage.bob.app_host("site"), "/socket"),
        sign_call(stage.cleo, stage.bob, "wide", b"/", method=b"PUT", body=_BODY).raw[:-1],
    ):
        with RawConnection(stage.bob.public) as wire:
            wire.send(begun)
    return 5


def _ask(wire: RawConnection, raw: bytes) -> None:
    wire.send(raw)
    _hold(wire.read().status, 200)


def _hold(status: int, *due: int) -> None:
    if status not in due:
        raise Wrong(f"{status} came where {due} was due")


class Load:
    """Runs kinds of load at once, each in a thread, and counts."""

    def __init__(self, stage: Stage) -> None:
        self._kinds = kinds(stage)
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self, names: Collection[str], seconds: float) -> int:
        """Run these for so long; returns how many requests that was."""
        before, end = self.done.total(), time.monotonic() + seconds
        threads = [threading.Thread(target=self._repeat, args=(name, end)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.done.total() - before

    def _repeat(self, name: str, end: float) -> None:
        while time.monotonic() < end:
            try:
                self.done[name] += self._kinds[name]()
            except (Wrong, OSError, EOFError, AssertionError) as error:
                self.failures.append(f"{name}: {error!r:.300}")
