"""Clocks that are set while Portals run, by libfaketime: the clock of one, or of all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.wire.harness.raw import exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.terminals import NAME, from_the_page, send_form, token_of

from .fault import LIBFAKETIME, Fault, Seen
from .stage import Placed, Stage, on_stage

_HOUR, _DAY = 3600, 86_400
_YEAR = 365 * _DAY
_WEEK = (
    _HOUR,
    _DAY,
    -_HOUR,
    _DAY,
    6 * _HOUR,
    _DAY,
    _DAY,
    -_HOUR,
    _DAY,
    12 * _HOUR,
    _DAY,
    6 * _HOUR,
)
"""Leaps of a clock that else runs at its usual speed."""


class Clock:
    """The clock of a machine on which Portals run."""

    def __init__(self, folder: Path, *portals: Placed) -> None:
        self.ahead = 0
        self._file = folder / "clock"
        self.set(0)
        for portal in portals:
            portal.more |= {
                "LD_PRELOAD": str(LIBFAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }

    def set(self, ahead: int) -> None:
        """Set it to so many seconds ahead of the right time."""
        self.ahead = ahead
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n", "ascii")
        new.replace(self._file)

    def now(self) -> float:
        return time.time() + self.ahead


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _year_ahead(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        clock = Clock(folder, stage.bob)
        for portal in stage.portals:
            portal.start()
        for _ in range(rounds):
            stage.recovers()
            before = [stage.acknowledged(time.time) for _ in range(3)]
            clock.set(_YEAR)
            over = _after(2)
            eventually(lambda: stage.all_ways() and over())  # noqa: B023 - asked at once
            clock.set(0)
            stage.recovers()
            _refuses(stage, before, seen)
            seen.rounds += 1
        seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")


def _refuses(stage: Stage, recorded: list[tuple[int, bytes]], seen: Seen) -> None:
    for _, raw in recorded:
        got = stage.send(raw)
        seen.expect(got in ("409 replayed", "401 out_of_time"), f"a recorded call: {got}")


def _hour_back(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        clock = Clock(folder, *stage.portals)
        clock.set(rounds * _HOUR)
        for portal in stage.portals:
            portal.start()
        for _ in range(rounds):
            stage.recovers()
            before = [stage.acknowledged(clock.now) for _ in range(3)]
            clock.set(clock.ahead - _HOUR)
            stage.recovers()
            _refuses(stage, before, seen)
            clock.set(clock.ahead + _HOUR)
            stage.recovers()
            _refuses(stage, before, seen)
            clock.set(clock.ahead - _HOUR)
            seen.rounds += 1
        seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")


def _week(folder: Path, rounds: int, seen: Seen) -> None:
    with on_stage(folder) as stage:
        clock = Clock(folder, *stage.portals)
        for portal in stage.portals:
            portal.start()
        device = _pair(stage.bob)
        for _ in range(rounds):
            keys = set()
            for number, leap in enumerate(_WEEK):
                recorded = stage.acknowledged(clock.now)
                clock.set(clock.ahead + leap)
                refused = sum(got != "ok" for got in stage.all_ways())
                seen.counts["calls refused right after a leap"] += refused
                stage.recovers()
                _refuses(stage, [recorded], seen)
                stage.portals[number % 3].restart()
                stage.recovers()
                seen.expect(_enters(stage.bob, device), "the device is a stranger")
                keys.add(_sealing_keys(stage.bob))
                seen.counts["leaps"] += 1
            seen.expect(len(keys) > sum(_WEEK) // _DAY, f"only {len(keys)} sealing keys")
            seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")
            seen.rounds += 1
        clock.set(clock.ahead + 190 * _DAY)
        stage.recovers()
        seen.expect(not _enters(stage.bob, device), "the device still enters after half a year")


def _pair(portal: Placed) -> tuple[str, str]:
    """Pair a browser; return its cookie."""
    made = portal.run("terminals", "pair", "--json")
    code = json.loads(made.stdout)["code"]
    return "Cookie", f"{NAME}={token_of(send_form(portal, code, from_the_page(portal)))}"


def _enters(portal: Placed, cookie: tuple[str, str]) -> bool:
    host = ("Host", portal.app_host("closed"))
    return exchange(portal.public, request("GET", "/", host, cookie)).status == 200


def _sealing_keys(portal: Placed) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in (portal.state / "sealing").glob("*.key")))


FAULTS = (
    Fault(
        "A clock that is a year ahead for two seconds",
        "The called Portal's, while calls go on; then it is right again",
        "Refuses calls while it is wrong (401 `out_of_time`), and takes them again as soon as it "
        "is right. What was recorded before stays refused; nothing is carried out twice",
        "A line in the log",
        _year_ahead,
        needs=("libfaketime",),
    ),
    Fault(
        "A clock that is set back by an hour",
        "That of the whole machine, and forth again",
        "Calls pass again at once, by a new epoch of the replay store; what was recorded before "
        "stays refused",
        "A line in the log",
        _hour_back,
        needs=("libfaketime",),
    ),
    Fault(
        "A week, simulated by leaps",
        "The clock of three Portals runs at its usual speed and leaps by an hour, a day, an hour "
        "back; a Portal is started again after each leap; then half a year",
        "Calls in both modes pass after each leap (in the half second in which a new sealing "
        "key is made, they may be refused), keys are renewed each day, the device stays in until "
        "half a year after its last visit",
        "Nothing; a line in the log where the clock went back",
        _week,
        rounds=2,
        needs=("libfaketime",),
    ),
)
