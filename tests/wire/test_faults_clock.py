"""Clocks that are set while a proxy runs: calls recover as docs/operating.md says, none is doubled.

A clock that jumps is one that somebody set, or a machine that slept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.troubled import Drifting

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.core.access.policy import Mode

MINUTE, HOUR, YEAR = 60, 3600, 31_536_000
pytestmark = pytest.mark.more

MODES: tuple[Mode, ...] = ("signed", "sealed")


@dataclass
class Pair:
    """Ada, who calls, and Bob, who is called; ``app`` is Bob's."""

    ada: Drifting
    bob: Drifting
    app: Recorder
    mode: Mode
    calls: int = 0

    def call(self) -> Raw:
        """Have Ada's app call Bob's, with something that must be done once."""
        self.calls += 1
        fields = (("Host", "portal_core"), ("Portal-Token", self.ada.token("wide")))
        path = f"/internal/call_peer/{self.bob.id}/{self.calls}"
        return exchange(self.ada.apps, request("POST", path, *fields, body=b"once"))

    def code(self) -> str:
        """Call; return what came of it."""
        got = self.call()
        return got.body.decode() if got.status == 200 else f"{got.status} {got.code}"

    def recovers(self) -> None:
        """Call until calls pass, which they must soon, and then again."""
        eventually(lambda: self.code() == "ok")
        assert [self.code() for _ in range(3)] == ["ok"] * 3
        self.nothing_was_done_twice()

    def nothing_was_done_twice(self) -> None:
        targets = [asked.target for asked in self.app.requests]
        assert len(targets) == len(set(targets))

    def stranger(self) -> int:
        """Return the status that a stranger gets of Bob."""
        host = ("Host", self.bob.app_host("site"))
        return exchange(self.bob.public, request("GET", "/", host)).status


@pytest.fixture(params=MODES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        ada, bob = (Drifting(tmp_path / name.lower(), name) for name in ("Ada", "Bob"))
        for portal in (ada, bob):
            stack.callback(portal.release)
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
        ada.knows(bob.as_contact(mode=request.param), apps={"wide": "all"})
        bob.knows(ada.as_contact(), apps={"wide": "all"})
        ada.begin()
        bob.start()
        ada.wait()
        pair = Pair(ada, bob, app, request.param)
        assert pair.code() == "ok"
        yield pair
        for portal in (ada, bob):
            assert "Traceback" not in portal.log, portal.log


def test_a_callers_clock_that_is_set_costs_no_call(pair: Pair) -> None:
    for ahead in (25 * MINUTE, -25 * MINUTE, 0):
        pair.ada.set_clock(ahead)
        assert [pair.code() for _ in range(3)] == ["ok"] * 3
    pair.nothing_was_done_twice()


def test_a_callers_clock_that_is_far_off_does_no_lasting_harm(pair: Pair) -> None:
    """Signed calls learn the time; sealed ones need a document, which is of another hour."""
    refused = "502 peer_untrusted" if pair.mode == "sealed" else "ok"
    for ahead in (HOUR, -HOUR):
        pair.ada.set_clock(ahead)
        assert {pair.code() for _ in range(3)} <= {"ok", refused}
    pair.ada.set_clock(0)
    assert [pair.code() for _ in range(3)] == ["ok"] * 3
    pair.nothing_was_done_twice()


def test_a_receivers_clock_that_goes_ahead_is_followed(pair: Pair) -> None:
    pair.bob.set_clock(25 * MINUTE)

    pair.recovers()
    assert pair.stranger() == 200


def test_a_receivers_clock_that_went_back_is_followed(pair: Pair) -> None:
    """Sealed, Bob also ends the keys that he made in what is the future now."""
    for ahead in (-25 * MINUTE, 0):
        before = pair.bob.log.count("a new epoch began")
        pair.bob.set_clock(ahead)
        eventually(lambda: pair.bob.log.count("a new epoch began") > before)  # noqa: B023
        pair.recovers()
    assert pair.stranger() == 200


def test_a_clock_that_was_a_year_ahead_for_two_seconds_leaves_nothing_behind(pair: Pair) -> None:
    pair.bob.set_clock(YEAR)
    for _ in range(4):
        pair.code()
        time.sleep(0.5)
    assert pair.stranger() == 200
    pair.bob.set_clock(0)
    pair.recovers()
