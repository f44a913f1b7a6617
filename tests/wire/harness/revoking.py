"""Bob, whom Ada calls signed and Eda sealed; what runs between them, and what may be removed."""

from __future__ import annotations

import base64
import hashlib
import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from proxy.core.access.policy import Contact, Mode
from proxy.core.terminals.cookie import cookie_name
from proxy.core.terminals.terminals import Terminal, TerminalList, terminal_id, token_digest
from proxy.state.terminals import TerminalStore
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.puppet import EVENT, EVENTS, LAST, Puppet, Visit
from tests.wire.harness.raw import RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.sealer import SealedPeer
from tests.wire.harness.signer import FakePeer

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = "broken off"
WHOLE = "whole"
APPS = ("live", "other")
SITES = ("site", "yard")
HOME = "home"
TERMINALS = ("tablet", "phone")
_WIDE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}'
_OPEN = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'
_CLOSED = '{"v": "3.2", "port": 80, "paths": {"": {"access": "private"}}}'
_NUMBERS = count()


class Refused(Exception):
    """The request didn't reach the app."""


@dataclass(frozen=True)
class Exchange:
    """One that runs: what it does, and its two ends."""

    deed: str
    wire: RawConnection
    visit: Visit

    def seen(self) -> str:
        """Return what its caller sees of its end."""
        try:
            got = self.wire.read()
        except EOFError:
            return BROKEN
        return WHOLE if got.status == 200 else f"{got.status} {got.json()['code']}"

    def goes_on(self) -> bool:
        """Bring it to its end; tell whether that is a good one."""
        if self.deed == "uploads":
            self.wire.send(LAST)
            self.visit.wire.until(LAST)
        if self.deed == "listens":
            self.visit.wire.send(EVENT + LAST)
            self.visit.over.set()
        else:
            self.visit.response()
        return self.seen() == WHOLE


@dataclass(frozen=True)
class Stage:
    """The cast; ``app`` is behind every app of Bob's."""

    bob: Portal
    ada: Portal
    eda: Portal
    app: Puppet
    fake: FakePeer
    peer: SealedPeer
    opened: list[RawConnection] = field(default_factory=list)

    def dial(self, port: int, kind: type[RawConnection] = RawConnection) -> RawConnection:
        """Open a connection that is closed at the end of the test."""
        self.opened.append(wire := kind(port))
        return wire

    def clear(self) -> None:
        """Close what was opened."""
        while self.opened:
            self.opened.pop().socket.close()

    def caller(self, mode: Mode) -> Portal:
        return self.ada if mode == "signed" else self.eda

    # What runs.

    def stranger(self, deed: str, app: str = "site", wire: RawConnection | None = None) -> Exchange:
        """Begin a stranger's request at one of Bob's apps."""
        wire = wire or self.dial(self.bob.public)
        return self._begin(wire, deed, "", ("Host", self.bob.app_host(app)), arrives=True)

    def terminal(self, name: str, deed: str) -> Exchange:
        """Begin a request of one of Bob's own devices at his private app."""
        fields = (("Host", self.bob.app_host(HOME)), cookie_of(name))
        return self._begin(self.dial(self.bob.public), deed, "", *fields, arrives=True)

    def call(self, portal: Portal, deed: str, app: str = "live") -> Exchange:
        """Begin a call of an app's to the same app of Bob's."""
        fields = (("Host", "portal_core"), ("Portal-Token", portal.token(app)))
        before = f"/internal/call_peer/{self.bob.id}"
        is_streamed = portal is self.eda
        return self._begin(self.dial(portal.apps), deed, before, *fields, arrives=is_streamed)

    def _begin(
        self, wire: RawConnection, deed: str, before: str, *fields: tuple[str, str], arrives: bool
    ) -> Exchange:
        path = f"/{deed}/{next(_NUMBERS)}"
        if deed == "uploads":
            chunked = ("Transfer-Encoding", "chunked")
            wire.send(request("POST", before + path, *fields, chunked) + b"2\r\nab\r\n")
        else:
            wire.send(request("GET", before + path, *fields))
        begun = Exchange(deed, wire, self.meet(wire, path))
        if deed == "uploads":
            begun.visit.wire.until(b"ab\r\n")
        elif deed == "listens":
            begun.visit.wire.send(EVENTS + EVENT)
            if arrives:
                wire.put_back(wire.until(EVENT))
        return begun

    def meet(self, wire: RawConnection, path: str) -> Visit:
        """Wait for the visit that was sent by ``wire``; raises ``Refused`` for a response."""

        def is_answered() -> bool:
            return bool(select.select([wire.socket], [], [], 0)[0])

        eventually(lambda: path in self.app.visits or is_answered())
        if path not in self.app.visits:
            raise Refused(wire.read())
        return self.app.visits.pop(path)

    # What may be removed, each in the files alone.

    def settle(self) -> None:
        """Put everything in its place, and wait until all of it works."""
        for name in (*APPS, *SITES, HOME):
            restore_app(self.bob, name, self.app.port)
        for portal in (self.ada, self.eda):
            for name in APPS:
                restore_app(portal, name, self.app.port)
        self.pair(*TERMINALS)
        self.bob_knows(self.ada, self.eda)
        self.knows(self.ada)
        self.knows(self.eda)
        begins = [partial(self.stranger, "waits", site) for site in SITES]
        begins += [partial(self.terminal, name, "waits") for name in TERMINALS]
        begins += [partial(self.call, portal, "waits", app)
                   for portal in (self.ada, self.eda) for app in APPS]  # fmt: skip
        for begin in begins:
            eventually(partial(_works, begin))

    def await_app(self, *names: str) -> None:
        """Wait until Bob's proxy knows these apps."""

        def is_known(name: str) -> bool:
            got = exchange(self.bob.public, request("GET", "/x", ("Host", self.bob.app_host(name))))
            return b"no_such_app" not in got.body

        for name in names:
            eventually(lambda: is_known(name))  # noqa: B023 - asked at once

    def pair(self, *names: str) -> None:
        """Make these Bob's terminals, and no others."""
        now = int(time.time())
        paired = TerminalList(
            tuple(Terminal(_id_of(name), name, token_digest(_token_of(name).encode()), now, now)
                  for name in names)
        )  # fmt: skip
        TerminalStore(self.bob.state / "terminals.yaml").change(lambda _: paired)

    def bob_knows(self, *callers: Portal, hidden: Portal | None = None) -> None:
        """Write Bob's contacts, one of them hidden from the app ``live``."""
        ids = frozenset(each.id for each in callers)
        apps = {"live": ids - {hidden.id} if hidden else ids, "other": ids}
        self.bob.knows(*(each.as_contact() for each in callers), apps=apps)

    def others_contact(self, portal: Portal) -> Contact:
        """Return the contact that a caller has beside Bob."""
        peer = self.fake if portal is self.ada else self.peer
        mode: Mode = "signed" if portal is self.ada else "sealed"
        return contact(peer.key.public.portal_id, "Twin", peer.port, peer.port, mode)

    def knows(self, portal: Portal, *, bob: bool = True, hidden: str = "") -> None:
        """Write a caller's contacts: Bob, hidden from one app, and another one."""
        mode: Mode = "signed" if portal is self.ada else "sealed"
        twin, bobs = self.others_contact(portal), self.bob.as_contact(mode=mode)
        known = (bobs, twin) if bob else (twin,)
        ids = frozenset(each.id for each in known)
        apps = {app: ids - {self.bob.id} if app == hidden else ids for app in APPS}
        portal.knows(*known, apps=apps)


def _works(begin: Callable[[], Exchange]) -> bool:
    try:
        return begin().goes_on()
    except Refused:
        return False


def _id_of(name: str) -> str:
    return terminal_id(name.encode())


def _token_of(name: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")


def cookie_of(name: str) -> tuple[str, str]:
    """Return the field with which a terminal shows that it is one."""
    return "Cookie", f"{cookie_name(secure=False).decode()}={_token_of(name)}"


def restore_app(portal: Portal, name: str, port: int) -> None:
    """Put an app in its place, if it isn't there."""
    if not (portal.config / "apps" / name).exists():
        manifests = {HOME: _CLOSED, **dict.fromkeys(APPS, _WIDE)}
        portal.add_app(name, manifests.get(name, _OPEN), port)


def remove_app(portal: Portal, name: str) -> None:
    """Take an app's files away, at one moment."""
    folder = portal.config / "apps" / name
    folder.rename(gone := portal.folder / "gone")
    shutil.rmtree(gone)


@contextmanager
def on_stage(folder: Path, bobs: type[Portal] = Portal) -> Iterator[Stage]:
    """Give the cast; ``bobs`` is how Bob's Portal is served."""
    with ExitStack() as stack:
        app = stack.enter_context(Puppet())
        fake, peer = stack.enter_context(FakePeer()), stack.enter_context(SealedPeer())
        bob = bobs(folder / "bob", "Bob")
        ada, eda = (Portal(folder / name.lower(), name) for name in ("Ada", "Eda"))
        for portal in (bob, ada, eda):
            stack.callback(portal.release)
            (portal.config / "apps").mkdir()
        stage = Stage(bob, ada, eda, app, fake, peer)
        for name in (*APPS, *SITES, HOME):
            restore_app(bob, name, app.port)
        for portal in (ada, eda):
            for name in APPS:
                restore_app(portal, name, app.port)
        for portal in (bob, ada, eda):
            portal.start()
        yield stage
        stage.clear()
        for portal in (bob, ada, eda):
            assert portal.MISTAKE not in portal.log, portal.log
