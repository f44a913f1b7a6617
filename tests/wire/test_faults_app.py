"""Apps that fail: a refusal or a visibly broken connection, never a shorter response.

For a stranger, and for an app at another Portal that calls signed or sealed. What they see is
compared with one table.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from proxy.config.timeouts import DEFAULT_TIMEOUTS
from tests.patience import PATIENCE, soon
from tests.wire.callers import BROKEN, CALLERS, Cast, meaning, seen
from tests.wire.conftest import SITE, WIDE
from tests.wire.harness.faulty import FaultyApp
from tests.wire.harness.misdeeds import PART, PROMISED
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from proxy.core.access.policy import Mode

pytestmark = pytest.mark.more

SILENCE = 0.5
"""Seconds that hasty Bob's proxy waits for his app; the others' wait for a minute."""
SILENT = ("silence", "stall", "stall-chunks")
"""Deeds that end by the proxy's patience; what comes of the others is no matter of time."""
SOON = 5.0
FAILED = "502 app_failed"
LATE = "504 app_timeout"


@pytest.fixture(scope="module")
def casts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cast, Cast]]:
    """The cast with a Bob who has the usual patience, and with one who is hasty."""
    with ExitStack() as stack:
        app = stack.enter_context(FaultyApp())
        folder = tmp_path_factory.mktemp("faults")
        settings = f"accept: [sealed, signed]\ntimeouts: {{app_answer: {SILENCE:g}s}}\n"
        bob, hasty = Portal(folder / "bob", "Bob"), Portal(folder / "h", "Bob", settings=settings)
        ada, eda = (Portal(folder / name.lower(), name) for name in ("Ada", "Eda"))
        callers: tuple[tuple[Portal, Mode], ...] = ((ada, "signed"), (eda, "sealed"))
        for portal in (bob, hasty, ada, eda):
            stack.callback(portal.release)
            portal.add_app("wide", WIDE, app.port)
            portal.add_app("site", SITE, app.port)
        for each in (bob, hasty):
            each.knows(*(portal.as_contact() for portal, _ in callers), apps={"wide": "all"})
        for portal, mode in callers:
            bobs = (each.as_contact(mode=mode) for each in (bob, hasty))
            portal.knows(*bobs, apps={"wide": "all"})
        for portal in (bob, hasty, ada, eda):
            portal.start()
        yield Cast(bob, app, ada, eda), Cast(hasty, app, ada, eda)
        for portal in (bob, hasty, ada, eda):
            assert "Traceback" not in portal.log, portal.log


@pytest.fixture(autouse=True)
def _app_runs(casts: tuple[Cast, Cast]) -> None:
    casts[0].app.start()


@pytest.fixture
def cast(casts: tuple[Cast, Cast]) -> Cast:
    """The cast, with the app running."""
    return casts[0]


@pytest.fixture
def hasty(casts: tuple[Cast, Cast]) -> Cast:
    """The same with the hasty Bob."""
    return casts[1]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("deed", "stranger", "signed", "sealed"),
    [
        ("whole", "whole", "whole", "whole"),
        ("slow", "slow bytes", "slow bytes", "slow bytes"),
        ("silence", LATE, LATE, LATE),
        ("close", FAILED, FAILED, FAILED),
        ("reset", FAILED, FAILED, FAILED),
        ("garbage", FAILED, FAILED, FAILED),
        ("short", BROKEN, FAILED, BROKEN),
        ("long", "xxxxxxxxxx", FAILED, BROKEN),  # its ten bytes were passed on as they came
        ("bad-chunk", BROKEN, FAILED, BROKEN),
        ("stall", BROKEN, LATE, BROKEN),
        ("stall-chunks", BROKEN, LATE, BROKEN),
        ("close-mid", BROKEN, FAILED, BROKEN),
        ("close-chunks", BROKEN, FAILED, BROKEN),
        ("reset-mid", BROKEN, FAILED, BROKEN),
        ("reset-open", BROKEN, FAILED, BROKEN),
    ],
)
def test_what_fails_is_never_a_whole_response(
    casts: tuple[Cast, Cast], deed: str, method: str, caller: str, stranger: str, signed: str,
    sealed: str,
) -> None:  # fmt: skip
    expected = dict(zip(CALLERS, (stranger, signed, sealed), strict=True))[caller]
    cast = casts[deed in SILENT]
    start = time.monotonic()

    assert cast.see(caller, deed, method) in meaning(expected, caller, method)

    assert time.monotonic() - start < soon(SOON)


@pytest.mark.parametrize("caller", CALLERS)
def test_an_app_killed_before_its_response_has_failed(cast: Cast, caller: str) -> None:
    assert while_waiting(cast, caller, "silence", cast.app.kill) == FAILED


@pytest.mark.parametrize("deed", ["stall", "stall-chunks"])
@pytest.mark.parametrize("caller", CALLERS)
def test_an_app_killed_in_its_response_breaks_it_off(cast: Cast, caller: str, deed: str) -> None:
    expected = meaning(FAILED if caller == "a signed call" else BROKEN, caller)

    assert while_waiting(cast, caller, deed, cast.app.kill) in expected


@pytest.mark.parametrize("caller", CALLERS)
def test_an_app_that_is_stopped_is_given_up_in_time(hasty: Cast, caller: str) -> None:
    hasty.app.signal(signal.SIGSTOP)
    start = time.monotonic()

    assert hasty.see(caller, "whole") == LATE
    assert SILENCE <= time.monotonic() - start < soon(SOON)

    hasty.app.signal(signal.SIGCONT)
    eventually(lambda: hasty.see(caller, "whole") == "whole")  # once it is quick enough again


@pytest.mark.parametrize("caller", CALLERS)
def test_an_app_that_is_stopped_in_its_response_is_given_up_in_time(
    hasty: Cast, caller: str
) -> None:
    def stop() -> None:
        hasty.app.signal(signal.SIGSTOP)

    expected = meaning(LATE if caller == "a signed call" else BROKEN, caller)
    start = time.monotonic()

    assert while_waiting(hasty, caller, "endless", stop) in expected
    assert time.monotonic() - start < soon(SOON)
    hasty.app.signal(signal.SIGCONT)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_app_that_was_started_again_is_served_at_once(cast: Cast, method: str) -> None:
    """The proxy has idle connections to it from before, which are dead."""
    for _ in range(3):
        assert [cast.see(caller, "whole", method) for caller in CALLERS] == ["whole"] * 3
        cast.app.kill()
        cast.app.start()
    assert [cast.see(caller, "whole", method) for caller in CALLERS] == ["whole"] * 3


def test_an_app_that_is_gone_is_unreachable_until_it_is_back(cast: Cast) -> None:
    assert cast.both_ways() == ("whole",) * 3
    cast.app.kill()

    assert cast.both_ways() == ("502 app_unreachable",) * 3

    cast.app.start()
    assert cast.both_ways() == ("whole",) * 3


def test_a_client_without_lengths_gets_a_reset_and_no_end(casts: tuple[Cast, Cast]) -> None:
    """To HTTP/1.0 the end of the connection is the end of the response."""
    for deed in ("close-chunks", "reset-open", "stall-chunks", "bad-chunk"):
        port, raw = casts[deed in SILENT].call("a stranger", deed)
        with socket.create_connection((LOOPBACK, port), timeout=PATIENCE) as client:
            client.sendall(raw.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            got = bytearray()
            with pytest.raises(ConnectionResetError):
                read_to_the_end(client, got)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert b"content-length" not in got.lower()


def read_to_the_end(client: socket.socket, got: bytearray) -> None:
    while piece := client.recv(1 << 16):
        got += piece


def test_of_what_breaks_off_a_stranger_has_seen_the_part_that_came(hasty: Cast) -> None:
    port, raw = hasty.call("a stranger", "stall")
    with RawConnection(port) as wire:
        wire.send(raw)
        assert b"content-length: %d\r\n" % PROMISED in wire.until(b"\r\n\r\n")
        assert wire.exactly(len(PART)) == PART
        assert wire.rest() == b""


def test_stalled_responses_hold_nobody_up(cast: Cast) -> None:
    """Two hundred requests wait for an app that says nothing; others are answered meanwhile."""
    host = ("Host", cast.ada.app_host("site"))
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(RawConnection(cast.ada.public)).send(
                request("GET", "/silence", host)
            )
        start = time.monotonic()

        assert exchange(cast.ada.public, request("GET", "/whole", host)).body == b"whole"
        assert cast.see("a signed call", "whole") == "whole"

        assert time.monotonic() - start < soon(SOON)


def test_by_default_the_proxy_next_to_the_app_is_the_first_to_lose_patience() -> None:
    """Else a peer whose app is silent looks as if it were gone itself: ``peer_timeout``."""
    assert DEFAULT_TIMEOUTS.app_answer < DEFAULT_TIMEOUTS.peer_answer


def while_waiting(cast: Cast, caller: str, deed: str, act: Callable[[], None]) -> str:
    """Return what the caller sees when ``act`` is done while the app is at it."""
    before = cast.app.moments
    port, raw = cast.call(caller, deed)
    with RawConnection(port) as wire:
        wire.send(raw)
        eventually(lambda: cast.app.moments > before)
        act()
        return seen(wire)
