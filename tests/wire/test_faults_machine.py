"""A machine that lets the proxy down: names that don't resolve, and no descriptors left."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.config.timeouts import GRACE
from tests.patience import soon
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.troubled import Resolving

if TYPE_CHECKING:
    from proxy.core.access.policy import Mode

pytestmark = pytest.mark.more

SOON = 5.0


@pytest.fixture
def nadia(tmp_path: Path, app: Recorder) -> Iterator[Resolving]:
    """A Portal whose apps are found by name, as containers are; one is found by address."""
    portal = Resolving(tmp_path / "nadia", "Nadia")
    portal.add_app("site", SITE, app.port)
    for name in ("here", "gone"):
        portal.add_app(name, SITE, app.port)
        settings = portal.config / "apps" / name / "proxy.yaml"
        settings.write_text(f"upstream: http://{name}.internal:{app.port}\n")
    portal.set_names(**{"here.internal": "127.0.0.1"})
    portal.start()
    yield portal
    portal.stop(signal.SIGKILL)
    portal.release()
    assert "Traceback" not in portal.log, portal.log


def ask(portal: Portal, app: str) -> bytes:
    return request("GET", "/", ("Host", portal.app_host(app)))


def outcome(got: Raw) -> str:
    return "ok" if got.status == 200 else f"{got.status} {got.code}"


def test_an_app_whose_name_is_unknown_is_unreachable_until_it_is_known(nadia: Resolving) -> None:
    assert outcome(exchange(nadia.public, ask(nadia, "here"))) == "ok"
    assert outcome(exchange(nadia.public, ask(nadia, "gone"))) == "502 app_unreachable"

    nadia.set_names(**{"gone.internal": "127.0.0.1"})

    assert outcome(exchange(nadia.public, ask(nadia, "gone"))) == "ok"


def test_without_a_resolver_apps_with_an_address_are_served(nadia: Resolving) -> None:
    nadia.set_names()

    assert outcome(exchange(nadia.public, ask(nadia, "here"))) == "502 app_unreachable"
    assert outcome(exchange(nadia.public, ask(nadia, "site"))) == "ok"


@contextmanager
def unanswered(portal: Resolving) -> Iterator[None]:
    """Have forty strangers ask for an app about whose name the resolver is silent."""
    portal.set_names(**{"here.internal": "127.0.0.1", "gone.internal": "silence"})
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(RawConnection(portal.public)).send(ask(portal, "gone"))
        yield


def test_a_name_that_gets_no_response_holds_no_other_app_up(nadia: Resolving) -> None:
    with unanswered(nadia):
        start = time.monotonic()

        assert outcome(exchange(nadia.public, ask(nadia, "site"))) == "ok"
        assert outcome(exchange(nadia.public, ask(nadia, "here"))) == "ok"

        assert time.monotonic() - start < soon(SOON)


def test_a_name_that_gets_no_response_doesnt_keep_the_proxy_running(nadia: Resolving) -> None:
    with unanswered(nadia):
        assert outcome(exchange(nadia.public, ask(nadia, "site"))) == "ok"
        start = time.monotonic()

        assert nadia.stop() == 0

        assert time.monotonic() - start < GRACE + soon(SOON)


@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_a_peer_whose_name_is_unknown_is_unreachable_until_it_is_known(
    nadia: Resolving, app: Recorder, tmp_path: Path, mode: Mode
) -> None:
    friend = Portal(tmp_path / "friend", "Friend")
    try:
        friend.add_app("site", SITE, app.port)
        friend.knows(nadia.as_contact(), apps={"site": "all"})
        peer = replace(friend.as_contact(mode=mode), connect="")
        known = nadia.log.count("the contact list changed")
        nadia.knows(peer, apps={"site": "all"})
        eventually(lambda: nadia.log.count("the contact list changed") > known)
        friend.start()
        fields = (("Host", "portal_core"), ("Portal-Token", nadia.token("site")))
        call = request("POST", f"/internal/call_peer/{friend.id}/", *fields, body=b"once")

        assert outcome(exchange(nadia.apps, call)) == "502 peer_unreachable"

        nadia.set_names(**dict.fromkeys(hosts(friend), "127.0.0.1"))
        assert outcome(exchange(nadia.apps, call)) == "ok"
    finally:
        friend.release()


def hosts(portal: Portal) -> tuple[str, ...]:
    """Return the names under which a Portal and its app are looked for."""
    return tuple(host.partition(":")[0] for host in (portal.host, portal.app_host("site")))


class Process:
    """What the system knows of a running proxy."""

    def __init__(self, portal: Portal) -> None:
        assert portal._process is not None
        self._pid = portal._process.pid

    @property
    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._pid}/fd").iterdir())

    @property
    def seconds(self) -> float:
        """How long it has computed."""
        fields = Path(f"/proc/{self._pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def allow(self, descriptors: int) -> None:
        """Let it open so many descriptors in all."""
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))


@pytest.fixture
def fay(tmp_path: Path, app: Recorder) -> Iterator[Portal]:
    portal = Portal(tmp_path / "fay", "Fay")
    portal.add_app("site", SITE, app.port)
    yield portal.start()
    portal.release()


def test_without_descriptors_it_waits_and_recovers(fay: Portal) -> None:
    process = Process(fay)
    assert outcome(exchange(fay.public, ask(fay, "site"))) == "ok"
    process.allow(process.descriptors + 30)
    with ExitStack() as stack:
        first = stack.enter_context(RawConnection(fay.public))
        limiter = [stack.enter_context(RawConnection(fay.public)) for _ in range(100)]
        eventually(lambda: process.descriptors >= 40)
        before, start = process.seconds, time.monotonic()
        first.send(ask(fay, "site"))
        assert outcome(first.read()) in ("ok", "502 app_unreachable", "503 too_many_connections")
        for wire in limiter[:20]:
            wire.send(ask(fay, "site"))
        eventually(lambda: time.monotonic() - start > 3)
        assert process.seconds - before < 1  # it doesn't ask again and again
        assert fay.log.count("Too many open files") < 100

    def is_served() -> bool:
        with suppress(OSError, EOFError):  # until then a connection may be one too many
            return outcome(exchange(fay.public, ask(fay, "site"))) == "ok"
        return False

    eventually(is_served)
