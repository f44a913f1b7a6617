"""Apps, peers and resolvers that are dead, silent, or break off."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.patience import soon
from tests.wire.callers import BROKEN, CALLERS, Cast, meaning
from tests.wire.harness.faulty import FaultyApp
from tests.wire.harness.raw import RawConnection, exchange, request
from tests.wire.harness.recorder import eventually

from .fault import Fault, Seen
from .resolver import Resolver
from .stage import FINE, OPEN, PEERS, Placed, Stage, on_stage, outcome, running

_SILENCE = 6
"""Seconds that proxies wait here for an app that says nothing; an app that is well says something
sooner on a busy machine too.
"""
_WHOLE = ("whole",) * 3
_NOT_FOUND = frozenset({"502 app_unreachable", "504 app_timeout"})


@contextmanager
def _with_faulty_app(folder: Path) -> Iterator[tuple[Stage, Cast]]:
    """Give the cast with one app more, a process that fails as it is told to."""
    settings = f"timeouts: {{app_answer: {_SILENCE:g}s}}\n"
    with on_stage(folder, settings=settings) as stage, FaultyApp() as app:
        for portal in stage.portals:
            portal.add_app("site", OPEN, app.port)
            portal.add_app("wide", PEERS, app.port)
        callers = (stage.ada.as_contact(), stage.eda.as_contact())
        stage.bob.knows(*callers, apps={"wide": "all", "peers": "all"})
        for caller, mode in ((stage.ada, "signed"), (stage.eda, "sealed")):
            contact = stage.bob.as_contact(mode=mode)  # type: ignore[arg-type]
            caller.knows(contact, apps={"wide": "all", "peers": "all"})
        for portal in stage.portals:
            portal.start()
        yield stage, Cast(stage.bob, app, stage.ada, stage.eda)


def _dead_app(folder: Path, rounds: int, seen: Seen) -> None:
    with _with_faulty_app(folder) as (stage, cast):
        for _ in range(rounds):
            seen.equal(cast.both_ways(), _WHOLE, "before")
            cast.app.kill()
            got = cast.both_ways()
            seen.equal(got, ("502 app_unreachable",) * 3, "while it is dead")
            seen.equal(stage.all_ways(), FINE, "another app meanwhile")
            cast.app.start()
            seen.equal(cast.both_ways(), _WHOLE, "afterwards")
            seen.rounds += 1


def _hanging_app(folder: Path, rounds: int, seen: Seen) -> None:
    with _with_faulty_app(folder) as (stage, cast):
        for _ in range(rounds):
            seen.equal(cast.both_ways(), _WHOLE, "before")
            cast.app.signal(signal.SIGSTOP)
            seen.equal(cast.both_ways(), ("504 app_timeout",) * 3, "while it hangs")
            seen.equal(stage.all_ways(), FINE, "another app meanwhile")
            cast.app.signal(signal.SIGCONT)
            seen.equal(cast.both_ways(), _WHOLE, "afterwards")
            seen.rounds += 1


_BREAKS = ("close-mid", "reset-mid", "close-chunks", "stall", "short", "bad-chunk", "reset-open")


def _breaking_app(folder: Path, rounds: int, seen: Seen) -> None:
    with _with_faulty_app(folder) as (_, cast):
        for _ in range(rounds):
            for deed in _BREAKS:
                for caller in CALLERS:
                    got = cast.see(caller, deed)
                    refused = got in ("502 app_failed", "504 app_timeout")
                    seen.expect(refused or got in meaning(BROKEN, caller), f"{deed}: {got}")
            seen.equal(cast.both_ways(), _WHOLE, "afterwards")
            seen.rounds += 1


def _dead_peer(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder) as stage:
        for _ in range(rounds):
            stage.recovers()
            stage.bob.kill()
            for caller in (stage.ada, stage.eda):
                for method in ("GET", "POST"):
                    got = stage.call(caller, method)
                    seen.equal(got, "502 peer_unreachable", f"{method} while it is dead")
            stage.bob.start()
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


def _hanging_peer(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        for caller in (stage.ada, stage.eda):
            caller.settings += "timeouts: {peer_answer: 1s, peer_connect: 1s}\n"
            caller.write_config(caller.config)
        for portal in stage.portals:
            portal.start()
        for _ in range(rounds):
            stage.recovers()
            stage.bob.signal(signal.SIGSTOP)
            for caller in (stage.ada, stage.eda):
                seen.equal(stage.call(caller), "504 outcome_unknown", "a call while it hangs")
                host = ("Host", caller.app_host("open"))
                got = outcome(exchange(caller.public, request("GET", "/", host)))
                seen.equal(got, "ok", "the caller's own strangers")
            stage.bob.signal(signal.SIGCONT)
            stage.recovers()
            seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")
            seen.rounds += 1


def _silent_resolver(folder: Path, rounds: int, seen: Seen) -> None:
    with Resolver() as resolver, on_stage(folder) as stage:
        bob = stage.bob
        bob.settings += "timeouts: {app_connect: 1s}\n"
        bob.write_config(bob.config)
        bob.before = resolver.before(folder)
        folder_of_app = bob.config / "apps" / "named"
        bob.add_app("named", OPEN, stage.app.port)
        named = f"upstream: http://named.example:{stage.app.port}\n"
        (folder_of_app / "proxy.yaml").write_text(named)
        for portal in stage.portals:
            portal.start()
        # The app closes behind this response: no connection is left that needs no name.
        ask = request("GET", "/get/0/64", ("Host", bob.app_host("named")))
        for _ in range(rounds):
            resolver.silent = False
            eventually(lambda: outcome(exchange(bob.public, ask)) == "ok")
            resolver.silent = True
            eventually(lambda: outcome(exchange(bob.public, ask)) in _NOT_FOUND)
            _nobody_else_waits(stage, bob, ask, seen)
            resolver.silent = False
            eventually(lambda: outcome(exchange(bob.public, ask)) == "ok")
            seen.rounds += 1


def _nobody_else_waits(stage: Stage, bob: Placed, ask: bytes, seen: Seen) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(bob.public)) for _ in range(40)]
        for wire in wires:
            wire.send(ask)
        start = time.monotonic()
        seen.equal(stage.all_ways(), FINE, "other apps meanwhile")
        seen.expect(time.monotonic() - start < soon(2), "other apps had to wait")
        got = Counter(outcome(wire.read()) for wire in wires)
        seen.expect(_NOT_FOUND.issuperset(got), f"by name: {dict(got)}")


FAULTS = (
    Fault(
        "An app that is dead",
        "Its server is killed, and started again",
        "502 `app_unreachable` to strangers, devices and peers until it is back; at once "
        "afterwards. Other apps don't notice",
        "`apps list`, `check` and `/health` say that its server refuses; no status depends on it",
        _dead_app,
        rounds=10,
    ),
    Fault(
        "An app that hangs",
        "Its server is stopped by SIGSTOP",
        "504 `app_timeout` after `timeouts.app_answer`; other apps don't notice",
        "The refused requests in the log, with `app_timeout`",
        _hanging_app,
        rounds=10,
    ),
    Fault(
        "An app that breaks off in its response",
        "It closes, resets, falls silent or sends nonsense behind a part, in seven ways",
        "The client's connection is reset, or it gets a refusal; never a shorter response",
        "`broken` in the request's line of the log, and why",
        _breaking_app,
        rounds=10,
    ),
    Fault(
        "A peer that is dead",
        "The called Portal is killed, and started again",
        "502 `peer_unreachable`: nothing was carried out. At once well afterwards",
        "`portal-proxy ping` says which step fails",
        _dead_peer,
        rounds=10,
    ),
    Fault(
        "A peer that hangs",
        "The called Portal is stopped by SIGSTOP, and goes on",
        "504 `outcome_unknown` for what isn't a read, after `timeouts.peer_answer`; the call is "
        "carried out once or not at all. Strangers and other peers don't notice",
        "The calls in the log; `portal-proxy ping`",
        _hanging_peer,
        rounds=10,
    ),
    Fault(
        "A resolver that doesn't answer",
        "The machine's nameserver is silent while 40 clients ask for an app that is found by name",
        "They get 502 or 504 after `timeouts.app_connect`; whoever asks for anything else doesn't "
        "notice. Well as soon as the resolver is",
        "`/health` and `apps list` say that the app's server can't be found",
        _silent_resolver,
        rounds=3,
        needs=("root", "unshare"),
    ),
)
