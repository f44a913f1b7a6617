"""Limits on connections: in all and from one address, on plain TCP and behind TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_tls import Secure, secure

IN_ALL, EACH = 6, 3
LIMITS = f"limits: {{connections: {IN_ALL}, connections_per_address: {EACH}}}\n"
ONE, OTHER, THIRD, TRUSTED = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.9"
TLS = """\
tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}
timeouts: {head: 10m}
"""


@pytest.fixture(scope="module")
def app() -> Iterator[Recorder]:
    with Recorder() as app:
        yield app


@pytest.fixture(scope="module")
def mona_(tmp_path_factory: pytest.TempPathFactory, app: Recorder) -> Iterator[Portal]:
    settings = f"{LIMITS}trusted_proxies: [{TRUSTED}]\n"
    portal = Portal(tmp_path_factory.mktemp("mona"), "Mona", settings=settings)
    portal.add_app("site", SITE, app.port)
    yield portal.start()
    portal.release()
    assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture
def mona(mona_: Portal) -> Portal:
    """A Portal with room again, wherever the tests before came from."""
    for source in (ONE, OTHER, THIRD):
        eventually(lambda source=source: status(mona_, source) == 200)  # type: ignore[misc]
    return mona_


def ask(portal: Portal, wire: RawConnection) -> Raw:
    wire.send(request("GET", "/", ("Host", portal.app_host("site"))))
    return wire.read()


def status(portal: Portal, source: str) -> int:
    with RawConnection(portal.public, source) as wire:
        return ask(portal, wire).status


def keep(portal: Portal, stack: ExitStack, source: str, number: int) -> list[RawConnection]:
    """Open so many connections, each of which has had a response."""
    wires = []
    for _ in range(number):

        def one_more() -> bool:
            wire = RawConnection(portal.public, source)
            if ask(portal, wire).status == 200:
                wires.append(stack.enter_context(wire))
                return True
            wire.socket.close()
            return False

        # One that was closed just now may still be counted.
        eventually(one_more)
    return wires


def refused(wire: RawConnection) -> Raw:
    """Return the response to a connection that is one too many; it ends behind it."""
    got = wire.read()
    assert (got.status, got.code) == (503, "too_many_connections")
    assert got.one("retry-after") == b"5"
    assert got.one("connection") == b"close"
    assert got.one("portal-refusal") == b"too_many_connections"
    assert wire.rest() == b""
    return got


def test_one_address_has_its_share_and_others_theirs(mona: Portal) -> None:
    with ExitStack() as stack:
        kept = keep(mona, stack, ONE, EACH)
        for _ in range(3):
            with RawConnection(mona.public, ONE) as wire:
                refused(wire)
        assert status(mona, OTHER) == 200
        assert all(ask(mona, wire).status == 200 for wire in kept), "and those that are there go on"
        kept.pop().socket.close()
        keep(mona, stack, ONE, 1)
        with RawConnection(mona.public, ONE) as wire:
            refused(wire)


def test_whoever_is_refused_is_told_even_if_it_has_asked(mona: Portal) -> None:
    with ExitStack() as stack:
        keep(mona, stack, ONE, EACH)
        for body in (b"", b"x" * 300_000):
            with RawConnection(mona.public, ONE) as wire:
                wire.send(request("POST", "/", ("Host", mona.app_host("site")), body=body))
                refused(wire)


def test_all_have_a_bound_together(mona: Portal) -> None:
    with ExitStack() as stack:
        keep(mona, stack, ONE, EACH)
        last = keep(mona, stack, OTHER, IN_ALL - EACH)[-1]
        with RawConnection(mona.public, THIRD) as wire:
            refused(wire)
        health = request("GET", "/health", ("Host", "localhost"))
        with RawConnection(mona.owner, THIRD) as wire:
            wire.send(health)
            assert wire.read().status == 200, "each listener counts for itself"
        last.socket.close()
        keep(mona, stack, THIRD, 1)


def test_a_trusted_web_server_has_no_bound_of_its_own(mona: Portal) -> None:
    with ExitStack() as stack:
        keep(mona, stack, TRUSTED, EACH + 2)
        keep(mona, stack, ONE, 1)
        with RawConnection(mona.public, TRUSTED) as wire:
            refused(wire)


def test_at_the_apps_listener_nobody_is_a_trusted_web_server(mona: Portal) -> None:
    with ExitStack() as stack:
        whoareyou = request("GET", "/public/meta/whoareyou", ("Host", "portal_core"))
        for _ in range(EACH):
            wire = stack.enter_context(RawConnection(mona.apps, TRUSTED))
            wire.send(whoareyou)
            assert wire.read().status == 200
        with RawConnection(mona.apps, TRUSTED) as wire:
            refused(wire)


def test_a_connection_that_never_asks_has_its_place_and_gives_it_back(mona: Portal) -> None:
    with ExitStack() as stack:
        for _ in range(EACH):
            stack.enter_context(RawConnection(mona.public, ONE))
        eventually(lambda: status(mona, ONE) == 503)
    eventually(lambda: status(mona, ONE) == 200)


def test_a_crowd_of_refused_is_told_or_closed_and_holds_nobody_up(mona: Portal) -> None:
    with ExitStack() as stack:
        keep(mona, stack, ONE, EACH)
        limiter = [stack.enter_context(RawConnection(mona.public, ONE)) for _ in range(200)]
        assert status(mona, OTHER) == 200
        responses = [wire.rest() for wire in limiter]
        assert all(text.startswith(b"HTTP/1.1 503 ") for text in responses if text)
        assert sum(map(bool, responses)) >= 64
        with RawConnection(mona.public, ONE) as wire:
            refused(wire)


def test_the_log_tells_of_them_but_not_of_each(mona: Portal) -> None:
    with ExitStack() as stack:
        keep(mona, stack, ONE, EACH)
        for _ in range(20):
            with RawConnection(mona.public, ONE) as wire:
                refused(wire)
    told = [json.loads(line) for line in mona.log.splitlines() if "turns connections away" in line]
    listeners = {line["message"] for line in told}
    why = f"there are {EACH} connections from {ONE}"
    assert f"the public listener turns connections away: {why}" in listeners
    assert len(told) < 15


@pytest.fixture
def nora(tmp_path: Path, app: Recorder) -> Iterator[Portal]:
    """The same, with TLS."""
    portal = secure(Portal(tmp_path, "Nora", settings=LIMITS + TLS))
    portal.add_app("site", SITE, app.port)
    yield portal.start()
    portal.release()
    assert portal.MISTAKE not in portal.log, portal.log


def keep_secure(portal: Portal, stack: ExitStack, number: int) -> None:
    """Open so many connections with TLS, each of which has had a response."""
    for _ in range(number):

        def one_more() -> bool:
            wire = Secure(portal)
            if ask(portal, wire).status == 200:
                stack.enter_context(wire)
                return True
            wire.socket.close()
            return False

        eventually(one_more)


def test_behind_tls_it_is_told_too(nora: Portal) -> None:
    with ExitStack() as stack:
        keep_secure(nora, stack, EACH)
        with Secure(nora) as wire:
            refused(wire)
    with ExitStack() as stack:
        keep_secure(nora, stack, EACH)


def test_a_handshake_of_one_too_many_isn_t_waited_for_long(nora: Portal) -> None:
    with ExitStack() as stack:
        keep_secure(nora, stack, EACH)
        silent = [stack.enter_context(RawConnection(nora.public, ONE)) for _ in range(70)]
        assert all(wire.rest() == b"" for wire in silent)
        with Secure(nora) as wire:
            refused(wire)


def test_a_handshake_that_fails_gives_its_place_back(nora: Portal) -> None:
    with ExitStack() as stack:
        for _ in range(2 * EACH):
            wire = stack.enter_context(RawConnection(nora.public, ONE))
            wire.send(b"GET / HTTP/1.1\r\n\r\n")
            wire.rest()
        keep_secure(nora, stack, EACH)
