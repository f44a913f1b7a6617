"""A machine without descriptors, and a log that nobody reads."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tests.patience import soon
from tests.wire.harness.raw import RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.terminals import pair, remove

from .fault import Fault, Seen
from .stage import FINE, on_stage

_IDLE = 150
_DESCRIPTORS = 64
_REQUESTS = 2000
_CHANGES = ("the contact list changed", "the terminals changed: there are 0")


def _no_descriptors(folder: Path, rounds: int, seen: Seen) -> None:
    for number in range(rounds):
        with on_stage(folder / str(number)) as stage:
            script = f'ulimit -n {_DESCRIPTORS}; exec "$@"'
            stage.bob.before = ("sh", "-c", script, "sh")
            for portal in stage.portals:
                portal.start()
            bob = stage.bob
            seen.equal(stage.send(stage.record()[1]), "ok", "before")
            device = pair(bob)
            closed = request("GET", "/", ("Host", bob.app_host("closed")), device.cookie)
            seen.equal(exchange(bob.public, closed).status, 200, "the device before")
            with ExitStack() as stack:
                for _ in range(_IDLE):
                    stack.enter_context(RawConnection(bob.public))
                bob.knows(stage.ada.as_contact(), stage.eda.as_contact(), apps={"peers": "all"})
                remove(bob, device.id)
                # Two files, each followed by itself.
                took = eventually(lambda: all(change in bob.log for change in _CHANGES))  # noqa: B023
                seen.expect(took < soon(2), "the removal wasn't followed within 2 s")
            stage.strangers_pass()
            seen.equal(stage.send(stage.record()[1]), "403 not_allowed", "the removed contact")
            got = exchange(bob.public, closed).status
            seen.expect(got != 200, "the removed device still enters")
            stage.recovers()
            seen.rounds += 1


def _unread_log(folder: Path, rounds: int, seen: Seen) -> None:
    for number in range(rounds):
        with on_stage(folder / str(number)) as stage, ExitStack() as stack:
            reads, writes = os.pipe()
            stack.callback(os.close, reads)
            stage.bob.said_to = writes
            for portal in stage.portals:
                portal.start()
            os.close(writes)
            host = ("Host", stage.bob.app_host("open"))
            with RawConnection(stage.bob.public) as wire:
                for _ in range(_REQUESTS):
                    wire.send(request("GET", "/", host))
                    if wire.read().status != 200:
                        seen.otherwise["a request was refused"] += 1
            seen.counts["requests answered"] += _REQUESTS
            seen.equal(stage.all_ways(), FINE, "calls")
            eventually(lambda: stage.bob.tells("log"))
            seen.equal(stage.bob.stop(), 0, "exit status")
            seen.rounds += 1


FAULTS = (
    Fault(
        "A machine without descriptors",
        f"`ulimit -n {_DESCRIPTORS}`, {_IDLE} idle connections; meanwhile a contact and a device "
        "are removed",
        "The removal is followed within a second or two; neither of the two enters again. What is "
        "one connection too many is refused",
        "A warning at the start that the limits were made smaller; a problem in `check`",
        _no_descriptors,
    ),
    Fault(
        "A log that nobody reads",
        f"It goes into a pipe whose reader stands still, {_REQUESTS:,} requests long",
        "Requests are answered as ever; lines that find no place are dropped and counted",
        "The number of dropped lines, under `/health` and in the log when it is read again",
        _unread_log,
    ),
)
