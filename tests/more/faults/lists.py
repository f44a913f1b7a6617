"""Files of configuration and state that are broken, unreadable, damaged, or from yesterday."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

from tests.wire.harness.recorder import eventually

from .clocks import Clock
from .fault import Fault, Seen
from .stage import FINE, Placed, on_stage, running

_DAY = 86_400
_MODE_HOLDS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
"""Makes root as others are: it can't read what its mode forbids."""


def _put(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in place whole."""
    new = path.with_name("a.new")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(path)


def _broken_contacts(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder) as stage:
        bob, contacts = stage.bob, stage.bob.state / "contacts.yaml"
        good = contacts.read_bytes()
        for _ in range(rounds):
            _put(contacts, b"peers: [}")
            eventually(lambda: bob.tells("contacts.yaml"))
            seen.equal(stage.all_ways(), FINE, "while it is broken")
            seen.expect(bob.command("check").returncode == 1, "check says nothing")
            done = bob.command("apps", "allow", "peers", "none")
            seen.expect(done.returncode == 1, "a command has overwritten the broken list")
            _put(contacts, good)
            eventually(lambda: not bob.tells("contacts.yaml"))
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


def _broken_and_killed(folder: Path, rounds: int, seen: Seen) -> None:
    with running(folder, workers=2) as stage:
        bob, contacts = stage.bob, stage.bob.state / "contacts.yaml"
        good = contacts.read_bytes()
        for _ in range(rounds):
            _put(contacts, b"peers: [}")
            eventually(lambda: bob.tells("contacts.yaml"))
            for victim in bob.children:
                os.kill(victim, signal.SIGKILL)
                eventually(lambda: bob.ended or _replaced(bob, victim))  # noqa: B023
            if bob.ended:
                seen.expect(fact=False, otherwise="the whole Portal ended")
                return
            seen.equal([stage.all_ways() for _ in range(4)], [FINE] * 4, "with new workers")
            _put(contacts, good)
            eventually(lambda: not bob.tells("contacts.yaml"))
            seen.equal([stage.all_ways() for _ in range(4)], [FINE] * 4, "afterwards")
            seen.rounds += 1


def _replaced(portal: Placed, victim: int) -> bool:
    return victim not in (now := portal.children) and len(now) == 2


def _unreadable_contacts(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        stage.bob.before = _MODE_HOLDS
        for portal in stage.portals:
            portal.start()
        contacts = stage.bob.state / "contacts.yaml"
        for _ in range(rounds):
            stage.recovers()
            contacts.chmod(0o000)
            eventually(lambda: stage.signed() == "503 contacts_unavailable")
            seen.equal(stage.sealed(), "503 contacts_unavailable", "a sealed call")
            seen.equal(stage.stranger(), "ok", "a stranger")
            seen.expect(stage.bob.tells("contacts.yaml"), "/health says nothing")
            contacts.chmod(0o600)
            stage.recovers()
            seen.rounds += 1


def _damaged_key(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        _flips(stage.bob, "identity.key", ("id",), rounds, seen)


def _damaged_contacts(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        _flips(stage.bob, "contacts.yaml", ("peers", "list", "--json"), rounds, seen)


def _flips(portal: Placed, name: str, command: tuple[str, ...], rounds: int, seen: Seen) -> None:
    """Flip bits of a file: it is refused, or says what it said."""
    dice = random.Random(name)
    path = portal.state / name
    good = path.read_bytes()
    said = portal.command(*command).stdout
    for _ in range(rounds):
        damaged = bytearray(good)
        damaged[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        _put(path, bytes(damaged))
        done = portal.command(*command)
        seen.expect("Traceback" not in done.stderr, "a traceback")
        if done.returncode == 0:
            seen.expect(done.stdout == said, "taken for another one")
            seen.counts["made no difference"] += 1
        else:
            seen.counts["refused"] += 1
        seen.rounds += 1
    _put(path, good)
    seen.equal(portal.command(*command).stdout, said, "afterwards")


def _rolled_back(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        clock = Clock(folder, *stage.portals)
        for portal in stage.portals:
            portal.start()
        for _ in range(rounds):
            stage.recovers()
            stage.bob.stop()
            shutil.copytree(stage.bob.state, backup := folder / "backup")
            clock.set(clock.ahead + _DAY)
            stage.bob.start()
            stage.recovers()
            recorded = [stage.acknowledged(clock.now) for _ in range(5)]
            stage.bob.kill()
            shutil.rmtree(stage.bob.state)
            backup.rename(stage.bob.state)
            stage.bob.start()
            for _, raw in recorded:
                got = stage.send(raw)
                seen.expect(got in ("409 replayed", "401 out_of_time"), f"a recorded call: {got}")
            stage.recovers()
            seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")
            seen.rounds += 1


FAULTS = (
    Fault(
        "contacts.yaml that is broken",
        "By hand, under the running proxy",
        "The last good list stays in use; commands don't overwrite the broken one",
        "A problem under `/health` and in `check`, with the line; one line in the log",
        _broken_contacts,
        rounds=10,
    ),
    Fault(
        "contacts.yaml that is broken, and then workers that are killed",
        "Both of two",
        "They are replaced, and go on with the last good list",
        "The same",
        _broken_and_killed,
        rounds=5,
    ),
    Fault(
        "contacts.yaml that can't be read",
        "Its mode is changed, so that the proxy's user may not",
        "After 5 s nobody is let in by a list that nobody can read: 503 `contacts_unavailable`. "
        "Strangers are served. All is well as soon as it can be read",
        "A problem under `/health`",
        _unreadable_contacts,
        needs=("root", "setpriv"),
    ),
    Fault(
        "A bit of identity.key that is wrong",
        "Another one in each round",
        "Refused, never taken for another key",
        "A sentence from every command, and from `serve`, which doesn't start",
        _damaged_key,
        rounds=80,
        in_tests=8,
    ),
    Fault(
        "A bit of contacts.yaml that is wrong",
        "Another one in each round",
        "Refused, never taken for another list",
        "A sentence from every command; a problem under `/health`",
        _damaged_contacts,
        rounds=80,
        in_tests=8,
    ),
    Fault(
        "A state folder of yesterday",
        "The folder is put back as it was before the last calls, after a `kill -9`",
        "Those calls, sent again, are refused; new ones pass",
        "A line in the log",
        _rolled_back,
        rounds=5,
        needs=("libfaketime",),
    ),
)
