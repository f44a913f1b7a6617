"""Limits on rates: a network's, a peer's and an app's, each with what it leaves alone.

The rates are so slow that nothing comes back while a test runs: what is left of a burst is exact.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.access.policy import MODES, Mode
from proxy.core.identity import PrivateKey
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.portals import Portal, contact, reserve_port
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import FakePeer, new_key, sign_call
from tests.wire.harness.sockets import handshake
from tests.wire.harness.terminals import HTML, PAIR, pair
from tests.wire.test_metrics import told
from tests.wire.test_reload_settings import change, process_of

ONE, OTHER = "127.0.0.9", "127.0.0.8"
WHOAREYOU = "/core/public/meta/whoareyou"
MODE = pytest.mark.parametrize("mode", MODES)


class Stage:
    """Gina, whose app ``site`` is open to everybody, and two who have only a key."""

    def __init__(self, portal: Portal, app: Recorder) -> None:
        self.portal, self.app = portal, app
        self.cleo, self.dora = new_key(), new_key()

    def ask(self, came_from: str = ONE, *fields: tuple[str, str], path: str = "/") -> Raw:
        host = ("Host", self.portal.app_host("site"))
        return send(self.portal, request("GET", path, host, *fields), came_from)

    def ask_portal(self, path: str, came_from: str = ONE) -> Raw:
        return send(self.portal, request("GET", path, ("Host", self.portal.host)), came_from)

    def call(
        self, mode: Mode, key: PrivateKey, app: str | None = "site", path: bytes = b"/"
    ) -> Callable[[], Raw]:
        """Return what sends one call of ``key``'s, the same bytes each time."""
        if mode == "sealed":
            sender = Sender(key, self.portal)
            raw = sender.around(sender.whole(sender.head(app, path)))
            return lambda: sender.opened(send(self.portal, raw))
        call = sign_call(key, self.portal, app, path)

        def sent() -> Raw:
            got = send(self.portal, call.raw)
            assert call.believes(got, self.portal.id)
            return got

        return sent

    def passing(self, ask: Callable[[], Raw], tries: int = 12) -> int:
        """Return how many of some requests are let through: the first ones."""
        let_in = [is_let_in(ask()) for _ in range(tries)]
        assert let_in == sorted(let_in, reverse=True)
        return sum(let_in)

    def calls(self, mode: Mode, key: PrivateKey, tries: int = 12) -> int:
        """Do the same with calls, each another one."""

        def another() -> Raw:
            call = self.call(mode, key)
            return call()

        return self.passing(another, tries)

    def set_limits(self, limits: str) -> None:
        """Write other limits, and have them taken over."""
        told = self.portal.log.count("hold from now on")
        change(self.portal, limits=f"limits: {{{limits}}}")
        os.kill(process_of(self.portal), signal.SIGHUP)
        workers = self.portal.workers
        eventually(lambda: self.portal.log.count("hold from now on") >= told + workers)


def send(portal: Portal, raw: bytes, came_from: str = ONE) -> Raw:
    with RawConnection(portal.public, came_from) as wire:
        wire.send(raw)
        return wire.read()


def is_let_in(got: Raw) -> bool:
    if got.status == 429:
        assert got.code == "rate_limited"
        assert 1 <= int(got.one("retry-after")) <= 60
        return False
    assert got.status == 200, got
    return True


@pytest.fixture
def stage(gina: Portal, app: Recorder) -> Iterator[Stage]:
    stage = Stage(gina, app)
    holder, refusing = reserve_port()
    with holder:
        keys = (stage.cleo.public.portal_id, stage.dora.public.portal_id)
        gina.knows(
            *(contact(each, "Key", refusing, refusing) for each in keys), apps={"site": "all"}
        )
        gina.start()
        yield stage
        gina.stop()
    assert Portal.MISTAKE not in gina.log, gina.log


def limited(**limits: str) -> pytest.MarkDecorator:
    """Have Gina's portal.yaml say so."""
    text = ", ".join(f"{key}: {value}" for key, value in limits.items())
    line = f"accept: [sealed, signed]\nlimits: {{{text}}}\n"
    return pytest.mark.parametrize("settings", [line])


# Networks.


@limited(rate_per_client="1/m burst 3")
def test_strangers_of_a_network_that_is_too_fast_are_refused(stage: Stage) -> None:
    assert stage.passing(stage.ask) == 3
    assert len(stage.app.requests) == 3
    for path in ("/", WHOAREYOU, PAIR, "/nothing"):
        assert not is_let_in(stage.ask_portal(path))
    socket = send(stage.portal, handshake(stage.portal.app_host("site"), "/"))
    assert not is_let_in(socket)
    page = stage.ask(ONE, HTML)
    assert page.status == 429
    assert page.one("retry-after")
    assert b"<code>rate_limited</code>" in page.body
    assert stage.passing(lambda: stage.ask(OTHER)) == 3
    stage.portal.settled_log()
    line = stage.portal.lines(code="rate_limited")[0]
    assert (line["outcome"], line["status"], line["client"]) == ("refused", 429, ONE)
    assert line["detail"] == f"{ONE}: more than 1/m burst 3 (limits.rate_per_client)"


@limited(rate_per_client="1/m burst 3")
def test_a_cookie_that_is_no_device_s_helps_nobody(stage: Stage) -> None:
    assert stage.passing(lambda: stage.ask(ONE, ("Cookie", "portal-terminal=x"))) == 3
    assert not is_let_in(stage.ask())


@limited(rate_per_client="1/m burst 3")
def test_peers_and_devices_come_in_from_a_network_that_is_too_fast(stage: Stage) -> None:
    phone = pair(stage.portal)
    assert stage.passing(stage.ask) == 3
    assert stage.passing(lambda: stage.ask(ONE, phone.cookie)) == 12
    for mode in MODES:
        assert is_let_in(stage.call(mode, stage.cleo)())


@limited(rate_per_client="1/m burst 3")
def test_a_peer_gets_the_identity_document_from_a_network_that_is_too_fast(stage: Stage) -> None:
    """Without it there is no sealed call, and it is asked for by nobody in particular."""
    assert stage.passing(stage.ask) == 3
    document = "/.well-known/portal-identity"
    assert stage.passing(lambda: stage.ask_portal(document)) == 12
    assert not is_let_in(stage.ask(ONE))


@limited(rate_per_client="1/m burst 3")
def test_an_envelope_around_what_nobody_signed_is_refused_as_ever(stage: Stage) -> None:
    sender = Sender(stage.cleo, stage.portal)
    raw = sender.around(sender.whole(sender.unsigned("site", b"/")))
    assert stage.passing(stage.ask) == 3
    assert sender.opened(send(stage.portal, raw)).code == "proof_required"


# Peers.


@limited(rate_per_peer="1/m burst 3")
@MODE
def test_a_peer_that_is_too_fast_is_refused_in_both_modes_and_nobody_else(
    stage: Stage, mode: Mode
) -> None:
    assert stage.calls(mode, stage.cleo) == 3
    for other in MODES:
        for app in ("site", None):
            path = b"/" if app else WHOAREYOU.encode()
            assert not is_let_in(stage.call(other, stage.cleo, app, path)())
    assert len(stage.app.requests) == 3
    assert stage.calls(mode, stage.dora) == 3
    assert stage.passing(stage.ask) == 12
    stage.portal.settled_log()
    line = stage.portal.lines(code="rate_limited", mode=mode)[0]
    assert line["detail"].startswith(f"{stage.cleo.public.portal_id}: more than 1/m burst 3 ")


@limited(rate_per_peer="1/m burst 3")
@MODE
def test_a_call_that_came_too_early_has_spent_nothing(stage: Stage, mode: Mode) -> None:
    assert stage.calls(mode, stage.cleo) == 3
    call = stage.call(mode, stage.cleo)
    assert not is_let_in(call())
    assert not is_let_in(call())
    stage.set_limits("rate_per_peer: off")
    assert is_let_in(call()), "the same bytes, later"
    assert call().code == "replayed"


@limited(rate_per_peer="1/m burst 3")
@MODE
def test_copies_of_a_call_take_nothing_from_its_peer(stage: Stage, mode: Mode) -> None:
    call = stage.call(mode, stage.cleo)
    assert is_let_in(call())
    for _ in range(10):
        assert call().code == "replayed"
    assert stage.calls(mode, stage.cleo) == 2


@limited(rate_per_peer="1/m burst 3")
@MODE
def test_what_others_send_in_a_peer_s_name_takes_nothing_from_it(stage: Stage, mode: Mode) -> None:
    for _ in range(10):
        forged = sign_call(stage.cleo, stage.portal, "site", b"/x").raw.replace(b"/x ", b"/y ", 1)
        assert send(stage.portal, forged).code == "signature_invalid"
    assert stage.calls(mode, stage.cleo) == 3


# Apps.


@limited(rate_per_app="1/m burst 16")
def test_strangers_leave_something_of_an_app_to_peers_and_devices(stage: Stage) -> None:
    phone = pair(stage.portal)
    assert stage.passing(stage.ask, 20) == 12
    assert not is_let_in(stage.ask(OTHER))
    assert not is_let_in(send(stage.portal, handshake(stage.portal.app_host("site"), "/")))
    assert stage.calls("signed", stage.cleo) == 2
    assert not is_let_in(stage.call("sealed", stage.dora)())
    assert stage.passing(lambda: stage.ask(ONE, phone.cookie)) == 2
    assert stage.ask_portal(WHOAREYOU).status == 200
    stage.portal.settled_log()
    line = stage.portal.lines(code="rate_limited")[0]
    assert line["detail"] == "site: more than 1/m burst 16 (limits.rate_per_app)"


@limited(rate_per_peer="1/m burst 2", rate_per_app="1/m burst 4")
def test_an_app_that_calls_too_often_is_refused_before_anything_is_sent(
    gina: Portal, app: Recorder
) -> None:
    gina.add_app("other", WIDE, app.port)
    with FakePeer() as one, FakePeer() as two:
        peers = [contact(each.key.public.portal_id, "Fake", each.port, each.port)
                 for each in (one, two)]  # fmt: skip
        gina.knows(*peers, apps={"site": "all", "other": "all"})
        gina.start()

        def call(of: str, peer: FakePeer) -> Raw:
            own = (("Host", "portal_core"), ("Portal-Token", gina.token(of)))
            path = f"/internal/call_peer/{peer.key.public.portal_id}/x"
            return exchange(gina.apps, request("GET", path, *own))

        def peers_of(of: str) -> Raw:
            own = (("Host", "portal_core"), ("Portal-Token", gina.token(of)))
            return exchange(gina.apps, request("GET", "/protected/peers", *own))

        assert [call("site", one).status for _ in range(3)] == [200, 200, 429]
        refused = call("site", one)
        assert not is_let_in(refused)
        assert refused.one("portal-refusal") == b"rate_limited"
        assert len(one.asked) == 2
        assert is_let_in(call("site", two))
        assert is_let_in(peers_of("site"))
        assert not is_let_in(peers_of("site"))
        assert not is_let_in(call("site", two))
        assert len(two.asked) == 1
        assert is_let_in(call("other", one))
        got = exchange(gina.public, request("GET", "/", ("Host", gina.app_host("site"))))
        assert got.status == 200, "what an app is asked is another matter"
        eventually(lambda: gina.lines(listener="apps", app="site", code="rate_limited"))


@MODE
def test_an_app_is_told_that_its_peer_is_called_too_often(
    tmp_path: Path, app: Recorder, mode: Mode
) -> None:
    accept = "accept: [sealed, signed]\n"
    with ExitStack() as stack:
        mona = Portal(tmp_path / "mona", "Mona")
        settings = f"{accept}limits: {{rate_per_peer: 1/m burst 1}}\n"
        nora = Portal(tmp_path / "nora", "Nora", settings=settings)
        mona.knows(nora.as_contact(mode=mode), apps={"wide": "all"})
        nora.knows(mona.as_contact(), apps={"wide": "all"})
        for portal in (mona, nora):
            stack.callback(portal.release)
            portal.add_app("wide", WIDE, app.port)
            portal.start()
        path = f"/internal/call_peer/{nora.id}/x"
        own = (("Host", "portal_core"), ("Portal-Token", mona.token("wide")))
        raw = request("POST", path, *own, body=b"hello")
        assert exchange(mona.apps, raw).status == 200
        refused = exchange(mona.apps, raw)
        assert not is_let_in(refused)
        assert not refused.all("portal-refusal"), "which would say that it was Mona's own"
        assert refused.all("portal-peer-refusal") == [b"rate_limited"]
        assert len(app.requests) == 1
        eventually(lambda: mona.lines(peer_code="rate_limited", status=429, outcome="answered"))
        assert Portal.MISTAKE not in mona.log + nora.log


# All workers, and a running proxy.


def test_a_rate_is_one_of_all_workers_and_can_be_set_while_they_run(
    tmp_path: Path, app: Recorder
) -> None:
    settings = "accept: [sealed, signed]\nlimits: {}\n"
    portal = Portal(tmp_path / "wanda", "Wanda", settings=settings, workers=4)
    portal.add_app("site", SITE, app.port)
    try:
        portal.start()
        eventually(lambda: portal.log.count("owner listener:") == portal.workers)
        stage = Stage(portal, app)
        assert stage.passing(stage.ask, 40) == 40
        stage.set_limits("rate_per_client: 1/m burst 20")
        assert stage.passing(stage.ask, 30) == 20
        assert stage.passing(lambda: stage.ask(OTHER), 30) == 20
        stage.set_limits("rate_per_client: off")
        assert stage.passing(stage.ask, 30) == 30
        eventually(lambda: told(portal, "requests_total", code="rate_limited") == 20)
    finally:
        portal.release()
    assert Portal.MISTAKE not in portal.log, portal.log
